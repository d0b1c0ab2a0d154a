"""Whether idle CPUs are kept from halting during a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from servemark import _loadgen
from servemark.machine import cgroups
from servemark.machine.cgroups import usable_cpus
from servemark.machine.network import is_remote
from servemark.units import NS_PER_US
from servemark.workload.engine_plan import EnginePlan

#: A p99 that a CPU which has to wake up shows, and one that is awake does not.
_LATE_NS = 100 * NS_PER_US
#: What became of keeping CPUs awake that had done so by themselves: they do not halt, or wake up in time.
NOT_NEEDED = "not needed"


def awake_or_not(plan: EnginePlan, server_pid: int | None, root: Path = Path("/")) -> tuple[EnginePlan, str]:
    """`plan`, as far as it may keep the CPUs of this machine awake, and what there is to tell where it does not.

    `root` holds /proc and /sys. "auto" does so in an open loop when a sleeping thread is woken late; but not under a
    CPU quota, which spinning would use up, nor when it could take CPU time from a server in another control group,
    which the process `server_pid` leads where that is known. Then the engine ends it as soon as the machine is busy by
    itself.
    """
    if plan.keep_awake != "auto":
        return plan, ""
    may_be = any(group.arrivals for group in plan.groups) and not _has_quota(root)
    if not may_be or _could_take_from_server(plan, server_pid, root):
        return replace(plan, keep_awake="off"), ""
    if _loadgen.wake_up_lag()[1] > _LATE_NS:
        return plan, ""
    return replace(plan, keep_awake="off"), NOT_NEEDED


def _has_quota(root: Path) -> bool:
    cpus = usable_cpus()
    return any(quota < cpus for quota, _ in cgroups.cpu_quotas(root))


def _could_take_from_server(plan: EnginePlan, server_pid: int | None, root: Path) -> bool:
    """Idle priority gives way only to processes of the same control group, or of any when ours is none."""
    own = cgroups.cpu_group(root)
    if own is None or is_remote(plan.addresses):
        return False
    return server_pid is None or cgroups.cpu_group(root, str(server_pid)) != own
