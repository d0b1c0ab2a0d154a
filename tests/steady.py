"""Run commands again and again beside processes that compute, and tell what failed how often.

``python -m tests.steady --times 10 ".venv/bin/pytest tests/unit" "cargo test"``: a test that fails by luck costs
everybody a day, and shows itself where it has to share the machine, or (``--beside pauses``, as root) where nothing of
its own runs for a moment, so that its measurements are INVALID. Exits with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from servemark.interrupts import held_back
from tests.accuracy.hogs import ALWAYS_BUSY, PAUSES, Hogs, hogging

#: What cargo prints of a test that failed.
_OF_CARGO = re.compile(r"^test (\S+) \.\.\. FAILED$", re.MULTILINE)
_BESIDE = {"busy": ALWAYS_BUSY, "pauses": PAUSES}
_LAST_LINES = 20
#: How long commands that are asked to end may take to stop their servers.
_END_S = 60.0


def main(words: Sequence[str]) -> int:
    """Run what `words` name as often as they say; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.steady", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often (default: 10)")
    parser.add_argument(
        "--beside", choices=_BESIDE, default="busy", help="processes that compute all the time, or all at once (busy)"
    )
    parser.add_argument(
        "commands", metavar="COMMAND", nargs="+", help="one command line each; of pytest each test counts"
    )
    chosen = parser.parse_args(words)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also in the background, where SIGINT is ignored
        signal.signal(number, signal.default_int_handler)
    beside = _BESIDE[chosen.beside]
    with hogging(beside) as hogs:
        say(f"beside {beside} ({', '.join(map(str, hogs))})")
        failed, rounds = repeated(chosen.commands, chosen.times)
    say(table(failed, rounds, chosen.times, beside))
    return int(bool(failed) or rounds < chosen.times)


def say(text: str) -> None:
    """Tell it at once: a round takes a quarter of an hour, and longer beside hogs."""
    print(text, flush=True)


def repeated(commands: Sequence[str], times: int) -> tuple[Counter[str], int]:
    """How often each test failed, and in how many rounds: fewer than `times` after Ctrl-C."""
    failed: Counter[str] = Counter()
    for number in range(1, times + 1):
        began_s = time.monotonic()
        try:
            found = [name for command in commands for name in failures(command)]
        except KeyboardInterrupt:
            say(f"round {number} of {times}: interrupted")
            return failed, number - 1
        failed.update(found)
        told = f"{len(found)} failed: {', '.join(found)}" if found else "all passed"
        say(f"round {number} of {times}, {time.monotonic() - began_s:.0f} s: {told}")
    return failed, times


def failures(command: str) -> list[str]:
    """What failed when `command` was run once: tests by their names, or the command where it names none."""
    words = shlex.split(command)
    with tempfile.TemporaryDirectory(prefix="servemark-steady-") as folder:
        report = Path(folder) / "junit.xml"
        # pytest alone counts its tests in a file; its own cache would have rounds depend on each other.
        pytest = [f"--junitxml={report}", "-p", "no:cacheprovider"] if Path(words[0]).name == "pytest" else []
        status, printed = run([*words, *pytest])
        why = of_pytest(report) if report.exists() else dict.fromkeys(_OF_CARGO.findall(printed), last_of(printed))
    if status and not why:
        why = {f"{command} (exit {status})": last_of(printed)}
    for name, said in why.items():
        say(f"{name}\n{textwrap.indent(said, '    ')}".rstrip())
    return list(why)


def run(command: Sequence[str]) -> tuple[int, str]:
    """The exit status of `command`, and what it printed; however this ends, nothing of it goes on."""
    process = None
    try:
        with held_back():  # an interruption within Popen would leave a process that nobody knows
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        printed, _ = process.communicate()
    finally:
        if process and process.poll() is None:
            end(process)
    return process.returncode, printed


def end(process: subprocess.Popen[str]) -> None:
    """Have it stop what it started, as after Ctrl-C; kill what does not."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=_END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def of_pytest(report: Path) -> dict[str, str]:
    """The tests that failed, or whose set-up did, in a report of pytest's, and the last lines of what each said."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        fault = next((fault for kind in ("failure", "error") if (fault := case.find(kind)) is not None), None)
        if fault is not None:
            file = case.get("classname", "").replace(".", "/")
            name = f"{file}.py::{case.get('name')}" if file else str(case.get("name"))
            found[name] = last_of(fault.text or fault.get("message", ""))
    return found


def last_of(printed: str) -> str:
    """Its last lines."""
    return "\n".join(printed.rstrip().splitlines()[-_LAST_LINES:])


def table(failed: Counter[str], rounds: int, times: int, beside: Hogs) -> str:
    """What failed how often, the most frequent first."""
    lines = [f"{rounds} of {times} rounds were run beside {beside}"]
    lines += [f"{count:4} of {rounds}  {name}" for name, count in failed.most_common()]
    return "\n".join([*lines, "" if failed else "nothing failed"]).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
