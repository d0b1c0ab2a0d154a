"""The certificate on a machine of no use to it: how many runs are INVALID that a person makes, of a real server.

As a user without real-time rights, with nothing else running, and beside two processes that compute all the time. Two
things take CPUs from an open loop without a word, and are counted apart: those two, and the compiler of a Java that has
just started, which computes on both CPUs for most of such a run. Half the capacity is that of a server that runs.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hogs import ALWAYS_BUSY, Hogs, hogging
from judging import Finding, equal

from bench.closed import ALARMS, WRONG
from bench.normal_user import NormalUser, normal_user
from bench.process import Process
from bench.proof import Section, markdown_table
from servemark.errors import SetupError

COMMANDS = (
    "throughput -m noop -l 10",
    "latency -m noop -l 200",
    "concurrent_inference -m noop -l 20",
    "repeated_scale_calls -m noop -l 2",
)
_SERVED = "noop-v1.0"
_CAPACITY = f"throughput -m {_SERVED} --mms ADDRESS -t 8 --duration 3"
_OPEN = f"latency -m {_SERVED} --mms ADDRESS --rate {{rate}} --duration 3"
_OPEN_OF_NEW = "latency -m noop --rate {rate} --duration 3"
_RUN_S, _END_S = 600.0, 30.0
_ADDRESS = re.compile(r"--mms (\S+)")
_SERVES_WITHIN_S = 300.0
_INVALID = 3
SETTINGS: tuple[Hogs | None, ...] = (None, ALWAYS_BUSY)


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit status, None when it had to be killed; its result, None without one; its last words."""

    status: int | None
    result: Any
    complaint: str


@dataclass
class Tally:
    """The runs of a command in a setting: how many, how many were INVALID, by which checks, with the first reason of
    each, how many points they measured once more for that, and what went wrong.
    """

    command: str
    hogs: Hogs | None
    runs: int = 0
    invalid: int = 0
    repeated: int = 0
    checks: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, ended: Ended) -> None:
        """Count a run."""
        self.runs += 1
        if ended.result is None or ended.status not in (0, 1, _INVALID):
            self.problems.append(f"exit status {ended.status}: {ended.complaint}")
            return
        failed = [check for check in ended.result["benchmarks"][0]["certificate"]["checks"] if check["passed"] is False]
        self.invalid += ended.status == _INVALID
        self.repeated += sum(run["trial"] > 1 for run in ended.result["benchmarks"][0]["runs"])
        self.checks.update({check["name"] for check in failed})
        for check in failed:
            self.reasons.setdefault(check["name"], ": ".join(filter(None, (check["reason"], check.get("cause")))))


def prove_alarms(folder: Path, runs: int) -> Iterator[Section]:
    """At most one of 40 runs of each command is INVALID; `runs` of each, half of them beside others."""
    user = normal_user()
    folder.chmod(0o755)
    with _serving(user, folder) as address:
        capacity = _run(user, folder, _CAPACITY, address)
        if capacity.result is None:
            raise SetupError("the server's capacity cannot be measured", cause=capacity.complaint)
        rate = round(capacity.result["benchmarks"][0]["steps"][0]["throughput_per_s"]["value"] / 2)
        opened, of_new = _OPEN.format(rate=rate), _OPEN_OF_NEW.format(rate=rate)
        tallies = [Tally(command, hogs) for command in (*COMMANDS, opened, of_new) for hogs in SETTINGS]
        # In turns, so that an hour in which the machine is slow is every command's.
        for number in range(runs):
            for tally in tallies:
                if SETTINGS.index(tally.hogs) == number % len(SETTINGS):
                    with hogging(tally.hogs):
                        tally.add(_run(user, folder, tally.command, address))
    rights = f"as {user.name}, without real-time rights"
    yield Section(
        "A certificate without false alarms",
        f"`servemark run COMMAND`, {runs} times each in turns, {rights}; at ADDRESS is `servemark serve -m noop`, of "
        f"which the capacity is that of `{_CAPACITY}`",
        [*_judge(tallies, opened, of_new)],
        told="\n".join([_table(tallies), *_examples(tallies)]),
    )


@contextmanager
def _serving(user: NormalUser, folder: Path) -> Iterator[str]:
    """The address of a server with the model, which that user started."""
    words = [*user.words, sys.executable, "-m", "servemark", "serve", "-m", "noop"]
    with Process(words, user.new_folder(folder / "serve"), environ=user.environ, end_s=_END_S) as process:
        until_s = time.monotonic() + _SERVES_WITHIN_S
        while not (found := _ADDRESS.search(process.output)):
            if process.has_ended or time.monotonic() > until_s:
                raise SetupError("the server did not start", cause=process.complaint)
            time.sleep(0.1)
        yield found[1]


def _run(user: NormalUser, folder: Path, command: str, address: str) -> Ended:
    """One command, to its end, with nothing left of it; `address` stands for ADDRESS."""
    own = user.new_folder(folder / "run")
    where = ["--no-history", "-o", str(own / "result")]
    asked = command.replace("ADDRESS", address).split()
    words = [*user.words, sys.executable, "-m", "servemark", "run", *asked, *where]
    with Process(words, own, environ=user.environ, end_s=_END_S) as process:
        status = process.wait(_RUN_S)
    try:
        result = json.loads((own / "result" / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = None
    ended = Ended(status, result, process.complaint)
    shutil.rmtree(own)
    return ended


def _judge(tallies: Sequence[Tally], opened: str, of_new: str) -> Iterator[Finding]:
    apart = [tally for tally in tallies if tally.command == of_new or (tally.command == opened and tally.hogs)]
    counted = [tally for tally in tallies if tally not in apart]
    for command in dict.fromkeys(tally.command for tally in counted):
        of_command = [tally for tally in counted if tally.command == command]
        invalid, runs = sum(tally.invalid for tally in of_command), sum(tally.runs for tally in of_command)
        where = ", nothing else running" if command == opened else ""
        yield Finding(f"INVALID of {runs}: `{command}`{where}", invalid, 0, 0, math.ceil(runs / ALARMS), "")
    for tally in apart:
        where = f"beside {tally.hogs}" if tally.hogs else "of a server that has just started"
        yield Finding(
            f"INVALID of {tally.runs}, counted apart: `{tally.command}`, {where}", tally.invalid, 0, 0, math.inf, ""
        )
    by_fault = sum(count for tally in apart for name, count in tally.checks.items() if name.split(" (")[0] in WRONG)
    yield equal("of these by a check that says that the generator was wrong", by_fault, 0)
    yield equal("runs that did not end as they should", sum(len(tally.problems) for tally in tallies), 0)


def _examples(tallies: Sequence[Tally]) -> Iterator[str]:
    """One reason of each command and check."""
    first = {(tally.command, name): reason for tally in tallies[::-1] for name, reason in tally.reasons.items()}
    if first:
        yield "\nFor instance:\n"
    for (command, name), reason in reversed(first.items()):
        yield f"- `{command}`, {name}: {reason}"


def _table(tallies: Sequence[Tally]) -> str:
    rows = [
        [
            f"`{tally.command}`",
            f"beside {tally.hogs}" if tally.hogs else "nothing else runs",
            f"{tally.invalid} of {tally.runs}",
            str(tally.repeated),
            "; ".join(
                [*(f"{name}: {count}" for name, count in tally.checks.most_common()), *sorted(set(tally.problems))]
            ),
        ]
        for tally in tallies
    ]
    return markdown_table(("command", "machine", "INVALID", "points once more", "by these checks"), rows, left=2)
