"""Queues whose capacity is known, simulated: what a search for it finds, and in which time of theirs."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.result import CapacityProbe, ProbeShare
from servemark.stats.capacity import Found, Search, Sought, judged
from servemark.stats.dependence import effective_share

_BATCHES = 2_000
_WARM_UP_S = 2.0
#: A probe ends early where requests that come now will wait for so many times the limit, but not before it was seen.
_BEHIND_TIMES, _BEHIND_S = 3.0, 4.0


@dataclass(frozen=True)
class Servers:
    """So many servers behind one queue, each of which takes `mean_s` for a request: always, or exponentially."""

    number: int
    mean_s: float
    constant: bool = False

    def responses_s(
        self, rate_per_s: float, seconds: float, draw: np.random.Generator
    ) -> tuple[NDArray[np.float64], ...]:
        """When requests come, by Poisson's process, and how long each takes from then on; from an empty queue on."""
        count = draw.poisson(rate_per_s * seconds)
        arrivals = np.sort(draw.uniform(0.0, seconds, count))
        work = np.full(count, self.mean_s) if self.constant else draw.exponential(self.mean_s, count)
        if self.number == 1:  # Lindley's recursion, as sums and a running maximum
            before = np.concatenate(([0.0], np.cumsum(work)[:-1]))
            begins = np.maximum.accumulate(arrivals - before) + before
            return arrivals, begins + work - arrivals
        free = [0.0] * self.number
        ends = np.empty(count)
        for place, (arrival, takes) in enumerate(zip(arrivals.tolist(), work.tolist(), strict=True)):
            ends[place] = max(arrival, heapq.heappop(free)) + takes
            heapq.heappush(free, ends[place])
        return arrivals, ends - arrivals


def probe_of(
    servers: Servers, load: float, seconds: float, limit_s: float, sought: Sought, draw: np.random.Generator
) -> CapacityProbe:
    """What a probe sees of `servers`."""
    (text,) = sought.least
    arrivals, responses = servers.responses_s(load, _WARM_UP_S + seconds, draw)
    measured_s = seconds
    behind = np.flatnonzero((arrivals > _WARM_UP_S + _BEHIND_S) & (responses > _BEHIND_TIMES * limit_s))
    falls_behind = load * servers.mean_s > servers.number and len(behind) > 0
    if falls_behind:
        measured_s = float(arrivals[behind[0]]) - _WARM_UP_S
    kept = (arrivals >= _WARM_UP_S) & (arrivals < _WARM_UP_S + measured_s)
    missed = responses[kept] >= limit_s
    batch = ((arrivals[kept] - _WARM_UP_S) / measured_s * _BATCHES).astype(int)
    counts = np.bincount(batch, minlength=_BATCHES).astype(float)
    meant = np.bincount(batch, missed, minlength=_BATCHES).astype(float)
    worth = effective_share(meant, counts).times
    shares = {text: ProbeShare(len(missed), float(missed.sum()), worth)}
    return CapacityProbe(
        load=load,
        outcome="missed" if falls_behind else judged(shares, sought.least),
        conditions=shares,
        falls_behind=falls_behind,
        valid=True,
        response_s=float(np.median(responses[kept])) if kept.any() else None,
        took_s=_WARM_UP_S + measured_s,
        run=0,
    )


def searched(servers: Servers, share: float, limit_s: float, budget_s: float, seed: int) -> tuple[Found, Search]:
    """What a search finds for the objective that `share` of the requests take less than `limit_s`."""
    draw = np.random.default_rng(seed)
    search = Search(Sought({f"p{100 * share:g}": share}, budget_s=budget_s))
    while not isinstance(step := search.next(), Found):
        search = search.after(probe_of(servers, step.load, step.seconds, limit_s, search.sought, draw))
    return step, search


def limit_at(servers: Servers, share: float, utilisation: float) -> float:
    """The time within which `share` of the requests are answered at that utilisation.

    Source: of M/M/1 the sojourn is exponential; of M/M/c Erlang's C (Kleinrock, Queueing Systems 1, 1975, sections 3.2
    and 3.5); of M/D/1 the distribution of the wait (Erlang 1909).
    """
    low, high = 0.0, 1_000 * servers.mean_s
    for _ in range(60):
        middle = (low + high) / 2
        if beyond(servers, utilisation, middle) > 1 - share:
            low = middle
        else:
            high = middle
    return high


def beyond(servers: Servers, utilisation: float, limit_s: float) -> float:
    """The share of the requests that take longer than `limit_s`, in the long run."""
    c, rate = servers.number, utilisation * servers.number / servers.mean_s
    if servers.constant:
        wait = limit_s - servers.mean_s
        if wait < 0:
            return 1.0
        if wait > 25 * servers.mean_s:  # the sum alternates too much; its tail is exponential
            return 0.0
        total = sum(
            math.exp(rate * (wait - k * servers.mean_s))
            * (-rate * (wait - k * servers.mean_s)) ** k
            / math.factorial(k)
            for k in range(int(wait / servers.mean_s) + 1)
        )
        return 1 - (1 - utilisation) * total
    mu, offered = 1 / servers.mean_s, utilisation * c
    erlang_b = 1.0
    for k in range(1, c + 1):
        erlang_b = offered * erlang_b / (k + offered * erlang_b)
    waits = erlang_b / (1 - utilisation * (1 - erlang_b))
    slow = c * mu - rate
    if abs(slow - mu) < 1e-9:
        return math.exp(-mu * limit_s) * (1 + waits * mu * limit_s)
    return math.exp(-mu * limit_s) + waits * mu / (mu - slow) * (math.exp(-slow * limit_s) - math.exp(-mu * limit_s))


@dataclass(frozen=True)
class Case:
    """Servers of 100 requests a second, and an objective that they meet up to a utilisation of 0.7."""

    name: str
    servers: Servers
    share: float
    budget_s: float

    def __str__(self) -> str:
        return f"{self.name} p{100 * self.share:g}"

    @property
    def capacity_per_s(self) -> float:
        """The rate up to which they meet it."""
        return 0.7 * self.servers.number / self.servers.mean_s


_SERVERS = {
    "M/D/1": Servers(1, 0.01, constant=True),
    "M/M/1": Servers(1, 0.01),
    "M/M/4": Servers(4, 0.04),
}
CASES = tuple(
    Case(name, servers, share, budget_s)
    for share, budget_s in ((0.9, 240.0), (0.99, 600.0))
    for name, servers in _SERVERS.items()
)


@dataclass(frozen=True)
class Tries:
    """Of so many tries: how many were near, how many intervals held the truth, and the longest of their times."""

    tries: int
    within_6_percent: int
    covered: int
    decided: int
    longest_s: float

    def __add__(self, other: Tries) -> Tries:
        return Tries(
            self.tries + other.tries,
            self.within_6_percent + other.within_6_percent,
            self.covered + other.covered,
            self.decided + other.decided,
            max(self.longest_s, other.longest_s),
        )


NO_TRIES = Tries(0, 0, 0, 0, 0.0)


def found_of(case: Case, tries: int, seed: int, first: int = 0) -> Tries:
    """What so many searches find, whose seeds are made of `seed` and their numbers, from `first` on."""
    limit_s, truth = limit_at(case.servers, case.share, 0.7), case.capacity_per_s
    near = covered = decided = 0
    longest_s = 0.0
    for number in range(first, first + tries):
        found, search = searched(case.servers, case.share, limit_s, case.budget_s, seed * 1_000 + number)
        value, ci90 = found.estimate.value, found.estimate.ci90
        near += value is not None and abs(value / truth - 1) <= 0.06
        covered += ci90 is not None and ci90[0] <= truth <= ci90[1]
        decided += found.ending == "decided"
        longest_s = max(longest_s, search.spent_s)
    return Tries(tries, near, covered, decided, longest_s)
