"""What the machine under the generator does while a run goes on, as its kernel counts it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from servemark.certificate.conditions import MachineUse
from servemark.machine import cgroups


@dataclass(frozen=True)
class _Counters:
    """What is counted, at one moment; None where the system does not."""

    at_s: float
    busy_cpu_s: float | None
    steal_cpu_s: float | None
    own_cpu_s: float
    server_cpu_s: float | None
    memory_stalled_s: float | None
    throttled: Mapping[Path, tuple[float, int]]


class MachineWatch:
    """Looks at the machine under a generator, from when it is made.

    `server_cpu_s` tells the CPU time that the server has used on this machine; one that is `remote` uses none.
    """

    def __init__(self, server_cpu_s: Callable[[], float | None], *, remote: bool = False) -> None:
        self._server_cpu_s = server_cpu_s
        self._remote = remote
        self._before = self._read()

    def use(self, *, spun_cpu_s: float = 0.0) -> MachineUse:
        """What was used since; of that, `spun_cpu_s` only kept CPUs awake."""
        before, after = self._before, self._read()
        throttled_s, throttled_times = most_throttled(before.throttled, after.throttled)
        return MachineUse(
            elapsed_s=after.at_s - before.at_s,
            cpus=os.cpu_count() or 1,
            busy_cpu_s=_difference(before.busy_cpu_s, after.busy_cpu_s),
            steal_cpu_s=_difference(before.steal_cpu_s, after.steal_cpu_s),
            own_cpu_s=after.own_cpu_s - before.own_cpu_s + spun_cpu_s,
            server_cpu_s=_difference(before.server_cpu_s, after.server_cpu_s),
            memory_stalled_s=_difference(before.memory_stalled_s, after.memory_stalled_s),
            remote=self._remote,
            throttled_s=throttled_s,
            throttled_times=throttled_times,
            usable_cpus=cgroups.usable_cpus(),
            realtime_fix=realtime_fix(),
        )

    def _read(self) -> _Counters:
        busy_s, steal_s = _cpu_s()
        return _Counters(
            at_s=time.monotonic(),
            busy_cpu_s=busy_s,
            steal_cpu_s=steal_s,
            own_cpu_s=time.process_time(),
            server_cpu_s=0.0 if self._remote else self._server_cpu_s(),
            memory_stalled_s=_memory_stalled_s(),
            throttled=cgroups.throttled(Path("/")),
        )


def realtime_fix() -> str | None:
    """What has to be done for this user to have real-time priority, empty if nothing: a thread tries, and ends.

    None where there is no such thing.
    """
    if not hasattr(os, "sched_setscheduler"):
        return None
    refused: list[OSError] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # of this thread alone
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if not refused:
        return ""
    return (
        "docker run --cap-add SYS_NICE" if os.geteuid() == 0 else "./install_dependencies.sh --realtime, log in again"
    )


def most_throttled(
    before: Mapping[Path, tuple[float, int]], after: Mapping[Path, tuple[float, int]]
) -> tuple[float | None, int]:
    """The time, and how often, that the group was held back which was for longest meanwhile; None where none counts."""
    waits = [
        (after[group][0] - held_s, after[group][1] - times)
        for group, (held_s, times) in before.items()
        if group in after
    ]
    return max(waits, default=(None, 0))


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(after - before, 0.0)


def _cpu_s() -> tuple[float | None, float | None]:
    """CPU time used by anybody, and given to others by the hypervisor, since the machine started."""
    try:
        times = psutil.cpu_times()
    except (psutil.Error, OSError):
        return None, None
    kinds = ("user", "nice", "system", "irq", "softirq")  # guests are in user and nice
    return sum(getattr(times, kind, 0.0) for kind in kinds), getattr(times, "steal", None)


def _memory_stalled_s() -> float | None:
    """The time that something waited for memory; "some" of the kernel's Documentation/accounting/psi.rst."""
    with suppress(OSError, ValueError, IndexError):
        line = Path("/proc/pressure/memory").read_text(encoding="ascii").splitlines()[0]
        return int(line.rpartition("total=")[2]) / 1e6
    return None
