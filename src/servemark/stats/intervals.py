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

FloatArray = NDArray[np.float64]


def stationary_bootstrap(batches: int, seed: int) -> NDArray[np.intp]:
    """Indices of the resampled batches, shape (1000, batches): blocks of geometric length, wrapped at the end."""
    rng = np.random.default_rng(seed)
    position = np.arange(batches)
    starts_block = rng.random((_RESAMPLES, batches)) < batches ** (-1 / 3)
    starts_block[:, 0] = True
    block_start = np.maximum.accumulate(np.where(starts_block, position, 0), axis=1)
    drawn = rng.integers(0, batches, (_RESAMPLES, batches))
    return (np.take_along_axis(drawn, block_start, axis=1) + position - block_start) % batches


def ratio_interval(numerators: FloatArray, denominators: FloatArray, indices: NDArray[np.intp]) -> tuple[float, float]:
    """95% interval of ``sum(numerators) / sum(denominators)`` over batches resampled by `indices`.

    A mean is the sum of values over their count, a rate the count over the time, batch by batch.
    """
    below = denominators[indices].sum(axis=1)
    ratios = numerators[indices].sum(axis=1)[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)
