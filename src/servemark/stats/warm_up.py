"""How much of the beginning of a run is warm-up: MSER-5.

Cut is what leaves the mean of the rest with the least squared error: the d that makes ``sum((y - mean)^2) / (k - d)^2``
over the k - d last batches least, where a batch holds five values on the mean. Source: White, An Effective Truncation
Heuristic for Bias Reduction in Simulation Output (Simulation 69, 1997); with batches of five: White, Cobb and Spratt, A
Comparison of Five Steady-State Truncation Heuristics for Simulation (WSC 2000).

What is looked at is the share of responses above the run's median, not their mean time: of that a single stall of the
server, which the statistics are to show, would make a warm-up of all that was before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: From so many values on it is looked for.
LEAST_VALUES = 200
_VALUES_A_BATCH = 5
#: What is cut has to leave an error smaller by this than nothing would: noise alone makes it a little smaller.
_LEAST_GAIN = 0.05


def warm_up_share(above: FloatArray, counts: FloatArray) -> float:
    """The share of a run's time that is warm-up, at most a half; `above` of `counts` values by batch were slow."""
    if counts.sum() < LEAST_VALUES:
        return 0.0
    batches = len(counts)
    width = max(1, int(np.ceil(_VALUES_A_BATCH * batches / counts.sum())))
    starts = np.arange(0, batches, width)
    grouped, slow = np.add.reduceat(counts, starts), np.add.reduceat(above, starts)
    filled = grouped > 0
    errors = truncation_errors(slow[filled] / grouped[filled])
    cut = int(errors[: len(errors) // 2 + 1].argmin())
    if errors[cut] > (1 - _LEAST_GAIN) * errors[0]:
        return 0.0
    return float(starts[filled][cut]) / batches


def truncation_errors(values: FloatArray) -> FloatArray:
    """The squared error of the mean of the values from each on, by MSER; shape (n,)."""
    left = np.arange(len(values), 0, -1)
    sums, squares = np.cumsum(values[::-1])[::-1], np.cumsum(values[::-1] ** 2)[::-1]
    errors: FloatArray = (squares - sums**2 / left) / left**2
    return errors
