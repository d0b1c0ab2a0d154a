"""The limits of this process's control groups, of versions 1 and 2. Standard library only, for the doctor."""

from __future__ import annotations

from pathlib import Path

_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory_left_bytes(root: Path) -> list[int]:
    """What each group that limits this process's memory still allows; caches that can be dropped included."""
    left = []
    for folder in folders(root, "memory"):
        for limit_name, usage_name, droppable_name in _MEMORY:
            limit, used = number(folder, limit_name), number(folder, usage_name)
            if limit is not None and used is not None:
                left.append(max(0, limit - used + (statistic(folder, droppable_name, "memory.stat") or 0)))
    return left


def folders(root: Path, controller: str) -> list[Path]:
    """The folders of `controller` for this process and all that it is part of, its own first; `root` holds /proc and
    /sys. Empty where there are no control groups.
    """
    file = root / "proc" / "self" / "cgroup"
    if not file.exists():
        return []
    found: list[Path] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
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
