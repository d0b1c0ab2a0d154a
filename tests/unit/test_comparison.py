"""Whether two sets of trials differ: exact, ties and all, against every arrangement counted out, and simulated."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from servemark.stats import comparison
from servemark.stats.comparison import (
    can_tell,
    holm,
    least_p_of_pairs,
    least_p_of_sets,
    least_pairs,
    least_sets,
    shift_of_pairs,
    shift_of_sets,
    smallest_shown,
    smallest_shown_of_pairs,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "accuracy"))

from bench.comparisons import SLOWER, SPREAD, answers_of, shown_share

APART = [1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]


def _mid_rank(values: list[float], value: float) -> float:
    below, same = sum(one < value for one in values), values.count(value)
    return below + (same + 1) / 2


def _counted_out(old: list[float], new: list[float]) -> float:
    """The p of the rank sum, from every way to choose which of all values are the new ones."""
    values = old + new
    ranks = [_mid_rank(values, value) for value in values]
    middle = len(new) * (len(values) + 1) / 2
    off = abs(sum(ranks[len(old) :]) - middle)
    sums = [sum(chosen) for chosen in itertools.combinations(ranks, len(new))]
    return sum(abs(one - middle) >= off - 1e-9 for one in sums) / len(sums)


def _flipped_out(differences: list[float]) -> float:
    """The p of the signed ranks, from every way to give them signs."""
    sizes = [abs(one) for one in differences]
    ranks = [_mid_rank(sizes, size) for size in sizes]
    seen = abs(sum(math.copysign(rank, one) for rank, one in zip(ranks, differences, strict=True) if one))
    moved = [rank for rank, one in zip(ranks, differences, strict=True) if one]
    signs = list(itertools.product((-1, 1), repeat=len(moved)))
    return sum(abs(np.dot(one, moved)) >= seen - 1e-9 for one in signs) / len(signs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        APART,
        ([3.0, 1.0, 4.0], [1.5, 9.0, 2.6, 5.0]),
        ([1.0, 1.0, 2.0], [2.0, 2.0, 3.0, 1.0]),
        ([5.0, 5.0, 5.0], [5.0, 5.0, 6.0]),
        ([5.0, 5.0], [5.0, 5.0]),
        ([2.0], [1.0, 3.0, 4.0]),
    ],
)
def test_the_p_of_two_sets_is_that_of_all_arrangements_counted_out(old: list[float], new: list[float]) -> None:
    assert shift_of_sets(old, new).p == pytest.approx(_counted_out(old, new), abs=1e-12)
    assert shift_of_sets(new, old).p == pytest.approx(shift_of_sets(old, new).p)


@pytest.mark.parametrize("exponents", [[1, 2, 3, 4, 5], [1, -2, 3, 4, 5, 6], [1, 1, -1, 2, 0, 3], [0, 0, 1], [0, 0]])
def test_the_p_of_pairs_is_that_of_all_signs_counted_out(exponents: list[int]) -> None:
    # Of powers of two the logarithms differ by the very same where they differ by as much.
    old, new = [1.0] * len(exponents), [2.0**one for one in exponents]
    assert shift_of_pairs(old, new).p == pytest.approx(_flipped_out([float(one) for one in exponents]), abs=1e-12)


def test_a_shift_is_the_median_ratio_with_the_interval_of_the_test() -> None:
    old, new = [10.0, 11.0, 12.0, 13.0, 14.0], [20.0, 22.0, 24.0, 26.0, 28.0]
    shift = shift_of_sets(old, new)
    ratios = sorted(after / before for before in old for after in new)
    assert shift.ratio == pytest.approx(ratios[12])
    # Of 5 and 5 the third ratio from either end is the first that 95% reaches: P(U <= 2) is 0.016, P(U <= 3) 0.028.
    assert shift.ci95 == pytest.approx((ratios[2], ratios[-3]))
    assert shift_of_sets(old[:3], new[:3]).ci95 is None, "of 3 and 3 all ratios together have 90%"
    pairs = shift_of_pairs(old, new)
    assert pairs.ratio == pytest.approx(2.0)
    assert pairs.ci95 is None


def test_the_interval_holds_the_ratio_in_95_of_100() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        old, new = np.exp(0.1 * rng.standard_normal((2, 8)))
        low, high = shift_of_sets(old, 1.3 * new).ci95 or (0.0, 0.0)
        held += low <= 1.3 <= high
    assert 0.93 <= held / 400 <= 0.99


@pytest.mark.parametrize(("one", "other"), [(25, 25), (25, 26), (20, 60)])
def test_where_arrangements_are_too_many_the_normal_sum_says_the_same(one: int, other: int) -> None:
    rng = np.random.default_rng(one + other)
    old, new = np.exp(rng.standard_normal(one)).round(1) + 0.1, np.exp(rng.standard_normal(other) + 0.1).round(1) + 0.1
    found = shift_of_sets(old, new)
    before = comparison._MOST_EXACT
    try:
        comparison._MOST_EXACT = 200 if one + other > before else 0
        comparison._depth_of_sets.cache_clear()
        otherwise = shift_of_sets(old, new)
    finally:
        comparison._MOST_EXACT = before
        comparison._depth_of_sets.cache_clear()
    assert found.p == pytest.approx(otherwise.p, rel=0.1)
    assert found.ci95 == pytest.approx(otherwise.ci95, rel=0.02)


def test_so_few_trials_can_show_nothing() -> None:
    assert least_p_of_sets(5, 5) == pytest.approx(0.0079, abs=1e-4)
    assert least_p_of_pairs(5) == pytest.approx(0.0625)
    assert shift_of_sets(*APART).p == pytest.approx(least_p_of_sets(5, 5))
    assert [least_sets(family) for family in (1, 3, 15)] == [4, 5, 6]
    assert [least_pairs(family) for family in (1, 3)] == [6, 7]
    assert not can_tell(least_p_of_sets(4, 4), 3)
    assert can_tell(least_p_of_sets(3, 50), 3), "few of one are enough beside many of the other"


@pytest.mark.parametrize("old", [2, 3, 5, 6, 20, 49, 100])
@pytest.mark.parametrize("new", [2, 3, 5, 6, 20, 49, 100])
def test_trials_that_can_tell_do_so_where_nothing_of_both_overlaps(old: int, new: int) -> None:
    """And what they could have shown is then bounded, by an end of the interval that there is."""
    for family in (1, 3, 9):
        p = shift_of_sets(list(np.linspace(1, 2, old)), list(np.linspace(3, 4, new))).p
        can = can_tell(least_p_of_sets(old, new), family)
        assert can == (p * family < comparison.LEVEL)
        assert can <= (comparison._depth_of_sets(old, new, comparison.LEVEL / family) > 0)


def test_p_is_adjusted_as_holm_has_it() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.9]) == pytest.approx((1.0, 1.0))
    assert holm([]) == ()


def test_what_could_have_been_shown_grows_with_the_spread_and_is_never_below_the_threshold() -> None:
    rng = np.random.default_rng(1)
    sets = rng.standard_normal((2, 10))
    narrow, wide = (smallest_shown(*np.exp(spread * sets), 3, 0.02) for spread in (0.01, 0.05))
    assert 1.02 < narrow < 1.04 < wide < 1.15
    assert smallest_shown([1.0] * 5, [1.0] * 5, 3, 0.02) == pytest.approx(1.02)
    pairs = np.exp(0.02 * rng.standard_normal((2, 10)))
    assert 1.02 < smallest_shown_of_pairs(*pairs, 3, 0.02) < 1.1


@pytest.mark.seconds
@pytest.mark.parametrize(("trials", "between"), [(5, 0.05), (10, 0.01)])
def test_what_could_have_been_shown_is_shown_in_eight_of_ten(trials: int, between: float) -> None:
    assert shown_share(400, trials, seed=7, between=between) == pytest.approx(0.8, abs=0.07)


@pytest.mark.seconds
@pytest.mark.parametrize("trials", [5, 10])
def test_of_identical_servers_whose_requests_depend_on_each_other_few_are_called_different(trials: int) -> None:
    answers = answers_of(200, trials, seed=11)
    assert answers["slower"] + answers["faster"] <= 10
    assert answers["no difference"] >= 190


@pytest.mark.seconds
def test_what_is_five_per_cent_slower_is_found_by_ten_trials() -> None:
    answers = answers_of(100, 10, seed=12, slower=SLOWER, between=SPREAD, autocorrelation=0.0)
    assert answers["slower"] >= 90
    assert answers["faster"] == 0
