"""A million requests of generators on a Ray cluster: that none is lost on its way, and what that takes of their driver.

The cluster is one of this machine, a head and two nodes, so that a machine by itself can show it: what crosses between
machines, and how far their clocks are apart, it cannot.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import psutil
from judging import judge_causes, judge_counts, judge_schedule
from measuring import Conditions, measure

from bench.proof import Section, section_of
from servemark.engines import ProgressReport
from servemark.units import NS_PER_S
from servemark.workload.load import OpenLoad
from tests.ray_nodes import NO_TOKEN, ray_cluster

NODES = 2
_MIB = 1 << 20


@dataclass
class _Driver:
    """What the driver of a run takes, as it looks at the progress: of the last run, where there are several.

    Attributes:
        memory_bytes: what it had, at its first look and at its most.
        answered_at_s: when it heard that all `requests` had been answered.
        told_at_s: when it looked for the last time.
    """

    requests: int
    memory_bytes: tuple[int, int] = (0, 0)
    answered_at_s: float | None = None
    told_at_s: float = 0.0
    _process: psutil.Process = field(default_factory=psutil.Process)
    _elapsed_ns: int = 0

    def look(self, progress: ProgressReport, _words: str) -> None:
        """Be told of the progress."""
        now_s, memory = time.monotonic(), self._process.memory_info().rss
        if progress.elapsed_ns < self._elapsed_ns or not self.told_at_s:
            self.memory_bytes, self.answered_at_s = (memory, memory), None
        self._elapsed_ns, self.told_at_s = progress.elapsed_ns, now_s
        self.memory_bytes = self.memory_bytes[0], max(self.memory_bytes[1], memory)
        if self.answered_at_s is None and progress.succeeded + progress.failed >= self.requests:
            self.answered_at_s = now_s

    @property
    def told(self) -> str:
        """The same in a sentence."""
        grew_mib = (self.memory_bytes[1] - self.memory_bytes[0]) / _MIB
        waited_s = self.told_at_s - (self.answered_at_s or self.told_at_s)
        return (
            f"While it was sent and carried the driver held {grew_mib:.0f} MiB more than before, and {waited_s:.1f} s "
            "after it had heard of the last answer all records were there; the run took "
            f"{self._elapsed_ns / NS_PER_S:.0f} s."
        )


def prove_cluster(program: Path, folder: Path, load: OpenLoad, law: tuple[str, ...]) -> Section:
    """Every request of `load` is scheduled, sent, received and recorded, once, by generators on a node each."""
    assert load.requests
    driver = _Driver(load.requests)
    with patch.dict(os.environ, NO_TOKEN), ray_cluster(NODES) as cluster:
        conditions = Conditions(generators=NODES, ray_address=cluster.address, watch=driver.look)
        sample = measure(program, folder, law, load, seed=3, conditions=conditions)
    (segment,) = load.arrivals.profile
    what, rate = f"{load.requests:,} requests of {NODES} generators on a Ray cluster", f"{segment.from_per_s:,.0f}/s"
    return section_of(
        f"Scheduled = sent = received = recorded, over {what}",
        f"`servemark-oracle {' '.join(law)}`; poisson, {rate}, {NODES} nodes of this machine, seed 3",
        [sample],
        [*judge_counts([sample]), *judge_schedule([sample]), *judge_causes([sample])],
        driver.told,
    )
