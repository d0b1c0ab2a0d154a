"""Change points: where in a history of numbers, one a run, the numbers began to be others.

E-divisive, after Matteson and James, A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data
(JASA 109, 2014). A segment is cut where what is before the cut and what follows it, up to any later place, are
furthest apart by their energy distance; a cut counts if at most 5% of permutations of all segments have one as far
apart. The best cut of all is made first, and the two halves are looked at in its place, until none counts.

Three things are ours. The distance is that of the ranks within the segment, in at most 32 levels: a single spike, be it
a thousandfold, is no more than the highest of the values, where the paper's distance would have it weigh more than all
others together. The energy distance of one dimension is then that of Cramer and von Mises, a sum over levels of squared
differences of two distribution functions (Szekely and Rizzo, Energy statistics, J. Stat. Plan. Inference 143, 2013),
so that all cuts of all permutations are a product of matrices. In a segment of more than 64 values cuts are looked for
at 64 places of equal distance, in the permutations too. And where a cut counts it is moved to where two medians fit
best near by, since ranks do not say how far apart values are. Of more than 1,000 values only the last are looked at.

Measured over 400 seeded histories of each kind (``make prove PROVE='--only histories'`` takes 2,000, and
``tests/unit/test_change_points.py`` a part): where nothing changed a change is found in 4 to 6%, of 8 to 200 values,
normal, lognormal, Cauchy or rounded, and as often with one spike of 1,000 sigma, anywhere or at an end. A shift of 3
sigma of the last quarter is found within 2 places in 92% of histories of 20 values and 98% of 40 and of 100, one of 2
sigma in 90% of 40; a shift of 3 sigma that goes again after 12 of 60 values is two changes in 92%. Of 40 values the
last 5, 3 sigma higher, are a change in 97%, the last 4 in 62%, and the last 3 in hardly any. 1,000 values take 0.2 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: Fewer values than this have no cut that permutations would not make as well in one of twenty.
LEAST_N = 8
#: Of more values the last ones.
MOST_N = 1_000
#: Share of histories without any change in which one may be found.
LEVEL = 0.05
#: Values on either side of a cut, at least.
_LEAST_SIDE = 3
#: As many as the paper has: the smallest p is 1 in 200.
_PERMUTATIONS = 199
#: Places where a segment may be cut, and levels of its ranks.
_PLACES, _LEVELS = 64, 32
#: So far from a cut the change may be, or a place's distance.
_NEAR = 5
#: Below this two distances are the same, in another order of addition.
_ROUNDING = 1e-9

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class ChangePoint:
    """The place at which the numbers began to be others.

    Attributes:
        at: the place of the first of the others.
        p: the share of permutations in which chance does as much.
        before: the median from the change before (or the beginning) to here, and `after` from here to the next (or the
            end), in the unit of the numbers.
    """

    at: int
    p: float
    before: float
    after: float


@dataclass(frozen=True)
class _Segment:
    """Values from `start` to before `end`; the best cut of them, `distance` apart, and that of each permutation."""

    start: int
    end: int
    at: int
    distance: float
    by_chance: FloatArray


def change_points(values: FloatArray, seed: int = 0) -> tuple[ChangePoint, ...]:
    """The change points of `values`, shape (n,), in their order in time, the first first; none of fewer than 8.

    `seed` makes the permutations repeatable.

    Raises:
        ValueError: a value is no number.
    """
    if not np.isfinite(values).all():
        raise ValueError("a history holds a value that is no number")
    skipped = max(len(values) - MOST_N, 0)
    values = values[skipped:]
    if len(values) < LEAST_N:
        return ()
    rng = np.random.default_rng(seed)
    segments, found = [_segment(values, 0, len(values), rng)], dict[int, float]()
    while True:
        best = max(segments, key=lambda segment: segment.distance)
        by_chance = np.max([segment.by_chance for segment in segments], axis=0)
        p = (1 + int(np.count_nonzero(by_chance >= best.distance - _ROUNDING))) / (_PERMUTATIONS + 1)
        if best.distance <= 0 or p > LEVEL:
            break
        found[best.at] = p
        segments.remove(best)
        segments += [_segment(values, best.start, best.at, rng), _segment(values, best.at, best.end, rng)]
    edges = [0, *sorted(found), len(values)]
    medians = [float(np.median(values[start:end])) for start, end in pairwise(edges)]
    return tuple(
        ChangePoint(skipped + at, found[at], before, after)
        for at, before, after in zip(edges[1:-1], medians, medians[1:], strict=False)
    )


def _segment(values: FloatArray, start: int, end: int, rng: np.random.Generator) -> _Segment:
    length = end - start
    if length < 2 * _LEAST_SIDE:
        return _Segment(start, end, start, 0.0, np.zeros(_PERMUTATIONS))
    levels = _levels(values[start:end])
    places = np.unique(np.linspace(0, length, min(length, _PLACES) + 1).round().astype(np.intp))
    permuted = rng.permuted(np.tile(levels, (_PERMUTATIONS, 1)), axis=1)
    by_chance = _distances(permuted, places).max(axis=(1, 2))
    own = _distances(levels[np.newaxis], places)[0]
    cut, until = np.unravel_index(int(own.argmax()), own.shape)
    at = _edge(values[start : start + int(places[until])], int(places[cut]))
    return _Segment(start, end, start + at, float(own[cut, until]), by_chance)


def _levels(values: FloatArray) -> IntArray:
    """The rank of each value, in levels from 0; those that are equal have the same."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    levels = np.minimum(middles * _LEVELS / len(values), _LEVELS - 1).astype(np.intp)
    ranked: IntArray = levels[which.reshape(-1)]
    return ranked


def _distances(levels: IntArray, places: IntArray) -> FloatArray:
    """How far apart what is before a cut and what follows it are, shape (rows, places, places).

    `levels` are rows of one segment in several orders. [row, i, j] is of the values before ``places[i]`` and of those
    from there to before ``places[j]``, by n1 n2 / (n1 + n2) times the mean over levels of the squared difference of
    their distribution functions; 0 where a side is too short.
    """
    rows, parts = len(levels), len(places) - 1
    part = np.repeat(np.arange(parts), np.diff(places))
    index = ((np.arange(rows)[:, np.newaxis] * parts + part) * _LEVELS + levels).ravel()
    counts = np.bincount(index, minlength=rows * parts * _LEVELS).reshape(rows, parts, _LEVELS)
    below = np.zeros((rows, parts + 1, _LEVELS))
    below[:, 1:] = counts
    np.cumsum(below, axis=1, out=below)
    np.cumsum(below, axis=2, out=below)
    # With a the counts at or below each level before a cut, and b those before a later place, the squared differences
    # of a/n1 and (b - a)/n2 add up to a.a, a.b and b.b, each with a weight of the two places.
    products = below @ below.transpose(0, 2, 1)
    squares = np.diagonal(products, axis1=1, axis2=2)
    n1 = np.maximum(places, 1).astype(np.float64)[:, np.newaxis]
    n2 = np.maximum(places - places[:, np.newaxis], 1).astype(np.float64)
    allowed = (places[:, np.newaxis] >= _LEAST_SIDE) & (places - places[:, np.newaxis] >= _LEAST_SIDE)
    weight = np.where(allowed, n1 * n2 / (n1 + n2) / _LEVELS, 0.0)
    distances: FloatArray = products * (-2 * weight * (1 / (n1 * n2) + 1 / n2**2))
    distances += squares[:, :, np.newaxis] * (weight * (1 / n1 + 1 / n2) ** 2)
    distances += squares[:, np.newaxis, :] * (weight / n2**2)
    return distances


def _edge(values: FloatArray, found: int) -> int:
    """The place near `found` where a median before it and one from there on leave the least, in absolute differences.

    Ranks say that there is a change; of how many sigma it is they say little, and so neither where exactly.
    """
    near = max(_NEAR, len(values) // _PLACES)
    cuts = range(max(found - near, _LEAST_SIDE), min(found + near, len(values) - _LEAST_SIDE) + 1)
    return min(cuts, key=lambda cut: _left_over(values[:cut]) + _left_over(values[cut:]), default=found)


def _left_over(values: FloatArray) -> float:
    return float(np.abs(values - np.median(values)).sum())
