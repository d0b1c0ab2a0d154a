"""Whether one server's trials are slower than another's, by how much, and what so few trials could have shown at all.

A trial is a run, and gives one value of a statistic. The requests of a run are no replicates: what differs from one run
to the next is in none of them. Values are compared by their logarithms, so that a shift is a ratio. Two tests: of two
independent sets of trials (Mann and Whitney), and of pairs that were measured together (Wilcoxon's signed ranks). Both
are exact up to 50 trials, or with five of one side, ties included, since they ask in how many of the equally likely
arrangements of the very ranks that were seen the sum is as far from its mean; beyond that the sum is taken as normal,
with its variance less for ties. Source: Lehmann, Nonparametrics: Statistical Methods Based on Ranks (1975), chapters 1
to 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: A difference is one that chance gives less often than this, over all statistics that are judged together.
LEVEL = 0.05
#: More trials of both sides together, or more pairs, than this have a sum of ranks that is taken as normal; but not
#: that of so few of one side, which is far from it however many there are of the other.
_MOST_EXACT, _FEW_OF_ONE = 50, 5
#: The chance with which a difference that "could have been shown" would have been.
POWER = 0.8
#: Of comparisons that are simulated to say what could have been shown, and of values that they have in all at most.
_SIMULATED, _SIMULATED_VALUES = 2_000, 4_000_000
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Shift:
    """How many times the old values the new ones are.

    Attributes:
        ratio: the estimate of Hodges and Lehmann: the median of all ratios.
        ci95: of this ratio alone, from the same distribution as `p`; None where so few trials have no such interval.
        p: the chance of ranks as far apart without any difference.
    """

    ratio: float
    ci95: tuple[float, float] | None
    p: float


def shift_of_sets(old: Sequence[float], new: Sequence[float]) -> Shift:
    """How trials that are independent of one another differ; `old` and `new` are positive, at least one of each.

    The interval is that of Moses: it holds the ratios at which the test would see no difference (Lehmann 1975, section
    2.6); with ties it is wider than it need be.
    """
    before, after = np.log(np.asarray(old, dtype=np.float64)), np.log(np.asarray(new, dtype=np.float64))
    differences = np.sort((after[:, None] - before[None, :]).ravel())
    return _shift(differences, _depth_of_sets(len(old), len(new), 1 - 0.95), _rank_sum_p(before, after))


def shift_of_pairs(old: Sequence[float], new: Sequence[float]) -> Shift:
    """How values differ that were measured in pairs: in the same block of time, say; positive, at least one pair.

    The estimate is the median of the Walsh averages. A pair without a difference counts for neither side, and keeps its
    rank (Pratt, Remarks on Zeros and Ties in the Wilcoxon Signed Rank Procedures, JASA 54, 1959).
    """
    differences = np.log(np.asarray(new, dtype=np.float64)) - np.log(np.asarray(old, dtype=np.float64))
    averages = np.sort(_walsh(differences))
    return _shift(averages, _depth_of_pairs(len(differences), 1 - 0.95), _signed_rank_p(differences))


def p_of_sets(old: Sequence[float], new: Sequence[float]) -> float:
    """The chance of ranks as far apart as those of independent trials, whose values may be 0."""
    return _rank_sum_p(np.asarray(old, dtype=np.float64), np.asarray(new, dtype=np.float64))


def p_of_pairs(old: Sequence[float], new: Sequence[float]) -> float:
    """The same of pairs."""
    return _signed_rank_p(np.asarray(new, dtype=np.float64) - np.asarray(old, dtype=np.float64))


def _shift(ordered: FloatArray, depth: int, p: float) -> Shift:
    ci95 = (math.exp(ordered[depth - 1]), math.exp(ordered[-depth])) if depth else None
    return Shift(math.exp(float(np.median(ordered))), ci95, p)


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """`ps` so that the chance of any false difference among them is what each says.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (Scand. J. Statist. 6, 1979).
    """
    adjusted = [0.0] * len(ps)
    so_far = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        so_far = max(so_far, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = so_far
    return tuple(adjusted)


def least_p_of_sets(old: int, new: int) -> float:
    """The least p that so many independent trials can give: 0.008 of 5 against 5."""
    return 2 / math.comb(old + new, new)


def least_p_of_pairs(pairs: int) -> float:
    """The least p that so many pairs can give: 0.06 of 5."""
    return float(0.5 ** (pairs - 1))


def can_tell(least_p: float, family: int) -> bool:
    """Whether trials with that least p can show a difference in one of `family` statistics that are judged together."""
    return least_p * family < LEVEL


def least_sets(family: int) -> int:
    """The least trials of either side that can show a difference in one of `family` statistics: 5 for three."""
    return next(n for n in range(2, 1_000) if can_tell(least_p_of_sets(n, n), family))


def least_pairs(family: int) -> int:
    """The least pairs that can: 7 for three statistics."""
    return next(n for n in range(2, 1_000) if can_tell(least_p_of_pairs(n), family))


def smallest_shown(old: Sequence[float], new: Sequence[float], family: int, threshold: float) -> float:
    """The smallest ratio above 1 that as many independent trials would have shown, in 80% of repetitions.

    To be shown is to be found by the test where Holm's adjustment is hardest, one of `family`, and to reach
    1 + `threshold`. Trials differ by as much as those of both sides did, as far as that is known from so few: what they
    are given is drawn again for each simulated comparison (the fiducial distribution of a standard deviation, its
    estimate times sqrt(df / chi2)). That this is what it says is simulated in ``bench/comparisons.py``.
    """
    before, after = np.log(np.asarray(old, dtype=np.float64)), np.log(np.asarray(new, dtype=np.float64))
    freedom = len(before) + len(after) - 2
    spread = math.sqrt((len(before) * before.var() + len(after) * after.var()) / freedom)
    return _shown(_without_shift(len(before), len(after), LEVEL / family), spread, freedom, threshold)


def smallest_shown_of_pairs(old: Sequence[float], new: Sequence[float], family: int, threshold: float) -> float:
    """The same of pairs, whose differences vary from pair to pair."""
    differences = np.log(np.asarray(new, dtype=np.float64)) - np.log(np.asarray(old, dtype=np.float64))
    nothing, freedom = _pairs_without_shift(len(differences), LEVEL / family), len(differences) - 1
    return _shown(nothing, float(differences.std(ddof=1)), freedom, threshold)


def smallest_of_spread(values: Sequence[float], trials: int, family: int, threshold: float) -> float:
    """The smallest ratio above 1 that so many `trials` of either side would show, where they differ as `values` do."""
    spread = float(np.log(np.asarray(values, dtype=np.float64)).std(ddof=1))
    return _shown(_without_shift(trials, trials, LEVEL / family), spread, len(values) - 1, threshold)


def _shown(nothing: tuple[FloatArray, FloatArray], spread: float, freedom: int, threshold: float) -> float:
    """A shift is shown if it moves both the end of the interval beyond 0, and the estimate beyond the threshold.

    `nothing` are both of comparisons without a shift; `spread` was estimated with so many degrees of `freedom`.
    """
    least, middle = nothing
    scale = spread / np.sqrt(np.random.default_rng(1).chisquare(freedom, len(least)) / freedom)
    needed = np.maximum(-least * scale, math.log1p(threshold) - middle * scale)
    return math.exp(float(np.quantile(needed, POWER)))


@dataclass(frozen=True)
class Design:
    """How the values of both sides belong together: what tells their shift, and what so many of them can show."""

    shift: Callable[[Sequence[float], Sequence[float]], Shift]
    p: Callable[[Sequence[float], Sequence[float]], float]
    least_p: Callable[[int, int], float]
    least: Callable[[int], int]
    smallest: Callable[[Sequence[float], Sequence[float], int, float], float]


#: Trials of either side, independent of each other.
SETS = Design(shift_of_sets, p_of_sets, least_p_of_sets, least_sets, smallest_shown)
#: One value of either side from each block of time.
PAIRS = Design(
    shift_of_pairs, p_of_pairs, lambda pairs, _: least_p_of_pairs(pairs), least_pairs, smallest_shown_of_pairs
)


@lru_cache
def _without_shift(old: int, new: int, level: float) -> tuple[FloatArray, FloatArray]:
    """Compare the same with the same, simulated: the lower ends of the intervals at `level`, and the estimates.

    In units of the standard deviation of a trial; shape (comparisons,) each.
    """
    rng = np.random.default_rng(0)
    comparisons = max(200, min(_SIMULATED, _SIMULATED_VALUES // (old * new)))
    before, after = rng.standard_normal((comparisons, old, 1)), rng.standard_normal((comparisons, 1, new))
    differences = (after - before).reshape(comparisons, old * new)
    return _ends(differences, _depth_of_sets(old, new, level))


@lru_cache
def _pairs_without_shift(pairs: int, level: float) -> tuple[FloatArray, FloatArray]:
    """The same of pairs."""
    rng = np.random.default_rng(0)
    comparisons = max(200, min(_SIMULATED, _SIMULATED_VALUES // pairs**2))
    averages = np.stack([_walsh(one) for one in rng.standard_normal((comparisons, pairs))])
    return _ends(averages, _depth_of_pairs(pairs, level))


def _ends(candidates: FloatArray, depth: int) -> tuple[FloatArray, FloatArray]:
    ordered = np.sort(candidates, axis=1)
    return ordered[:, depth - 1], np.median(ordered, axis=1)


def _walsh(values: FloatArray) -> FloatArray:
    """The averages of all pairs of `values`, each with itself too."""
    first, second = np.triu_indices(len(values))
    return (values[first] + values[second]) / 2


def _doubled_ranks(values: FloatArray) -> NDArray[np.int64]:
    """Twice the ranks from 1, of ties their mean: whole numbers."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return (2 * last - times + 1)[place]


def _rank_sum_p(before: FloatArray, after: FloatArray) -> float:
    """The two-sided p of the rank sum of `after` (Mann and Whitney 1947)."""
    if len(after) > len(before):  # the sum of the fewer says as much, and takes less
        before, after = after, before
    old, new = len(before), len(after)
    ranks = _doubled_ranks(np.concatenate((before, after)))
    off = abs(int(ranks[old:].sum()) - new * (old + new + 1))
    if _is_exact(old, new):
        counts = _rank_sums(tuple(sorted(ranks.tolist())), new)
        return _share_beyond(counts, new * (old + new + 1), off)
    return _normal_p(off / 2 - 0.5, new * old / (old + new) * float((ranks / 2).var(ddof=1)))


def _is_exact(old: int, new: int) -> bool:
    return old + new <= _MOST_EXACT or min(old, new) <= _FEW_OF_ONE


def _signed_rank_p(differences: FloatArray) -> float:
    """The two-sided p of the sum of the ranks of what rose (Wilcoxon 1945)."""
    ranks = _doubled_ranks(np.abs(differences))
    moved = ranks[differences != 0]
    off = abs(2 * int(ranks[differences > 0].sum()) - int(moved.sum()))
    if len(moved) <= _MOST_EXACT:
        return _share_beyond(_flipped_sums(tuple(sorted(moved.tolist()))), int(moved.sum()) / 2, off / 2)
    return _normal_p(off / 4 - 0.5, float(((moved / 2) ** 2).sum()) / 4)


def _share_beyond(counts: FloatArray, mean: float, off: float) -> float:
    far = np.abs(np.arange(len(counts)) - mean) >= off
    return min(1.0, float(counts[far].sum() / counts.sum()))


def _normal_p(off: float, variance: float) -> float:
    if off <= 0 or variance <= 0:
        return 1.0
    return math.erfc(off / math.sqrt(2 * variance))


@lru_cache
def _rank_sums(ranks: tuple[int, ...], chosen: int) -> FloatArray:
    """In how many ways `chosen` of `ranks` have each sum, from 0 on."""
    ways = np.zeros((chosen + 1, sum(ranks) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    found: FloatArray = ways[chosen]
    return found


@lru_cache
def _flipped_sums(ranks: tuple[int, ...]) -> FloatArray:
    """In how many ways any of `ranks` have each sum, from 0 on."""
    ways = np.zeros(sum(ranks) + 1)
    ways[0] = 1
    for rank in ranks:
        ways[rank:] += ways[: len(ways) - rank].copy()
    return ways


@lru_cache
def _depth_of_sets(old: int, new: int, level: float) -> int:
    """Which of the ordered differences, from either end, is the end of an interval of 1 - `level`; 0 of none."""
    if not _is_exact(old, new):
        return _normal_depth(old * new / 2, old * new * (old + new + 1) / 12, level)
    few = min(old, new)
    counts = _rank_sums(tuple(range(2, 2 * (old + new) + 1, 2)), few)[few * (few + 1) :: 2]
    return _depth(counts, level)


@lru_cache
def _depth_of_pairs(pairs: int, level: float) -> int:
    """The same of ordered Walsh averages."""
    if pairs > _MOST_EXACT:
        return _normal_depth(pairs * (pairs + 1) / 4, pairs * (pairs + 1) * (2 * pairs + 1) / 24, level)
    return _depth(_flipped_sums(tuple(range(1, pairs + 1))), level)


def _depth(counts: FloatArray, level: float) -> int:
    """How many values of a statistic, from its least, have a chance of at most half the `level` together."""
    return int(np.searchsorted(np.cumsum(counts) / counts.sum(), level / 2, side="right"))


def _normal_depth(mean: float, variance: float, level: float) -> int:
    return max(0, math.floor(mean + 0.5 + _NORMAL.inv_cdf(level / 2) * math.sqrt(variance)))
