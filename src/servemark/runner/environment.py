"""The machine on which servemark runs, as a result has it."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

import psutil

from servemark.result import Environment
from servemark.units import BYTES_PER_MIB


def environment_here(root: Path = Path("/")) -> Environment:
    """The machine here; `root` holds its /proc and /sys."""
    return Environment(
        os=platform.platform(),
        machine=platform.machine(),
        cpus=os.cpu_count(),
        memory_mib=psutil.virtual_memory().total // BYTES_PER_MIB,
        python=platform.python_version(),
        kernel=platform.release(),
        cpu_model=_cpu_model(root),
        governor=_governor(root),
    )


def _cpu_model(root: Path) -> str | None:
    """What /proc/cpuinfo calls the first processor; on ARM it has no name there."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return None


def _governor(root: Path) -> str | None:
    """What governs the frequency of processors, where the kernel does; several are joined."""
    found = set()
    for file in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"):
        with suppress(OSError):
            found.add(file.read_text(encoding="ascii").strip())
    return ", ".join(sorted(found)) or None
