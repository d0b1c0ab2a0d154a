"""Change points are found where the numbers changed, and elsewhere as rarely as the level says: seeded simulation."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from servemark.stats.change_points import LEAST_N, LEVEL, MOST_N, ChangePoint, change_points

pytestmark = pytest.mark.seconds

#: A share that is truly so large is seen below this, or above the other, in one of a thousand tries.
SURE = 3.1


def most(share: float, tries: int) -> float:
    return share + SURE * math.sqrt(share * (1 - share) / tries)


def least(share: float, tries: int) -> float:
    return share - SURE * math.sqrt(share * (1 - share) / tries)


def false_alarms(histories: list[np.ndarray]) -> float:
    return sum(bool(change_points(values, seed)) for seed, values in enumerate(histories)) / len(histories)


def normal(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng((seed, n)).normal(20.0, 1.0, n)


@pytest.mark.parametrize(("n", "tries"), [(8, 200), (20, 150), (50, 80), (200, 30)])
def test_where_nothing_changed_a_change_is_found_in_at_most_5_percent(n, tries):
    assert false_alarms([normal(n, seed) for seed in range(tries)]) <= most(LEVEL, tries)


@pytest.mark.parametrize(
    "spread",
    [np.random.Generator.standard_cauchy, np.random.Generator.exponential],
    ids=["cauchy", "exponential"],
)
def test_so_too_of_numbers_that_are_far_from_normal(spread):
    histories = [spread(np.random.default_rng(seed), size=30) for seed in range(80)]
    assert false_alarms(histories) <= most(LEVEL, 80)


def test_so_too_of_numbers_that_are_mostly_the_same():
    histories = [np.round(normal(30, seed)) for seed in range(80)]
    assert false_alarms(histories) <= most(LEVEL, 80)
    assert change_points(np.full(40, 3.0)) == ()


def test_a_shift_of_three_sigma_is_found_where_it_is():
    found = []
    for seed in range(100):
        values = normal(40, seed)
        values[30:] += 3.0
        found.append(change_points(values, seed))
    hits = [points for points in found if any(abs(point.at - 30) <= 1 for point in points)]
    assert len(hits) / 100 >= least(0.97, 100)
    medians = np.array([(points[0].before, points[0].after) for points in hits if len(points) == 1])
    assert medians.mean(axis=0) == pytest.approx([20.0, 23.0], abs=0.2)


def test_what_came_and_went_again_is_two_changes():
    twice = 0
    for seed in range(30):
        values = normal(60, seed)
        values[30:42] += 3.0
        points = [point.at for point in change_points(values, seed)]
        twice += len(points) == 2 and abs(points[0] - 30) <= 1 and abs(points[1] - 42) <= 1
    assert twice / 30 >= least(0.9, 30)


@pytest.mark.parametrize("place", [None, 0, -2, -1], ids=["anywhere", "first", "last but one", "last"])
def test_a_single_spike_is_no_change_however_high(place):
    histories = []
    for seed in range(80):
        values = normal(30, seed)
        values[np.random.default_rng(seed).integers(30) if place is None else place] += 1000.0
        histories.append(values)
    assert false_alarms(histories) <= most(LEVEL, 80)


def test_what_lasts_is_a_change_from_the_fifth_value_on():
    found = []
    for seed in range(40):
        values = normal(40, seed)
        values[35:] += 10.0
        found.append([point.at for point in change_points(values, seed)])
    assert sum(35 in places for places in found) / 40 >= least(0.97, 40)


def test_the_smallest_history_with_a_change_has_eight():
    values = np.array([1.0, 2, 3, 4, 11, 12, 13, 14])
    (point,) = change_points(values)
    assert (point.at, point.before, point.after) == (4, 2.5, 12.5)
    assert len(values) == LEAST_N
    assert change_points(values[1:]) == ()
    assert change_points(np.empty(0)) == ()


def test_of_a_long_history_the_last_thousand_are_looked_at_within_a_second():
    values = normal(MOST_N + 500, 3)
    values[100:] += 50.0  # before what is looked at
    values[900:] += 2.0
    begun_s = time.process_time()
    points = change_points(values)
    assert time.process_time() - begun_s < 5.0
    assert [point.at for point in points] == pytest.approx([900], abs=3)


def test_the_same_seed_finds_the_same():
    values = normal(100, 5)
    values[50:] += 1.0
    found, again = (change_points(values, 7) for _ in range(2))
    assert found == again
    assert isinstance(found[0], ChangePoint)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="no number"):
        change_points(np.array([1.0] * 10 + [bad]))
