"""Confidence intervals of means and rates, by the stationary bootstrap over batches of time.

Requests that are near in time are alike, so they are not resampled one by one: the run is cut into at most 2,000
batches of equal time, and blocks of neighbouring batches, of geometric length, are drawn with replacement. Source:
Politis and Romano, The Stationary Bootstrap (JASA 89, 1994). Of a sum the bootstrap's variance has a closed form
(their lemma 1), so that nothing has to be drawn, and the same records always have the same interval. It is Student's,
on the logarithm, since what cannot be negative is spread in proportion to its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.stats.dependence import LEAST_TIMES, Dependence, autocovariances

MOST_BATCHES = 2_000
_OF_THE_EDGES = 1 / 6
#: What comes at even times differs from that by no more than this, by how it is computed.
_ROUNDING = 1e-12

FloatArray = NDArray[np.float64]


def block_length(covariances: FloatArray) -> tuple[float, float]:
    """The mean length of blocks that makes the error of the bootstrap's variance least, in batches; and the bias.

    `covariances` are those of every lag. The bias is by how much the variance is too small with blocks of length 1.
    Source: Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap (Econometric Reviews 23,
    2004), as corrected by Patton, Politis and White (28, 2009).
    """
    n = len(covariances)
    if n < 3 or covariances[0] <= 0:
        return 1.0, 0.0
    lags = _lags_that_matter(covariances / covariances[0])
    lag = np.arange(1, lags + 1)
    # The flat-top window of Politis and Romano: 1 up to the half of the lags, then falling to 0.
    weighted = np.minimum(1.0, 2 * (1 - lag / lags)) * covariances[1 : lags + 1]
    spectrum = float(covariances[0] + 2 * weighted.sum())
    bias = float(2 * (lag * weighted).sum())
    longest = float(math.ceil(min(3 * math.sqrt(n), n / 3)))
    if spectrum <= 0:  # what comes at even times: only long blocks see that it does
        return longest, 0.0
    return min(max((bias**2 / spectrum**2 * n) ** (1 / 3), 1.0), longest), bias


def _lags_that_matter(correlations: FloatArray) -> int:
    """Twice the lag after which several autocorrelations in a row are no more than chance."""
    n = len(correlations)
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = min(math.ceil(math.sqrt(n)) + in_a_row, n - 1)
    is_chance = np.abs(correlations[1:]) < 2 * math.sqrt(math.log10(n) / n)
    run = 0
    for lag, small in enumerate(is_chance[: most + in_a_row], 1):
        run = run + 1 if small else 0
        if run == in_a_row:
            return min(2 * max(lag - in_a_row, 1), most)
    return most


def bootstrap(residuals: FloatArray) -> Dependence:
    """The variance of the sum of `residuals`, shape (batches,), which sum up to 0, by the stationary bootstrap.

    It is scaled up by what subtracting the mean takes from it, and raised by what blocks of finite length lose (the
    rule's own estimate of that). Its degrees of freedom are those of a window of lags of twice a block's length.
    """
    n = len(residuals)
    covariances = autocovariances(residuals)
    if n < 3 or covariances[0] <= 0:
        return Dependence(0.0, 1.0, max(n - 1.0, 1.0))
    length, bias = block_length(covariances)
    lag = np.arange(1, n)
    goes_on = 1 - 1 / length
    weights = (1 - lag / n) * goes_on**lag + lag / n * goes_on ** (n - lag)
    variance = float(covariances[0] + 2 * (weights * covariances[1:]).sum())
    variance = max(variance, variance + bias / length, 0.0) / max(1 - (2 * length - 1) / n, 0.5)
    return Dependence(variance * n, variance / float(covariances[0]), n / (2 * length))


@dataclass(frozen=True)
class Found:
    """A 95% interval, and of how many integrated autocorrelation times it is; None where these are too few."""

    ci95: tuple[float, float] | None
    times: float


def mean_interval(sums: FloatArray, counts: FloatArray, stddev: float) -> Found:
    """The interval of the mean of values that have these `sums` and `counts` by batch, and that standard deviation."""
    n = float(counts.sum())
    mean = float(sums.sum()) / n
    found = bootstrap(sums - mean * counts)
    independent = n * stddev**2
    if independent <= 0:
        return Found((mean, mean) if n >= LEAST_TIMES else None, n)
    variance = max(found.variance, independent)
    times = n * independent / variance
    if times < LEAST_TIMES or mean <= 0:
        return Found(None, times)
    reach = found.t * math.sqrt(variance) / n / mean
    return Found((mean * math.exp(-reach), mean * math.exp(reach * _cautious(times))), times)


def rate_interval(counts: FloatArray, seconds: FloatArray) -> Found:
    """The interval of the rate at which things happen, of which `counts` by batch happened within `seconds` each.

    Where the window begins and ends adds a sixth to the variance of their number (Cox, Renewal Theory, 1962, 4.5).
    """
    n, whole_s = float(counts.sum()), float(seconds.sum())
    expected = n * seconds / whole_s
    residuals = counts - expected
    residuals[np.abs(residuals) < _ROUNDING * expected] = 0.0
    found = bootstrap(residuals)
    times = min(n, len(counts)) / max(found.autocorrelation, 1.0)
    if times < LEAST_TIMES:
        return Found(None, times)
    reach, rate = found.t * math.sqrt(found.variance + _OF_THE_EDGES) / n, n / whole_s
    return Found((rate * math.exp(-reach * _cautious(times)), rate * math.exp(reach)), times)


def _cautious(times: float) -> float:
    """The factor by which an interval reaches farther to the side to which rare long waits would have moved the figure.

    A run in which none happened takes what it saw for alike, and looks longer than it is. By simulation (``make
    prove``): twice as far at the least `times`, the intervals of a queue's mean hold in 96% there, and in 92% even of
    those runs of half that length which look long enough; from ten times these on it is a tenth.
    """
    return 1 + LEAST_TIMES / times
