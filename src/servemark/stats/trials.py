"""A statistic over the trials of a point: its median, and how much of what trials differ by is within each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from servemark.result import Statistic, TrialStatistic
from servemark.stats.dependence import Effective
from servemark.stats.distributions import NORMAL_REACH
from servemark.stats.percentiles import interval_ranks, smallest_n


def over_trials(found: Sequence[Statistic]) -> TrialStatistic | None:
    """One statistic of each trial, together; None where a trial has no value.

    The interval of the median is of order statistics: how many of independent trials are below it is binomial, whatever
    their distribution (David and Nagaraja, Order Statistics, 3rd ed., 2003, section 7.1). What trials differ by is told
    apart: the variance of the values is that within a trial, as wide as its own interval says, and that between trials,
    the rest (the method of moments, as DerSimonian and Laird, Controlled Clinical Trials 7, 1986).
    """
    values = [one.value for one in found if one.value is not None]
    if not values or len(values) < len(found):
        return None
    variance = float(np.var(values, ddof=1)) if len(values) > 1 else None
    errors = [(one.ci95[1] - one.ci95[0]) / (2 * NORMAL_REACH) for one in found if one.ci95 is not None]
    within = float(np.mean(np.square(errors))) if len(errors) == len(found) else None
    between = None if variance is None or within is None else max(0.0, variance - within)
    return TrialStatistic(
        values=tuple(values),
        median=Statistic(float(np.median(values)), *_median_interval(values)),
        stddev=_root(variance),
        within_stddev=_root(within),
        between_stddev=_root(between),
    )


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


def _median_interval(values: Sequence[float]) -> tuple[tuple[float, float] | None, int | None]:
    """The 95% interval of the median, or from how many values on there is one."""
    pair = interval_ranks(len(values), 0.5, Effective.of_independent(len(values)))
    if pair is None:
        return None, smallest_n(0.5)
    ordered = sorted(values)
    return (ordered[pair[0] - 1], ordered[pair[1] - 1]), None
