"""Whether a figure stands while it is measured, or drifts: a trend test that allows for autocorrelation.

The window is cut into ten parts of equal time, which are long beside the integrated autocorrelation time of what has an
interval at all (ten of these at least): so what the parts show is as good as independent, and Student's test of the
slope of a straight line through them, with eight degrees of freedom, has the false alarms that it is said to have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.stats.distributions import student_cdf

PARTS = 10
_FALSE_ALARMS = 0.05

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """What a straight line through the parts says: where it begins and ends, and how likely chance alone is to do it.

    `start` and `end` are shares or counts, as the parts were.
    """

    start: float
    end: float
    p: float

    @property
    def is_drifting(self) -> bool:
        """Whether chance alone is not believed."""
        return self.p < _FALSE_ALARMS


def drift_of(amounts: FloatArray, counts: FloatArray) -> Drift | None:
    """The drift of ``amounts / counts``, both by batch; None where a part has nothing.

    The slope is that of weighted least squares, with the counts as weights.
    """
    parts = np.arange(len(counts)) * PARTS // len(counts)
    weights = np.bincount(parts, counts, minlength=PARTS)
    if len(counts) < PARTS or not (weights > 0).all():
        return None
    values = np.bincount(parts, amounts, minlength=PARTS) / weights
    weights = weights / weights.sum()
    at = (np.arange(PARTS) + 0.5) / PARTS
    middle, mean = float(weights @ at), float(weights @ values)
    spread = float(weights @ (at - middle) ** 2)
    slope = float(weights @ ((at - middle) * (values - mean))) / spread
    off = float(weights @ (values - mean - slope * (at - middle)) ** 2)
    start, end = mean - slope * middle, mean + slope * (1 - middle)
    if off <= 1e-12 * max(mean * mean, 1e-300):
        return Drift(start, end, 1.0 if abs(slope) <= 1e-6 * abs(mean) else 0.0)
    t = slope * math.sqrt(spread * (PARTS - 2) / off)
    return Drift(start, end, 2 * (1 - student_cdf(abs(t), PARTS - 2)))
