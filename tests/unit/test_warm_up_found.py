"""MSER-5: what is warm-up is cut, and no stall is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.options import RunRequest
from servemark.stats.warm_up import LEAST_VALUES, slow_ns, truncation_errors, warm_up_share


def _above(times_ms, batches=1000):
    """By batch how many of the values, at equal distances, are above the median, and how many slow; of how many.

    None failed.
    """
    batch = np.arange(len(times_ms)) * batches // len(times_ms)
    median_ns = round(np.median(times_ms) * 1e6)
    above = [np.bincount(batch, times_ms * 1e6 > one, minlength=batches) for one in (median_ns, slow_ns(median_ns))]
    return *above, np.bincount(batch, minlength=batches).astype(float), np.zeros(batches)


def test_the_errors_are_those_of_mser():
    values = np.array([9.0, 1.0, 2.0, 3.0, 2.0])
    expected = [((values[d:] - values[d:].mean()) ** 2).sum() / (5 - d) ** 2 for d in range(5)]
    assert truncation_errors(values) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_a_slow_beginning_is_cut_where_it_ends(share):
    rng = np.random.default_rng(1)
    times_ms = rng.exponential(size=20_000) + 5
    slow = int(share * 20_000)
    times_ms[:slow] *= np.linspace(1.5, 1.0, slow)  # as caches fill
    assert share * 0.5 < warm_up_share(*_above(times_ms)) <= share + 0.02


def test_of_a_steady_run_little_is_cut():
    rng = np.random.default_rng(2)
    cuts = [warm_up_share(*_above(rng.exponential(size=5000))) for _ in range(200)]
    assert np.mean(np.array(cuts) > 0) < 0.25
    assert np.mean(cuts) < 0.02


def test_a_stall_is_no_warm_up():
    times_ms = np.random.default_rng(3).exponential(size=10_000) + 5
    times_ms[3000:3010] += 1000
    assert warm_up_share(*_above(times_ms)) < 0.02


@pytest.mark.parametrize("drifts_from", [0.6, 0.7, 0.8])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_a_slow_beginning_is_cut_where_those_that_are_otherwise_alike_drift_by_a_hundredth(share, drifts_from):
    times_ms = 5 + 0.01 * np.random.default_rng(4).standard_normal(20_000)
    times_ms[int(drifts_from * 20_000) :] *= 1.01
    times_ms[: int(share * 20_000)] *= 5
    assert warm_up_share(*_above(times_ms)) == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("noise_ms", [0.01, 2.0])
@pytest.mark.parametrize("share", [0.0025, 0.01, 0.05])
@pytest.mark.parametrize("at", [0.02, 0.1, 0.25, 0.44])
def test_a_stall_that_many_waited_for_is_none_either(at, share, noise_ms):
    times_ms = 5 + np.random.default_rng(5).exponential(noise_ms, size=20_000)
    times_ms[int(at * 20_000) :][: int(share * 20_000)] += 1000
    assert warm_up_share(*_above(times_ms)) == 0.0


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("at", [0.15, 0.25, 0.4])
def test_of_a_slow_beginning_and_a_stall_the_beginning_is_cut(at, share):
    times_ms = 5 + 0.01 * np.random.default_rng(5).standard_normal(20_000)
    times_ms[:1000] *= 2
    times_ms[int(at * 20_000) :][: int(share * 20_000)] += 1000
    assert warm_up_share(*_above(times_ms)) == pytest.approx(0.05, abs=0.005)


def test_no_more_than_a_half_is_cut():
    times_ms = np.linspace(100, 1, 10_000)
    assert warm_up_share(*_above(times_ms)) <= 0.5


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 0.9])
def test_a_beginning_without_successes_is_no_warm_up(share):
    """What failed then would be in no figure: neither in the errors nor in the rate."""
    times_ms = np.random.default_rng(6).exponential(size=6000) + 1
    empty, others = np.zeros(round(1000 * share)), round(1000 * (1 - share))
    assert warm_up_share(*(np.r_[empty, of] for of in _above(times_ms, others))) == 0.0
    times_ms[:200] *= 5
    *successes, failed = (np.r_[empty, of] for of in _above(times_ms, others))
    failed[: len(empty)] = 3
    assert warm_up_share(*successes, failed) == 0.0


def test_a_slow_beginning_is_cut_where_users_who_keep_step_send_nothing_at_first():
    times_ms = 5 + 0.01 * np.random.default_rng(8).standard_normal(20_000)
    times_ms[:1000] *= 2
    *successes, none = _above(times_ms)
    for counted in successes:  # all four send in the last of every four parts
        counted[3:100:4] = counted[:100].reshape(25, 4).sum(axis=1)
        counted[:100][np.arange(100) % 4 < 3] = 0
    assert warm_up_share(*successes, none) == pytest.approx(0.05, abs=0.01)


def test_time_of_failures_alone_after_a_slow_beginning_is_no_warm_up():
    times_ms = 5 + 0.01 * np.random.default_rng(8).standard_normal(20_000)
    times_ms[:1000] *= 2
    *successes, failed = (np.r_[of[:50], np.zeros(500), of[50:]] for of in _above(times_ms))
    failed[50:550] = 3
    assert warm_up_share(*successes, np.zeros(1500)) == pytest.approx(550 / 1500, abs=0.005)
    assert warm_up_share(*successes, failed) == pytest.approx(50 / 1500, abs=0.005)


def test_no_more_than_a_half_of_the_time_is_cut_where_few_of_the_responses_are_in_it():
    """As of users who wait for slow answers at first."""
    times_ms = np.r_[np.full(200, 9.0), np.random.default_rng(7).exponential(size=4800) + 1]
    by_batch = _above(times_ms)
    assert warm_up_share(*by_batch) == pytest.approx(0.04, abs=0.005)
    places = np.r_[np.arange(40) * 40, np.arange(1600, 2560)]  # the slow ones have more than half of the time
    stretched = [np.bincount(places, of) for of in by_batch]
    assert 0.4 < warm_up_share(*stretched) <= 0.5


@pytest.mark.parametrize(
    ("slo", "is_found"),
    [
        (None, True),
        ("p99<1s", True),
        ("first_event.p50<1s,between_events.p99<1s", False),
        ("between_content.p99<1s", False),
    ],
)
def test_none_is_looked_for_where_a_condition_is_on_what_cannot_be_cut(slo, is_found):
    assert RunRequest.of("latency", slo=slo).finds_warm_up is is_found


def test_few_values_say_nothing():
    times_ms = np.r_[np.full(50, 9.0), np.ones(LEAST_VALUES - 51)]
    assert warm_up_share(*_above(times_ms, 100)) == 0.0
    assert warm_up_share(*_above(np.r_[times_ms, 1.0], 100)) > 0.1
