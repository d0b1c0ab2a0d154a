"""Looking at the machine that an engine runs on, for as long as it sends."""

from __future__ import annotations

from servemark.engines import Job
from servemark.machine.counters import MachineWatch
from servemark.machine.network import is_remote


def watch_machine(job: Job) -> MachineWatch:
    """Begin to look at this machine, and at what the server of `job` uses of it."""
    return MachineWatch(job.server_cpu_s, remote=is_remote(job.addresses.values()))
