"""A million requests of generators on a Ray cluster: that none is lost on its way, and what that takes of their driver.

The cluster is one of this machine, a head and two nodes, so that a machine by itself can show it: what crosses between
machines, and how far their clocks are apart, it cannot.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from unittest.mock import patch

import psutil
from judging import Finding, judge_causes, judge_counts, judge_schedule
from measuring import Conditions, Sample, measure
from oracle import serving

from bench.proof import Section, section_of
from servemark.engines import ProgressReport
from servemark.units import NS_PER_S
from servemark.workload.load import OpenLoad
from tests.ray_nodes import NO_TOKEN, ray_cluster

NODES = 2
#: Than one with processes of this machine.
MOST_LATER_S = 5.0
_SHORT_RUNS = 3
_MIB = 1 << 20


@dataclass
class _Driver:
    """What the driver of a run takes, as it looks at the progress: of the last run, where there are several.

    Attributes:
        memory_bytes: what it had, at its first look and at its most.
        told_at_s: when it looked for the last time: when all records were there.
    """

    memory_bytes: tuple[int, int] = (0, 0)
    told_at_s: float = 0.0
    _process: psutil.Process = field(default_factory=psutil.Process)
    _elapsed_ns: int = 0

    def look(self, progress: ProgressReport, _words: str) -> None:
        """Be told of the progress."""
        memory = self._process.memory_info().rss
        if progress.elapsed_ns < self._elapsed_ns or not self.told_at_s:
            self.memory_bytes = memory, memory
        self._elapsed_ns, self.told_at_s = progress.elapsed_ns, time.monotonic()
        self.memory_bytes = self.memory_bytes[0], max(self.memory_bytes[1], memory)

    def told(self, sample: Sample) -> str:
        """The same in a sentence, beside what the oracle says of when it gave its last answer."""
        grew_mib = (self.memory_bytes[1] - self.memory_bytes[0]) / _MIB
        later_s = self.told_at_s - int(sample.log["departed"].max()) / NS_PER_S
        return (
            f"While it was sent and carried the driver held {grew_mib:.0f} MiB more than before, and {later_s:.2f} s "
            "after the last answer all records were there."
        )


def prove_cluster(program: Path, folder: Path, load: OpenLoad, law: tuple[str, ...]) -> Section:
    """Every request of `load` is scheduled, sent, received and recorded, once, by generators on a node each."""
    assert load.requests
    driver = _Driver()
    with patch.dict(os.environ, NO_TOKEN), ray_cluster(NODES) as cluster:
        later_s = _later_s(program, folder, cluster.address)
        conditions = Conditions(generators=NODES, ray_address=cluster.address, watch=driver.look)
        sample = measure(program, folder, law, load, seed=3, conditions=conditions)
    (segment,) = load.arrivals.profile
    what, rate = f"{load.requests:,} requests of {NODES} generators on a Ray cluster", f"{segment.from_per_s:,.0f}/s"
    return section_of(
        f"Scheduled = sent = received = recorded, over {what}",
        f"`servemark-oracle {' '.join(law)}`; poisson, {rate}, {NODES} nodes of this machine, seed 3",
        [sample],
        [
            *judge_counts([sample]),
            *judge_schedule([sample]),
            *judge_causes([sample]),
            Finding("a run takes longer over Ray, on a warm cluster, by", later_s, 0, -math.inf, MOST_LATER_S, "s"),
        ],
        driver.told(sample),
    )


def _later_s(program: Path, folder: Path, address: str) -> float:
    """By how much a command that sends little takes longer over Ray than with processes, in seconds: the medians."""
    on_ray = ["--on", "ray", "--ray-address", address]
    with serving(program, folder / "short.log", "--constant-ms", "1.0") as oracle:
        took_s = [[_took_s(oracle.port, folder, words) for words in ([], on_ray)] for _ in range(_SHORT_RUNS)]
    by_processes_s, by_ray_s = (median(found) for found in zip(*took_s, strict=True))
    later_s: float = by_ray_s - by_processes_s
    return later_s


def _took_s(port: int, folder: Path, words: Sequence[str]) -> float:
    """How long a command takes, whose generators send a request each."""
    url = f"http://127.0.0.1:{port}/{0:010d}/{0:020d}"
    command = [sys.executable, "-m", "servemark", "run", "http", url, "--generators", str(NODES), *words]
    command += ["-t", str(NODES), "-l", "1", "--no-report", "--no-history", "--allow-invalid"]
    began_s = time.monotonic()
    subprocess.run([*command, "--force", "-o", str(folder / "short")], check=True, capture_output=True)
    return time.monotonic() - began_s
