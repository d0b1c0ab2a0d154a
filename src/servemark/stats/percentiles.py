"""Percentiles of a sample, each with a distribution-free confidence interval.

A percentile is an order statistic (nearest rank: the smallest value with at least a share q of the sample at or below
it), so it is a latency that some request really had. The interval's ends are order statistics too: the number of
values below the true quantile is binomial, whatever the distribution. Source: David and Nagaraja, Order Statistics
(3rd ed., 2003), section 7.1. Requests of one run depend on each other, so the binomial is that of as many as they are
worth (``dependence``): for the q-quantile x, by how far the requests above x come together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from servemark.result import Distribution, Statistic
from servemark.stats.dependence import LEAST_GROUPS, LEAST_TIMES, Effective
from servemark.stats.samples import Sample, sample_of
from servemark.units import NS_PER_MS

#: The percentiles that are reported, by the name that they have in a result.
REPORTED = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
#: Share of the confidence that may be lost on each side of a two-sided 95% interval.
_TAIL = 0.025


def smallest_n(q: float) -> int:
    """How many independent values a two-sided 95% interval of the q-quantile takes: 368 for p99, 3,688 for p99.9.

    Below it not even the sample's extremes enclose the quantile with that confidence: ``max(q, 1-q)**n > 0.025``.
    """
    return math.ceil(math.log(_TAIL) / math.log(max(q, 1 - q)))


def least_n(q: float) -> int:
    """The same, and from fewer than 100 it cannot be told how independent they are."""
    return max(smallest_n(q), LEAST_TIMES)


@lru_cache(maxsize=1024)
def interval_ranks(n: int, q: float, worth: Effective) -> tuple[int, int] | None:
    """Ranks (1-based) of the values that enclose the q-quantile with 95% confidence, or None when there are too few.

    Among as many independent values as the `n` are worth, the lower is the largest l with P(B < l) <= 2.5%, the upper
    the smallest u with P(B >= u) <= 2.5%, where B is binomial; each of those stands for as many of the `n`. The upper
    one is the more cautious: what was not seen of rare groups is long. Remembered: the ranks are asked for when the
    values that have them are looked for, and again of these values.
    """
    below, above = math.floor(worth.n), math.floor(worth.cautious_n)
    if worth.times < LEAST_TIMES or worth.groups < LEAST_GROUPS or above < smallest_n(q):
        return None
    # P(B < l) = cdf at l-1; P(B >= u) = 1 - cdf at u-1.
    first, cdf = _binomial_cdf(below, q)
    lower = max(first + int(np.searchsorted(cdf, _TAIL, side="right")), 1)
    if above != below:
        first, cdf = _binomial_cdf(above, q)
    upper = min(first + int(np.searchsorted(cdf, 1 - _TAIL, side="left")) + 1, above)
    return (lower - 1) * n // below + 1, -(-upper * n // above)


def _binomial_cdf(n: int, q: float) -> tuple[int, NDArray[np.float64]]:
    """P(B <= k) for k = first, first+1, ... over all k that matter (12 standard deviations about the mean).

    Sums of the recurrence p(k+1)/p(k) = (n-k)/(k+1) * q/(1-q) in logarithms, scaled to 1: no gamma function needed,
    and exact to 1e-9 where the interval is decided.
    """
    reach = math.ceil(12 * math.sqrt(n * q * (1 - q))) + 12
    first, last = max(0, math.floor(n * q) - reach), min(n, math.ceil(n * q) + reach)
    k = np.arange(first, last, dtype=np.float64)
    log_p = np.concatenate(([0.0], np.cumsum(np.log((n - k) / (k + 1)) + math.log(q / (1 - q)))))
    p = np.exp(log_p - log_p.max())
    return first, np.cumsum(p / p.sum())


def point_ranks(count: int, quantiles: Sequence[float]) -> set[int]:
    """The ranks (1-based) of the values that the quantiles of `count` values are."""
    return {rank(count, q) for q in quantiles} if count else set()


def percentiles(sample: Sample, scale: float, quantiles: Sequence[float]) -> list[Statistic]:
    """The quantiles of `sample`, in units of 1/`scale`, with intervals where it is known what its values are worth.

    The sample has the values of their ``point_ranks`` and ``interval_ranks``. Where no interval can be had, `ci95` is
    None and `needs_n` says of how many values like these it can. An empty sample has no quantiles: their values are
    None.
    """
    return [_percentile(sample, scale, q) for q in quantiles]


def as_independent(sample: Sample) -> Sample:
    """The same sample as if its values did not depend on each other, however few they are."""
    if not sample.count:
        return sample
    worth = Effective.of_independent(sample.count)
    return replace(sample, worth=dict.fromkeys(REPORTED.values(), worth))


def _percentile(sample: Sample, scale: float, q: float) -> Statistic:
    count, ordered, worth = sample.count, sample.ordered, sample.worth.get(q)
    value = ordered[rank(count, q)] / scale if count else None
    pair = interval_ranks(count, q, worth) if worth else None
    if pair:
        return Statistic(value, (ordered[pair[0]] / scale, ordered[pair[1]] / scale))
    if worth is None:
        return Statistic(value, None, least_n(q))
    return Statistic(value, None, math.ceil(count * _lacking(q, worth)))


def _lacking(q: float, worth: Effective) -> float:
    """How many times as many values like these it takes until the q-quantile has an interval.

    So many times as many come in so many times as many groups, of which more is known then.
    """
    known = max(LEAST_TIMES / worth.times, LEAST_GROUPS / worth.groups)
    return max(known, smallest_n(q) / replace(worth, groups=worth.groups * known).cautious_n)


def percentiles_ms(sample: Sample) -> dict[str, Statistic]:
    """The percentiles that are reported, by name, of a sample in nanoseconds: in milliseconds."""
    return dict(zip(REPORTED, percentiles(sample, NS_PER_MS, list(REPORTED.values())), strict=True))


def rank(n: int, q: float) -> int:
    """The rank (1-based) of the q-quantile of `n` values: the nearest."""
    # The product is rounded before it is rounded up: 0.95 * 100 is 95.00000000000001 in floating point or 94.99..9.
    return max(1, math.ceil(round(n * q, 6)))


#: The quantiles of a distribution without intervals.
SPREAD = (0.5, 0.99)


def distribution_ms(sample: Sample) -> Distribution:
    """Median, 99th percentile, least and most of a sample in nanoseconds, in milliseconds; None of nothing."""
    p50, p99 = percentiles(sample, NS_PER_MS, SPREAD)
    return Distribution(
        p50=p50.value,
        p99=p99.value,
        min=None if sample.min is None else sample.min / NS_PER_MS,
        max=None if sample.max is None else sample.max / NS_PER_MS,
    )


def distribution_of(times_ns: NDArray[np.int64]) -> Distribution:
    """The same of times in nanoseconds."""
    return distribution_ms(sample_of(times_ns.copy(), point_ranks(len(times_ns), SPREAD)))
