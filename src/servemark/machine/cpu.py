"""CPU time of a server's processes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


def processes_cpu_s(processes: Iterable[psutil.Process]) -> float | None:
    """The CPU time that `processes`, and their children that have ended, have used; None when there are none."""
    used = []
    for process in processes:
        with suppress(psutil.Error, OSError):
            times = process.cpu_times()
            of_ended_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            used.append(times.user + times.system + of_ended_s)
    return sum(used) if used else None
