"""Processes that compute, which a generator has to share the machine with. Run as a program, this is one of them.

They are the same every time. Each has a session of its own, as a server that servemark starts, and so, where Linux
makes each session a scheduling group, as much of a CPU as the generator.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_READY = "ready"


@dataclass(frozen=True)
class Hogs:
    """So many processes, each busy for `busy_ms` by the clock, then idle for `idle_ms`; 0 means never."""

    processes: int = 8
    busy_ms: float = 3.0
    idle_ms: float = 0.5

    def __str__(self) -> str:
        processes = "process" if self.processes == 1 else "processes"
        if not self.idle_ms:
            return f"{self.processes} {processes} busy all the time"
        return f"{self.processes} {processes} busy {self.busy_ms:g} ms of {self.busy_ms + self.idle_ms:g}"


#: Those of a busy server, and those that compute all the time.
OFTEN_BUSY, ALWAYS_BUSY = Hogs(), Hogs(2, 3.0, 0.0)


@contextmanager
def hogging(hogs: Hogs | None) -> Iterator[tuple[int, ...]]:
    """They compute until the end of the block, or of this process, whatever ends it; None is nobody. Their numbers."""
    times = () if hogs is None else (str(hogs.busy_ms / 1000), str(hogs.idle_ms / 1000))
    # Isolated, and without the site's packages: they have nothing to load.
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), *times]
    with ExitStack() as started:
        running = []
        for _ in range(hogs.processes if hogs else 0):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            started.enter_context(process)
            started.callback(process.kill)
            running.append(process)
        for process in running:
            assert process.stdout
            assert process.stdout.readline().strip() == _READY, "a process that was to compute has ended"
        yield tuple(process.pid for process in running)


def _compute(starter: int, busy_s: float, idle_s: float) -> None:
    """Compute until another process than `starter` is the parent: that one has ended."""
    print(_READY, flush=True)
    while os.getppid() == starter:
        until_s = time.perf_counter() + busy_s
        while time.perf_counter() < until_s:
            pass
        if idle_s:
            time.sleep(idle_s)


if __name__ == "__main__":
    _compute(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
