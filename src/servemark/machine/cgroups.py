"""The limits of this process's control groups, of versions 1 and 2. Standard library only, for the doctor."""

from __future__ import annotations

import os
from pathlib import Path

_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    # From here on the kernel takes pages back as fast as it can: nothing is killed, and all stands still.
    ("memory.high", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def usable_cpus() -> int:
    """How many processors this process may use, by its affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_left_bytes(root: Path) -> list[int]:
    """What each group that limits this process's memory still allows; caches that can be dropped included."""
    left = []
    for folder in folders(root, "memory"):
        for limit_name, usage_name, droppable_name in _MEMORY:
            limit, used = number(folder, limit_name), number(folder, usage_name)
            if limit is not None and used is not None:
                left.append(max(0, limit - used + (statistic(folder, droppable_name, "memory.stat") or 0)))
    return left


def cpu_quotas(root: Path) -> list[tuple[float, Path]]:
    """Each limit on the CPU time of this process, in CPUs, and the folder that sets it."""
    quotas = ((_quota_cpus(folder), folder) for folder in folders(root, "cpu"))
    return [(cpus, folder) for cpus, folder in quotas if cpus is not None]


def throttled(root: Path) -> dict[Path, tuple[float, int]]:
    """The seconds for which a quota of each of this process's groups kept it from running so far, and how often.

    Each CPU counts its own wait. Of groups that count none nothing is said.
    """
    found = {}
    for folder in folders(root, "cpu"):
        of_v2, of_v1, times = (
            statistic(folder, name, "cpu.stat") for name in ("throttled_usec", "throttled_time", "nr_throttled")
        )
        if of_v2 is not None:
            found[folder] = of_v2 / 1e6, times or 0
        elif of_v1 is not None:
            found[folder] = of_v1 / 1e9, times or 0
    return found


def whole_cpus(root: Path, cpus: int) -> int:
    """How many of `cpus` processors this process can keep busy under its quotas: whole ones, and at least one."""
    return max(1, min([cpus, *(int(quota) for quota, _ in cpu_quotas(root))]))


def _quota_cpus(folder: Path) -> float | None:
    """The quota that is written in `folder`, in CPUs."""
    try:
        time_us, period_us = map(int, (folder / "cpu.max").read_text(encoding="ascii").split())
    except (OSError, ValueError):  # of version 1, or "max"
        of_v1 = (number(folder, f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        time_us, period_us = (value or 0 for value in of_v1)
    return time_us / period_us if time_us > 0 and period_us > 0 else None


def cpu_group(root: Path, process: str = "self") -> Path | None:
    """The folder of the group whose share of the CPUs `process` has; None when it has that of all others.

    The kernel weighs priorities, idle ones too, only among the processes of one such group.
    """
    for folder in folders(root, "cpu", process):
        # The root of version 2 has no weight; that of version 1 has one, and no parent that also has.
        is_group = any((folder / name).exists() for name in ("cpu.weight", "cpu.shares"))
        if is_group and ((folder / "cpu.weight").exists() or (folder.parent / "cpu.shares").exists()):
            return folder
    return None


def folders(root: Path, controller: str, process: str = "self") -> list[Path]:
    """The folders of `controller` for `process` (this one, or a number) and all that it is part of, its own first;
    `root` holds /proc and /sys. Empty where there are no control groups.
    """
    try:
        lines = (root / "proc" / process / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = (line + "::").split(":", 2)
        path = path.removesuffix("::")
        # The line without controllers is that of version 2, mounted alone or beside version 1.
        mounts = ["", "unified"] if not controllers else [controller, controllers]
        for mount in mounts if controller in (controllers or controller).split(",") else []:
            top = root / "sys" / "fs" / "cgroup" / mount
            own = top / path.lstrip("/")
            # Within a container the path may be the host's; what is mounted is the container's own.
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(top) and folder.is_dir()]
    return list(dict.fromkeys(found))


def number(folder: Path, name: str) -> int | None:
    """The number in the file `name`; None where there is no such file or no limit."""
    try:
        text = (folder / name).read_text(encoding="ascii").split()[0]
        return int(text)
    except (OSError, ValueError, IndexError):
        return None


def statistic(folder: Path, name: str, file: str) -> int | None:
    """The number behind `name` in a file of names and numbers such as cpu.stat."""
    try:
        lines = (folder / file).read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)
