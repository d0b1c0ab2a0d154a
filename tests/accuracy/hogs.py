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
#: Above what servemark's own threads may have.
_PRIORITY = 50


@dataclass(frozen=True)
class Hogs:
    """So many processes, each busy for `busy_ms` by the clock, then idle for `idle_ms`; 0 means never.

    Those `before_all` have a real-time priority, which root may give, and are busy all at once: nothing else runs then
    on as many CPUs. Each fourth time they are so for `seldom_ms`, if that is not 0.
    """

    processes: int = 8
    busy_ms: float = 3.0
    idle_ms: float = 0.5
    before_all: bool = False
    seldom_ms: float = 0.0

    def __str__(self) -> str:
        processes = "process" if self.processes == 1 else "processes"
        seldom = f", each fourth time {self.seldom_ms:g} ms," if self.seldom_ms else ""
        first = f"{seldom} before all others" if self.before_all else ""
        if not self.idle_ms:
            return f"{self.processes} {processes} busy all the time{first}"
        return f"{self.processes} {processes} busy {self.busy_ms:g} ms of {self.busy_ms + self.idle_ms:g}{first}"


#: Those of a busy server, those that compute all the time, and a machine that stops now and then, as one does whose
#: CPUs are others' too: a measurement of a second is INVALID beside it as often as not, and what is to happen within
#: 300 ms may not.
OFTEN_BUSY, ALWAYS_BUSY = Hogs(), Hogs(2, 3.0, 0.0)
PAUSES = Hogs(os.cpu_count() or 1, 100.0, 2150.0, before_all=True, seldom_ms=300.0)


@contextmanager
def hogging(hogs: Hogs | None) -> Iterator[tuple[int, ...]]:
    """They compute until the end of the block, or of this process, whatever ends it; None is nobody. Their numbers."""
    words: list[str] = []
    if hogs is not None:
        times_ms = (hogs.busy_ms, hogs.idle_ms, hogs.seldom_ms or hogs.busy_ms)
        words = [*(str(time_ms / 1000) for time_ms in times_ms), str(int(hogs.before_all))]
    # Isolated, and without the site's packages: they have nothing to load.
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), *words]
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


def _compute(starter: int, busy_s: float, idle_s: float, seldom_s: float, before_all: bool) -> None:
    """Compute until another process than `starter` is the parent: that one has ended."""
    if before_all:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    print(_READY, flush=True)
    period_s = busy_s + idle_s
    while os.getppid() == starter:
        is_fourth = before_all and time.monotonic() // period_s % 4 == 0  # of all of these at once
        until_s = time.perf_counter() + (seldom_s if is_fourth else busy_s)
        while time.perf_counter() < until_s:
            pass
        if before_all:
            time.sleep(period_s - time.monotonic() % period_s)  # as the others of these do
        elif idle_s:
            time.sleep(idle_s)


if __name__ == "__main__":
    _compute(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5] == "1")
