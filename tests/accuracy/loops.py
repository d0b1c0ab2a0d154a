"""Loads at a server that takes the same time for every request, on a machine that has nothing else to do, or much.

Every request has a server of its own. What is reported of each run is judged by what the oracle recorded of the same
requests: from their arrival, by the kernel's stamp, until their answer left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from judging import MS, Finding, near
from laws import Times, nearest_rank
from measuring import MOST_TRIES, Conditions, Sample, measure, reported

from servemark.workload.load import Arrivals, ClosedLoad, OpenLoad, RateSegment

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
Latency = Literal["service", "response"]
_WARMUP_S = 0.2


@dataclass(frozen=True)
class Reach:
    """How far a reported percentile may be from the truth: a share of it, a time, and a share of its interval."""

    share: float
    slack_ms: float
    of_interval: float = 0.0

    def __str__(self) -> str:
        interval = f" and {self.of_interval:g} of its interval" if self.of_interval else ""
        return f"{self.share:.0%} and {self.slack_ms:g} ms{interval}"


#: What 95 in 100 runs keep to, and what every run keeps to.
USUAL, EVERY = Reach(0.02, 0.15), Reach(0.05, 0.15, 0.5)


@dataclass(frozen=True)
class Loop:
    """A closed loop of `users`, or, 0 of them, an open loop of poisson arrivals."""

    users: int
    rate_per_s: float = 0.0
    service_ms: float = 5.0

    def __str__(self) -> str:
        if not self.users:
            return f"open loop, {self.rate_per_s:g}/s"
        return f"{self.users} user{'s' if self.users > 1 else ''}"

    @property
    def law(self) -> tuple[str, ...]:
        """The oracle's options."""
        return ("--constant-ms", str(self.service_ms))

    @property
    def latency(self) -> Latency:
        """That which the load is about."""
        return "service" if self.users else "response"


def run_loop(
    program: Path,
    folder: Path,
    loop: Loop,
    *,
    seed: int,
    run_s: float,
    conditions: Conditions,
    most_tries: int = MOST_TRIES,
) -> Sample:
    """One run of `run_s` after a moment of warm-up."""
    if loop.users:
        closed = ClosedLoad(loop.users, duration_s=run_s, warmup_s=_WARMUP_S)
        return measure(program, folder, loop.law, closed, seed=seed, conditions=conditions, most_tries=most_tries)
    arrivals = Arrivals("poisson", profile=(RateSegment(loop.rate_per_s, loop.rate_per_s),))
    load = OpenLoad(arrivals, duration_s=run_s, warmup_s=_WARMUP_S)
    return measure(program, folder, loop.law, load, seed=seed, conditions=conditions, most_tries=most_tries)


def true_times(sample: Sample) -> Times:
    """What the oracle took for each request of the statistics, in ns."""
    counted = sample.measured & (sample.rows["kind"] == 0)
    times: Times = (sample.log["departed"] - sample.log["arrival"])[counted]
    return times


def judge_times(sample: Sample, latency: Latency, reach: Reach) -> list[Finding]:
    """The reported p50, p90 and p99 of `latency` are within `reach` of those that the oracle recorded."""
    summary = getattr(reported([sample]), f"{latency}_ms")
    truth = true_times(sample)
    found = []
    for name, q in PERCENTILES.items():
        statistic = getattr(summary, name)
        truth_ms = nearest_rank(truth, q) / MS
        low_ms, high_ms = statistic.ci95 or (0.0, 0.0)
        most_ms = reach.share * truth_ms + reach.slack_ms + reach.of_interval * (high_ms - low_ms)
        found.append(near(f"{name} of the {latency}", statistic.value, truth_ms, most_ms))
    return found
