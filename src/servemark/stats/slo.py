"""Whether as many requests are within a limit as an objective asks: met, missed, or not yet known.

A percentile's objective is one of a share: p99 < 50 ms is met when at least 99% of all requests succeed within 50 ms.
Of a share the bounds are those of Clopper and Pearson, on as many independent requests as the measured ones are worth.
Those that missed tell that of themselves, all trials together: a stall in one of five is rare in all of them. Where few
or none did there is nothing to tell it by, and a run that was lucky is like one that is well: to be met, requests are
worth no more than what lies beyond less rare percentiles of the same run says, as an interval has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servemark.result import Outcome
from servemark.stats.dependence import LEAST_TIMES, effective_quantiles, effective_share
from servemark.stats.distributions import beta_cdf, share_interval
from servemark.stats.evidence import Shares

#: A bound is wrong in one of twenty.
_TAIL = 0.05
#: Beyond so many requests nothing is decided that they do not decide.
_MOST_REQUESTS = 1e9


@dataclass(frozen=True)
class Judged:
    """What was found of a share.

    Attributes:
        outcome: whether at least the share that was asked for is within the limit.
        requests: how many were looked at, and `missed` of them were not.
        independent: how many independent ones they are worth.
        low: the lower 95% bound of the share within the limit, and `high` the upper one.
        needs_n: where undecided, how many requests like these would decide; None where no number would.
    """

    outcome: Outcome
    requests: int
    missed: int
    independent: float
    low: float
    high: float
    needs_n: int | None = None

    @property
    def share(self) -> float:
        """The share within the limit."""
        return 1 - self.missed / self.requests if self.requests else 0.0


def judge_share(trials: Sequence[Shares], least: float, above: Sequence[Mapping[float, Shares]] = ()) -> Judged:
    """Whether at least the share `least` of the requests is within the limit, by all `trials` together.

    Those that are meant in them missed it. In `above` are of each trial, by quantile, the requests that took longer.
    """
    seen = Shares.joined(trials)
    independent = effective_share(seen.meant, seen.counts).cautious_n
    to_be_met = min(independent, _believed_n(above, least))
    return judge_worth(float(seen.counts.sum()), float(seen.meant.sum()), independent, least, to_be_met)


def _believed_n(above: Sequence[Mapping[float, Shares]], least: float) -> float:
    """How many independent requests the trials are worth by what lies `above` their quantiles up to that of `least`.

    Infinite where there is none. All that they are worth where that can be told, or where they are so few that hardly
    anything could be met otherwise; else, where they depend on each other, with the caution of an interval. By
    simulation of M/M/1 queues at 0.5 to 0.9, whose share is just that of the objective, in one run or in five: met in
    at most 7% from 300 requests on, and without this in up to 88%.
    """
    found = [of_trial for of_trial in above if of_trial]
    if not found:
        return math.inf
    joined = {q: Shares.joined([of_trial[q] for of_trial in found]) for q in found[0]}
    median, *rarer = sorted(joined)
    told = [median, *(q for q in rarer if q <= least and joined[q].meant.any())]
    counts = joined[median].counts
    n = float(counts.sum())
    worth = effective_quantiles({q: joined[q].meant for q in told}, counts)[told[-1]]
    if told[-1] != least:
        worth = worth.limited_to(worth.most_times(1 - least), n, 1 - least)
    return worth.times if n < LEAST_TIMES or worth.times >= min(LEAST_TIMES, n / 2) else worth.cautious_n


def judge_parts(parts: int, missed: int, responses: Sequence[Shares], most: float, least: float) -> Judged:
    """Whether at least the share `least` of the `parts` of responses, of which some `missed`, is within the limit.

    In `responses` are of each trial those meant of which a part missed it. The parts are worth no more than as many
    independent ones as `most` says, of responses; and less where what missed came together, a stall that many streams
    had at once: the variance of how many parts missed is that of how many responses did, as their dependence in time
    has it, times the square of how many parts of each did. The more responses had one, the less that tells: where four
    of five did, a bound was wrong in one of ten, by simulation.
    """
    seen = Shares.joined(responses)
    whole, with_missed = float(seen.counts.sum()), float(seen.meant.sum())
    worth = min(float(parts), most)
    if missed and 0 < with_missed < whole:
        independent = effective_share(seen.meant, seen.counts).cautious_n
        of_each = max(missed / with_missed, 1.0)
        worth = min(worth, (parts - missed) * independent / (of_each * (whole - with_missed)))
    return judge_worth(parts, missed, worth, least)


def judge_worth(
    requests: float, missed: float, independent: float, least: float, to_be_met: float | None = None
) -> Judged:
    """The same of `requests`, of which `missed` did, where it is known how many `independent` ones they are worth.

    `to_be_met` is how many they are worth where that is fewer for a share that is met.
    """
    if requests <= 0 or independent <= 0:
        return Judged("undecided", 0, 0, 0.0, 0.0, 1.0, _needed(1.0, least))
    share = 1 - missed / requests
    worth = independent if to_be_met is None or share < least else to_be_met
    low, _ = share_interval(share * worth, worth, _TAIL)
    _, high = share_interval(share * independent, independent, _TAIL)
    outcome = outcome_of(share, worth, least)
    needs_n = None
    if outcome == "undecided":
        needed = _needed(share, least)
        needs_n = None if needed is None else max(math.ceil(needed * requests / worth), int(requests) + 1)
    return Judged(outcome, int(requests), int(missed), worth, low, high, needs_n)


def outcome_of(share: float, n: float, least: float) -> Outcome:
    """Tell on which side of the bounds of a share that `n` requests have `least` lies, without having to find these."""
    within, beyond = share * n, n - share * n
    if within > 0 and beta_cdf(least, within, beyond + 1) <= _TAIL:
        return "met"
    if beyond > 0 and beta_cdf(least, within + 1, beyond) >= 1 - _TAIL:
        return "missed"
    return "undecided"


def _needed(share: float, least: float) -> int | None:
    """How many independent requests of which `share` are within the limit would decide; None beyond a billion."""
    undecided, n = 0.0, 1.0
    while outcome_of(share, n, least) == "undecided":
        undecided, n = n, n * 2
        if n > _MOST_REQUESTS:
            return None
    while n - undecided > max(1.0, n / 1000):
        middle = (n + undecided) / 2
        if outcome_of(share, middle, least) == "undecided":
            undecided = middle
        else:
            n = middle
    return math.ceil(n)
