"""Confidence intervals of means and rates, by the stationary bootstrap over batches of time.

Requests that are near in time are alike, so they are not resampled one by one: the run is cut into at most 2,000
batches of equal time, and blocks of neighbouring batches, of random length, are drawn with replacement. Source:
Politis and Romano, The Stationary Bootstrap (JASA 89, 1994); the mean block length grows with the cube root of the
number of batches, the rate that minimises the error of the variance (Hall, Horowitz and Jing, Biometrika 82, 1995).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_BATCHES = 2_000
#: Fewer values than this give no interval of a mean or a rate: the bootstrap would only repeat them.
SMALLEST_N = 30
_RESAMPLES = 1_000
#: So many are drawn at a time, for the sake of memory.
_AT_A_TIME = 100

FloatArray = NDArray[np.float64]


def blocks(rng: np.random.Generator, resamples: int, batches: int) -> NDArray[np.intp]:
    """Indices of resampled batches, shape (resamples, batches): blocks of geometric length, wrapped at the end."""
    position = np.arange(batches)
    starts_block = rng.random((resamples, batches)) < batches ** (-1 / 3)
    starts_block[:, 0] = True
    block_start = np.maximum.accumulate(np.where(starts_block, position, 0), axis=1)
    drawn = rng.integers(0, batches, (resamples, batches))
    return (np.take_along_axis(drawn, block_start, axis=1) + position - block_start) % batches


def stationary_bootstrap(batches: int, seed: int) -> FloatArray:
    """How often each batch is in each of the resamples that `seed` draws, shape (1000, batches)."""
    rng = np.random.default_rng(seed)
    row = np.arange(_AT_A_TIME)[:, None] * batches
    times = np.empty((_RESAMPLES, batches))
    for first in range(0, _RESAMPLES, _AT_A_TIME):
        counted = np.bincount((blocks(rng, _AT_A_TIME, batches) + row).ravel(), minlength=_AT_A_TIME * batches)
        times[first : first + _AT_A_TIME] = counted.reshape(_AT_A_TIME, batches)
    return times


def ratio_interval(numerators: FloatArray, denominators: FloatArray, resampled: FloatArray) -> tuple[float, float]:
    """95% interval of ``sum(numerators) / sum(denominators)`` over batches resampled as ``stationary_bootstrap`` says.

    A mean is the sum of values over their count, a rate the count over the time, batch by batch.
    """
    above, below = resampled @ numerators, resampled @ denominators
    ratios = above[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)
