"""Looking at the machine that an engine runs on, for as long as it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from servemark.machine.counters import MachineWatch
from servemark.machine.network import is_remote
from servemark.workload.address import Address


def watch_machine(addresses: Iterable[Address], server_cpu_s: Callable[[], float | None]) -> MachineWatch:
    """Begin to look at this machine, and at what the server at `addresses`, whose CPU time is told, uses of it."""
    return MachineWatch(server_cpu_s, remote=is_remote(addresses))
