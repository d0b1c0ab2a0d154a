"""How much of the beginning of a run is warm-up: MSER-5.

Cut is what leaves the mean of the rest with the least squared error: the d that makes ``sum((y - mean)^2) / (k - d)^2``
over the k - d last batches least, where a batch holds five values on the mean. Source: White, An Effective Truncation
Heuristic for Bias Reduction in Simulation Output (Simulation 69, 1997); with batches of five: White, Cobb and Spratt, A
Comparison of Five Steady-State Truncation Heuristics for Simulation (WSC 2000).

What is looked at is the share of slow responses, not their mean time: of that a single stall of the server, which the
statistics are to show, would make a warm-up of all that was before it. So would one that many responses waited for, as
those of an open loop do: what is cut has to be slow from its beginning on, and else less of the run is looked at. No
warm-up is time in which there were failures alone, nor a beginning without successes where none of these are slow.

Slow is first what lies above the run's median, and then what takes a tenth longer than it: of responses that are
otherwise alike a drift of 1% puts whole stretches above and below the median, and hides in that share a beginning that
was five times slower.
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
#: So many together tell whether the run had come to what it stays at, and was slow again.
_BATCHES_A_PART = 8


def slow_ns(median_ns: int) -> int:
    """From where on a response is slow whatever the others drift by."""
    return median_ns + median_ns // 10


def warm_up_share(above: FloatArray, slow: FloatArray, counts: FloatArray, failed: FloatArray) -> float:
    """The share of a run's time that is warm-up, at most a half.

    Of `counts` values by batch `above` lie above their median, and `slow` above ``slow_ns`` of it; beside them `failed`
    requests have none.
    """
    if counts.sum() < LEAST_VALUES:
        return 0.0
    width = max(1, int(np.ceil(_VALUES_A_BATCH * len(counts) / counts.sum())))
    starts = np.arange(0, len(counts), width)
    grouped = np.add.reduceat(counts, starts)
    filled = grouped > 0
    only_failed = starts[~filled & (np.add.reduceat(failed, starts) > 0)]
    longest = min([len(counts) / 2, *only_failed[:1]])
    grouped, of_filled = grouped[filled], starts[filled]
    candidates = int(np.searchsorted(of_filled, longest, side="right"))
    cut = max(_cut(np.add.reduceat(of, starts)[filled] / grouped, candidates) for of in (above, slow))
    return float(of_filled[cut]) / len(counts) if cut else 0.0


def _cut(shares: FloatArray, candidates: int) -> int:
    """How many of the first values are warm-up: what is best left out of them, unless they are none.

    The first that stays is one of so many `candidates`, and in the first half of all.
    """
    errors = truncation_errors(shares)
    most = max(min(len(errors) // 2 + 1, candidates), 1)
    while cut := int(errors[:most].argmin()):
        if errors[cut] > (1 - _LEAST_GAIN) * errors[0]:
            break
        if _is_beginning(shares[:cut] - shares[cut:].mean()):
            return cut
        most = cut // 2 + 1
    return 0


def _is_beginning(excess: FloatArray) -> bool:
    """Whether what is slower than the rest by `excess` is so from its beginning on, and not by a stall in its end."""
    parts = np.array([part.mean() for part in np.array_split(excess, max(1, len(excess) // _BATCHES_A_PART))])
    is_over = np.maximum.accumulate(parts < parts.max() / 4)
    return bool(parts.mean() > 0) and not (is_over & (parts > parts.max() / 2)).any()


def truncation_errors(values: FloatArray) -> FloatArray:
    """The squared error of the mean of the values from each on, by MSER; shape (n,)."""
    left = np.arange(len(values), 0, -1)
    sums, squares = np.cumsum(values[::-1])[::-1], np.cumsum(values[::-1] ** 2)[::-1]
    errors: FloatArray = (squares - sums**2 / left) / left**2
    return errors
