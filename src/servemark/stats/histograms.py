"""Histograms of latencies: bins of equal ratio, for people to see how the values lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from servemark.result import Histogram
from servemark.units import NS_PER_MS

#: At most as many bins, the last of which holds what is above p99.9.
MOST_BINS = 40
#: The least bound but the first is no smaller a part of p99.9 than this: else values near 0 would take all the bins.
_LEAST_PART = 1e-4


def edges_ns(least_ns: int, top_ns: int, greatest_ns: int) -> list[int]:
    """The bounds of the bins of values from `least_ns` to `greatest_ns`, rising, of which `top_ns` is a high one.

    From the least value to the top they are at equal ratios, as far as whole nanoseconds allow; the last is the
    greatest value.
    """
    start_ns = max(least_ns, math.ceil(top_ns * _LEAST_PART), 1)
    between = [top_ns]
    if top_ns > start_ns:
        points = MOST_BINS - (least_ns < start_ns)
        between = np.rint(np.geomspace(start_ns, top_ns, points)).astype(np.int64).tolist()
    return sorted({least_ns, *between, greatest_ns})


def histogram(edges: Sequence[int], count: int, above: Callable[[int], int]) -> Histogram:
    """The histogram of `count` values between the bounds `edges`, in nanoseconds; `above` says how many are above one.

    A bin holds what is above its lower bound and at most its upper one, the first one the least value too. Where all
    values are the same there is one bin, without a width.
    """
    beyond = [count, *(above(edge) for edge in edges[1:])]
    counts = [more - fewer for more, fewer in pairwise(beyond)]
    if len(edges) == 1:
        edges, counts = (*edges, *edges), [count]
    return Histogram(tuple(edge / NS_PER_MS for edge in edges), tuple(counts))
