"""One queue at known utilisations: what is asked of the oracle, what of servemark, and what theory says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import laws
import numpy as np
from measuring import Sample, measure

from servemark.workload.load import Arrivals, OpenLoad, RateSegment

_SIMULATED_RUNS = 2000
#: How late the oracle may be at its own p99, for its record to be a truth.
MOST_LATE_MS = 0.3


@dataclass(frozen=True)
class Queue:
    """Poisson arrivals at one server that is busy for a share `utilisation` of the time.

    `service` is "D" (constant) or "M" (exponential), with mean `service_ms`.
    """

    service: str
    utilisation: float
    service_ms: float = 2.0

    def __str__(self) -> str:
        return f"M/{self.service}/1 at {self.utilisation:g}"

    @property
    def rate_per_s(self) -> float:
        """Of the arrivals."""
        return self.utilisation / self.service_ms * 1000

    @property
    def law(self) -> tuple[str, ...]:
        """The oracle's options; the seed of the services is the caller's to add."""
        option = "--constant-ms" if self.service == "D" else "--exponential-ms"
        return ("--queue", option, str(self.service_ms))

    @property
    def mean_ms(self) -> float:
        """The mean of the response, in ms."""
        mean = laws.md1_mean if self.service == "D" else laws.mm1_mean
        return mean(self.rate_per_s / 1000, self.service_ms)

    def percentiles_ms(self, run_s: float) -> dict[str, float]:
        """The geometric means of the p50 and of the p99 that runs of this length report by the law, in ms.

        A short run's percentiles are not the law's own on average, so those of many simulated runs are taken.
        """
        rng = np.random.default_rng(9)
        found = []
        for _ in range(_SIMULATED_RUNS):
            gaps = rng.exponential(1e9 / self.rate_per_s, round(self.rate_per_s * (run_s + self.settling_s) * 1.5) + 50)
            arrivals = np.cumsum(gaps).astype(np.int64)
            draws = rng.exponential(1.0, len(gaps)) if self.service == "M" else np.ones(len(gaps))
            response = laws.departures(arrivals, (draws * self.service_ms * 1e6).astype(np.int64)) - arrivals
            inside = (arrivals >= self.settling_s * 1e9) & (arrivals < (self.settling_s + run_s) * 1e9)
            found.append([laws.nearest_rank(response[inside], q) / 1e6 for q in (0.5, 0.99)])
        p50_ms, p99_ms = np.exp(np.log(found).mean(axis=0))
        return {"p50": float(p50_ms), "p99": float(p99_ms)}

    @property
    def settling_s(self) -> float:
        """How long the queue takes to forget that it began empty, twice over.

        The relaxation time of M/M/1 is 1 / (mu (1 - sqrt(rho))^2) (Cohen, The Single Server Queue, II.2.1); that of
        M/D/1 is shorter.
        """
        return 2 * self.service_ms / 1000 / (1 - math.sqrt(self.utilisation)) ** 2


def run_queue(program: Path, folder: Path, queue: Queue, *, runs: int, run_s: float) -> list[Sample]:
    """Independent runs: each has its own seed of arrivals and of services."""
    arrivals = Arrivals("poisson", profile=(RateSegment(queue.rate_per_s, queue.rate_per_s),))
    load = OpenLoad(arrivals, duration_s=run_s, warmup_s=queue.settling_s)
    laws_of_runs = [(seed, (*queue.law, "--seed", str(1000 + seed))) for seed in range(1, runs + 1)]
    return [measure(program, folder, law, load, seed=seed, most_late_ms=MOST_LATE_MS) for seed, law in laws_of_runs]
