"""Checks of how evenly this machine computes: what would show in figures as if it were the server's doing.

`root` holds /proc and /sys.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from servemark.doctor.finding import Finding
from servemark.environments.commands import finish
from servemark.machine import cgroups
from servemark.machine.cgroups import usable_cpus

_CPUS = "sys/devices/system/cpu"
_CLOCKS = "sys/devices/system/clocksource/clocksource0"
#: Read through the kernel or from a device, not by one instruction.
_SLOW_CLOCKS = {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit", "xen"}
_WATCH_S = 1.0
_STEAL_SHARE = 0.01
_RESOLUTION_S = 1e-6
_PROBE_TIMEOUT_S = 20.0
_TRY_REALTIME = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"


def governor(root: Path = Path("/")) -> Finding:
    """What decides the CPUs' frequencies."""
    files = sorted((root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    chosen = {file.read_text(encoding="ascii").strip() for file in files}
    if not chosen:
        return Finding("not_applicable", "this system cannot set frequencies, as most virtual machines")
    if chosen == {"performance"}:
        return Finding("ok", f"performance on {len(files)} CPUs")
    fix = f"echo performance | sudo tee /{_CPUS}/cpu*/cpufreq/scaling_governor"
    return Finding("warning", f"{', '.join(sorted(chosen))} on {len(files)} CPUs", fix)


def steal(root: Path = Path("/"), watch_s: float = _WATCH_S) -> Finding:
    """The share of CPU time that the hypervisor gives to others, over `watch_s` and since the machine started."""
    try:
        before = _cpu_times(root)
        time.sleep(watch_s)
        after = _cpu_times(root)
    except (OSError, IndexError, ValueError) as error:
        return Finding("not_applicable", f"this system does not count it ({error})")
    now = _stolen_share([late - early for early, late in zip(before, after, strict=True)])
    always = _stolen_share(after)
    found = f"{now:.1%} in {watch_s:g} s, {always:.1%} since the start"
    if max(now, always) <= _STEAL_SHARE:
        return Finding("ok", found)
    return Finding("warning", found, "measure on a machine without neighbours (dedicated CPUs), or at a quieter time")


def _cpu_times(root: Path) -> list[int]:
    """The first eight columns of the line "cpu" of /proc/stat: the eighth is steal, and guests are in the first two."""
    line = (root / "proc" / "stat").read_text(encoding="ascii").splitlines()[0].split()
    return [int(word) for word in line[1:9]]


def _stolen_share(times: list[int]) -> float:
    return times[7] / sum(times) if sum(times) else 0.0


def quota(root: Path = Path("/")) -> Finding:
    """How many CPUs this process may use, and how much of their time."""
    cpus = usable_cpus()
    limits = cgroups.cpu_quotas(root)
    if limits and min(limits)[0] < cpus:
        share, folder = min(limits)
        throttled = cgroups.statistic(folder, "nr_throttled", "cpu.stat") or 0
        found = f"{share:g} CPUs' worth of time on {cpus} CPUs; throttled {throttled} times so far"
        fix = f"give whole CPUs: docker run --cpuset-cpus, not --cpus; systemd: AllowedCPUs=, not CPUQuota= ({folder})"
        return Finding("warning", found, fix)
    if cpus == 1:
        fix = "taskset -c 0-1 (or a container with more CPUs); or measure from another machine with --server"
        return Finding("warning", "1 CPU: server and load generator take turns", fix)
    return Finding("ok", f"{cpus} CPUs, no quota")


def realtime() -> Finding:
    """Whether a process of this user may have real-time priority: one tries."""
    if not hasattr(os, "sched_setscheduler"):
        return Finding("not_applicable", "this system has no such limit")
    limit, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if finish([sys.executable, "-I", "-c", _TRY_REALTIME], timeout_s=_PROBE_TIMEOUT_S).status == 0:
        return Finding("ok", f"allowed (ulimit -r: {limit})")
    if os.geteuid() == 0:
        return Finding("warning", "refused even to root", "in a container: docker run --cap-add SYS_NICE")
    fix = "./install_dependencies.sh --realtime, then log in again"
    return Finding("warning", f"not allowed (ulimit -r: {limit})", fix)


def clock(root: Path = Path("/")) -> Finding:
    """What the monotonic clock is read from, and how finely."""
    resolution_s = time.get_clock_info("monotonic").resolution
    try:
        source = (root / _CLOCKS / "current_clocksource").read_text(encoding="ascii").strip()
        others = set((root / _CLOCKS / "available_clocksource").read_text(encoding="ascii").split())
    except OSError:
        source, others = "unknown source", set()
    found = f"{source}, resolution {resolution_s * 1e9:g} ns"
    if source not in _SLOW_CLOCKS and resolution_s <= _RESOLUTION_S:
        return Finding("ok", found)
    better = sorted(others - _SLOW_CLOCKS, key=lambda name: name != "tsc")
    if better:
        return Finding("warning", found, f"echo {better[0]} | sudo tee /{_CLOCKS}/current_clocksource")
    return Finding("warning", found, "start the kernel with tsc=reliable, or measure on another machine")
