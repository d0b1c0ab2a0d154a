"""Percentiles of a sample, each with a distribution-free confidence interval.

A percentile is an order statistic (nearest rank: the smallest value with at least a share q of the sample at or below
it), so it is a latency that some request really had. The interval's ends are order statistics too: the number of
values below the true quantile is binomial, whatever the distribution. Source: David and Nagaraja, Order Statistics
(3rd ed., 2003), section 7.1. Its one assumption is that requests are independent; requests of one run are so only
approximately, and the intervals of a strongly autocorrelated run are too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from servemark.result import Distribution, Statistic
from servemark.units import NS_PER_MS

#: The percentiles that are reported, by the name that they have in a result.
REPORTED = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
#: Share of the confidence that may be lost on each side of a two-sided 95% interval.
_TAIL = 0.025


def smallest_n(q: float) -> int:
    """The sample size from which a two-sided 95% interval for the q-quantile exists: 368 for p99, 3,688 for p99.9.

    Below it not even the sample's extremes enclose the quantile with that confidence: ``max(q, 1-q)**n > 0.025``.
    """
    return math.ceil(math.log(_TAIL) / math.log(max(q, 1 - q)))


def interval_ranks(n: int, q: float) -> tuple[int, int] | None:
    """Ranks (1-based) of the values that enclose the q-quantile with 95% confidence, or None when n is too small.

    The lower is the largest l with P(B < l) <= 2.5%, the upper the smallest u with P(B >= u) <= 2.5%, where B is
    binomial(n, q).
    """
    if n < smallest_n(q):
        return None
    first, cdf = _binomial_cdf(n, q)
    # P(B < l) = cdf at l-1; P(B >= u) = 1 - cdf at u-1.
    lower = first + int(np.searchsorted(cdf, _TAIL, side="right"))
    upper = first + int(np.searchsorted(cdf, 1 - _TAIL, side="left")) + 1
    return max(lower, 1), min(upper, n)


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


def percentiles(values: NDArray[np.int64], scale: float, quantiles: Sequence[float]) -> list[Statistic]:
    """The quantiles of `values`, in units of 1/`scale`, with intervals. `values` is reordered in place.

    Where no interval can be had, `ci95` is None and `needs_n` says from how many values on it can.
    An empty sample has no quantiles: their values are None.
    """
    n = len(values)
    if n == 0:
        return [Statistic(value=None, ci95=None, needs_n=smallest_n(q)) for q in quantiles]
    points = [_rank(n, q) for q in quantiles]
    ranks = [interval_ranks(n, q) for q in quantiles]
    wanted = sorted({*points, *(rank for pair in ranks if pair for rank in pair)})
    values.partition([rank - 1 for rank in wanted])
    return [
        Statistic(
            value=float(values[point - 1]) / scale,
            ci95=(float(values[pair[0] - 1]) / scale, float(values[pair[1] - 1]) / scale) if pair else None,
            needs_n=None if pair else smallest_n(q),
        )
        for q, point, pair in zip(quantiles, points, ranks, strict=True)
    ]


def _rank(n: int, q: float) -> int:
    # The product is rounded before it is rounded up: 0.95 * 100 is 95.00000000000001 in floating point or 94.99..9.
    return max(1, math.ceil(round(n * q, 6)))


def distribution_ms(times_ns: NDArray[np.int64]) -> Distribution:
    """Median, 99th percentile, least and most of times in nanoseconds, in milliseconds; None of nothing."""
    p50, p99 = percentiles(times_ns.copy(), NS_PER_MS, [0.5, 0.99])
    some = len(times_ns) > 0
    return Distribution(
        p50=p50.value,
        p99=p99.value,
        min=float(times_ns.min()) / NS_PER_MS if some else None,
        max=float(times_ns.max()) / NS_PER_MS if some else None,
    )
