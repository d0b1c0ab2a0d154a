"""A generator in a process of its own, which begins when it is told to: a plan comes in, counts go out.

What it reads: a pickled (plan, path of its records), then a line with the instant. What it writes: a line when it is
ready, and one of JSON when it has ended. A line without an instant lets it begin soon.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loadgen_servers import begin

from servemark import _loadgen
from servemark.workload.engine_plan import EnginePlan

_READY = "ready"
#: The exit status of one that was told of an instant that was past.
_LATE = 3
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

    def begin_soon(self) -> None:
        """Tell it to begin once it is ready."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Hold it: what is sent to it meanwhile it finds all at once."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            os.waitpid(self._process.pid, os.WUNTRACED)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def finish(self) -> dict[str, Any]:
        """What it says of its run; nothing where it was told to begin too late."""
        out, _ = self._process.communicate(timeout=_LONGEST_S)
        if self._process.returncode == _LATE:
            return {}
        assert self._process.returncode == 0
        counts: dict[str, Any] = json.loads(out)
        return counts

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def in_a_process(plan: EnginePlan, record_path: Path) -> Iterator[GeneratorProcess]:
    """A generator that has begun to send `plan`, for as long as the block lasts."""
    generator = GeneratorProcess(plan, record_path)
    try:
        generator.await_ready()
        generator.begin_soon()
        yield generator
    finally:
        generator.kill()


def send_together(plans: Sequence[EnginePlan], paths: Sequence[Path], lead_ns: int) -> list[dict[str, Any]]:
    """Have a process for each plan send it, all from the same instant, `lead_ns` after all are ready.

    All over again and later, where one of them had not run until then.
    """
    for longer in (1, 5, 25):
        generators = [GeneratorProcess(plan, path) for plan, path in zip(plans, paths, strict=True)]
        try:
            for generator in generators:
                generator.await_ready()
            begin_ns = time.monotonic_ns() + lead_ns * longer
            for generator in generators:
                generator.begin_at(begin_ns)
            counts = [generator.finish() for generator in generators]
        finally:
            for generator in generators:
                generator.kill()
        if all(counts):
            return counts
    raise AssertionError("they cannot begin together")


def _main() -> None:
    plan, record_path = pickle.load(sys.stdin.buffer)
    run = _loadgen.arm(plan, record_path)
    assert run.wait_ready(_LONGEST_S)
    _say(_READY)
    if instant := sys.stdin.buffer.readline().strip():
        try:
            run.begin_at(int(instant))
        except ValueError:
            sys.exit(_LATE)
    else:
        begin(run)
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
