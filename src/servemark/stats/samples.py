"""Samples: what statistics need of a number of whole values, without the values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from servemark.stats.dependence import Effective


@dataclass(frozen=True)
class Sample:
    """What is known of a number of whole values, exactly.

    Attributes:
        count: how many there are.
        total: their sum, and `squares` that of their squares.
        min: the least of them, and `max` the greatest; None of none.
        ordered: values by their rank, from 1: those that were asked for.
        worth: for quantiles that are to have an interval, how many independent values these are worth.
    """

    count: int
    total: int
    squares: int
    min: int | None
    max: int | None
    ordered: Mapping[int, int] = field(default_factory=dict)
    worth: Mapping[float, Effective] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """Their mean; None of none."""
        return self.total / self.count if self.count else None

    @property
    def stddev(self) -> float | None:
        """Their standard deviation, with n-1; None of fewer than two."""
        if self.count < 2:
            return None
        # In whole numbers to the end: the difference of two large sums loses nothing.
        return math.sqrt(max(self.count * self.squares - self.total**2, 0) / (self.count * (self.count - 1)))


def sample_of(values: NDArray[np.int64], ranks: Iterable[int]) -> Sample:
    """The sample of `values` (reordered in place), with the values of `ranks`."""
    count = len(values)
    wanted = sorted({rank for rank in ranks if 1 <= rank <= count})
    if wanted:
        values.partition([rank - 1 for rank in wanted])
    exact = values.astype(object)
    return Sample(
        count=count,
        total=int(values.sum()),
        squares=int((exact * exact).sum()) if count else 0,
        min=int(values.min()) if count else None,
        max=int(values.max()) if count else None,
        ordered={rank: int(values[rank - 1]) for rank in wanted},
    )
