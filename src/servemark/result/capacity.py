"""The most load that meets an objective: what a search found, and the probes that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: What is searched: the rate of an open loop, or the users of a closed one.
By = Literal["rate", "threads"]
#: How a search ended. "decided": what it answers holds and fails to either side. "budget": its time was over.
#: "impossible": the least load misses the objective. "unmeasurable": the generator could send no more, or the most that
#: is tried meets it. "interrupted": by Ctrl-C.
Ending = Literal["decided", "budget", "impossible", "unmeasurable", "interrupted"]
#: What one load came to.
ProbeOutcome = Literal["met", "missed", "undecided"]


@dataclass(frozen=True)
class Estimate:
    """A value and its two-sided 90% confidence interval; None where there is none."""

    value: float | None
    ci90: tuple[float, float] | None


@dataclass(frozen=True)
class ProbeShare:
    """What a probe saw of one condition: requests, those that missed it, how many independent ones they are worth."""

    requests: int
    missed: float
    independent: float

    @property
    def share(self) -> float:
        """The share that missed it."""
        return self.missed / self.requests if self.requests else 0.0

    def __add__(self, other: ProbeShare) -> ProbeShare:
        return ProbeShare(
            self.requests + other.requests, self.missed + other.missed, self.independent + other.independent
        )


@dataclass(frozen=True)
class CapacityProbe:
    """One run of a search.

    Attributes:
        load: that was offered: requests a second, or users.
        outcome: of its load, by all probes together.
        conditions: what was seen, by the condition as it was written.
        falls_behind: it was ended early, since what waited grew and grew.
        valid: whether its certificate is.
        response_s: the median of the response; None of nothing.
        took_s: of the search's time, with all that it took around it.
        run: its place among the benchmark's runs.
        fresh: the server was started for it.
    """

    load: float
    outcome: ProbeOutcome
    conditions: Mapping[str, ProbeShare]
    falls_behind: bool
    valid: bool
    response_s: float | None
    took_s: float
    run: int
    fresh: bool = False


@dataclass(frozen=True)
class Capacity:
    """What a search found, of one configuration.

    Attributes:
        by: what was searched.
        rate_per_s: the most that meets the objective, or `threads`; the other one is None.
        limiting: the condition that fails first; None where none was seen to.
        feasible_max: the highest load that was shown to meet the objective, and `infeasible_min` the lowest above it
            that was shown to miss it.
        ending: how it ended.
        confirmed: whether it is met at `feasible_max` with what a server that was started afresh did, which alone does
            not miss it; None where none was.
        configuration: what tells it from others that were tried, by name.
        server_cpus: how many CPUs the server used at the highest load that was measured whole; None where that is
            unknown.
        machine_busy_share: of all CPUs then, likewise.
        workers_busy_share: for what part of the time the server's workers had a request then, as seen from where
            requests are sent; None where there is none of known workers, or where one takes several together.
    """

    by: By
    limiting: str | None
    feasible_max: float | None
    infeasible_min: float | None
    ending: Ending
    probes: tuple[CapacityProbe, ...]
    rate_per_s: Estimate | None = None
    threads: Estimate | None = None
    confirmed: bool | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    server_cpus: float | None = None
    machine_busy_share: float | None = None
    workers_busy_share: float | None = None

    @property
    def estimate(self) -> Estimate:
        """The estimate of what was searched."""
        found = self.rate_per_s if self.by == "rate" else self.threads
        return found or Estimate(None, None)
