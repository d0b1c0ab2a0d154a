"""A generator in a process of its own, which begins when it is told to: a plan comes in, counts go out.

What it reads: a pickled (plan, path of its records), then a line with the instant. What it writes: a line when it is
ready, and one of JSON when it has ended: null where the instant was past when it was read.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen_servers import LEADS_NS

from servemark import _loadgen
from servemark.workload.plan import EnginePlan

_READY = "ready"
_LONGEST_S = 60.0


class GeneratorProcess:
    """The other end of such a process."""

    def __init__(self, plan: EnginePlan, record_path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=record_path.parent
        )
        assert self._process.stdin
        pickle.dump((plan, str(record_path)), self._process.stdin)
        self._process.stdin.flush()

    def await_ready(self) -> None:
        """Wait until its connections are open."""
        assert self._process.stdout
        assert self._process.stdout.readline().strip() == _READY.encode()

    def begin_at(self, monotonic_ns: int) -> None:
        """Tell it when."""
        assert self._process.stdin
        self._process.stdin.write(b"%d\n" % monotonic_ns)
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any] | None:
        """What it says of its run; None where it was told too late to begin."""
        out, _ = self._process.communicate(timeout=_LONGEST_S)
        assert self._process.returncode == 0
        counts: dict[str, Any] | None = json.loads(out)
        return counts

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()


def send_together(plans: Sequence[EnginePlan], paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Have a process for each plan send it, all from the same instant, soon after all are ready."""
    for lead_ns in LEADS_NS:
        told = _sent_together(plans, paths, lead_ns)
        counts = [one for one in told if one is not None]
        if len(counts) == len(told):
            return counts
    raise AssertionError("a generator was told too late again and again")


def _sent_together(plans: Sequence[EnginePlan], paths: Sequence[Path], lead_ns: int) -> list[dict[str, Any] | None]:
    generators = [GeneratorProcess(plan, path) for plan, path in zip(plans, paths, strict=True)]
    try:
        for generator in generators:
            generator.await_ready()
        begin_ns = time.monotonic_ns() + lead_ns
        for generator in generators:
            generator.begin_at(begin_ns)
        return [generator.finish() for generator in generators]
    finally:
        for generator in generators:
            generator.kill()


def _main() -> None:
    plan, record_path = pickle.load(sys.stdin.buffer)
    run = _loadgen.arm(plan, record_path)
    assert run.wait_ready(_LONGEST_S)
    _say(_READY)
    begin_ns = int(sys.stdin.buffer.readline())
    try:
        run.begin_at(begin_ns)
    except ValueError:
        _say("null")
        return
    assert run.wait(_LONGEST_S)
    outcome = run.finish()
    assert outcome.write_error is None
    counts = {"sent": outcome.sent, "records": outcome.records, "started_unix_ns": outcome.started_unix_ns}
    _say(json.dumps(counts))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
