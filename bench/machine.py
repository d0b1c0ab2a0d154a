"""The machine that was measured on, without its name or any path, and what else it had to do meanwhile."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from servemark.version import version


@dataclass(frozen=True)
class Machine:
    """Facts, and how much of the processors' time others had: `steal` by the hypervisor, as a share."""

    processor: str
    cpus: int
    memory_gib: int
    kernel: str
    system: str
    servemark: str
    load_before: float
    started_at: float
    steal_s: float
    steal: float = 0.0
    minutes: float = 0.0

    @classmethod
    def now(cls) -> Machine:
        """The machine before anything is measured."""
        return cls(
            processor=_processor(),
            cpus=len(os.sched_getaffinity(0)),
            memory_gib=round(psutil.virtual_memory().total / 2**30),
            kernel=platform.release().split("-")[0],
            system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
            servemark=version(),
            load_before=os.getloadavg()[0],
            started_at=time.time(),
            steal_s=_steal_s(),
        )

    @property
    def in_words(self) -> str:
        """What it is, and the servemark on it."""
        room = f"{self.cpus} CPUs, {self.memory_gib} GiB"
        return f"{self.processor}, {room}, {self.system}, Linux {self.kernel}, servemark {self.servemark}"

    def after(self) -> Machine:
        """The same, when all was measured."""
        took_s = time.time() - self.started_at
        total_s = took_s * (os.cpu_count() or 1)
        return replace(self, steal=(_steal_s() - self.steal_s) / total_s if total_s else 0.0, minutes=took_s / 60)


def _processor() -> str:
    match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
    return match[1] if match else platform.machine()


def _steal_s() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))
