"""How far times that are too long may have moved percentiles: as far as they did, about, and none where they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.result import LatencySummary, Statistic
from servemark.stats.lateness import Lateness, moved_at_most_ms
from servemark.stats.percentiles import REPORTED, rank


def _reported(times_ms):
    ordered = np.sort(times_ms)
    percentiles = {name: Statistic(float(ordered[rank(len(ordered), q) - 1]), None) for name, q in REPORTED.items()}
    mean = Statistic(float(ordered.mean()), None)
    return LatencySummary(mean=mean, min=float(ordered[0]), max=float(ordered[-1]), stddev=0.0, **percentiles)


@pytest.mark.parametrize("share", [0.005, 0.03, 0.2, 0.6])
@pytest.mark.parametrize("most_ms", [1.0, 60.0])
@pytest.mark.parametrize(
    "true_ms",
    [
        np.full(20_000, 20.0),
        np.random.default_rng(1).exponential(20, 20_000),
        np.random.default_rng(2).normal(300, 20, 20_000),
    ],
    ids=["constant", "exponential", "normal"],
)
def test_what_is_said_is_half_of_what_was_moved_at_least_and_never_more_than_any_was_late(true_ms, most_ms, share):
    rng = np.random.default_rng(3)
    late_ms = np.where(rng.random(len(true_ms)) < share, rng.uniform(0, most_ms, len(true_ms)), 0)
    before, after = _reported(true_ms), _reported(true_ms + late_ms)
    said_ms = moved_at_most_ms(after, Lateness(share, most_ms))
    for name in ("p90", "p95", "p99"):
        moved_ms = getattr(after, name).value - getattr(before, name).value
        assert moved_ms <= 2.1 * said_ms[name] + 0.02 * getattr(after, name).value
        assert said_ms[name] <= most_ms


def test_a_few_that_are_late_by_little_of_what_times_differ_move_next_to_nothing():
    times_ms = np.random.default_rng(4).exponential(100, 20_000)
    said_ms = moved_at_most_ms(_reported(times_ms), Lateness(0.01, 50.0))
    assert said_ms["p50"] == 0.0
    assert said_ms["p99"] < 0.02 * 460


def test_where_all_are_late_by_as_much_as_they_took_nothing_is_known_of_them():
    assert moved_at_most_ms(_reported(np.full(300, 3150.0)), Lateness(1.0, 2500.0)) == dict.fromkeys(REPORTED, 2500.0)
    assert moved_at_most_ms(_reported(np.full(300, 30.0)), Lateness(1.0, 2500.0)) == dict.fromkeys(REPORTED, 30.0)


@pytest.mark.parametrize("late", [Lateness(0.0, 50.0), Lateness(0.5, 0.0)])
def test_where_nothing_is_late_nothing_is_moved(late):
    assert moved_at_most_ms(_reported(np.full(300, 30.0)), late) == {}
