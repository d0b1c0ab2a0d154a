"""Drift: found where it is, and no more often than is said where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.stats.distributions import student_cdf
from servemark.stats.drift import PARTS, drift_of


def _autocorrelated(rng, n, correlation):
    noise = rng.normal(size=n) * (1 - correlation**2) ** 0.5
    values = np.empty(n)
    values[0] = rng.normal()
    for i in range(1, n):
        values[i] = correlation * values[i - 1] + noise[i]
    return values


def test_a_line_has_the_t_of_least_squares():
    values = np.array([3.0, 5, 4, 6, 7, 6, 8, 9, 8, 10])
    found = drift_of(values, np.ones(PARTS))
    (slope, intercept), covariances = np.polyfit(np.arange(PARTS), values, 1, cov=True)
    assert found.start == pytest.approx(intercept - slope / 2)
    assert found.end == pytest.approx(intercept + slope * 9.5)
    t = slope / covariances[0, 0] ** 0.5
    assert found.p == pytest.approx(2 * (1 - student_cdf(t, PARTS - 2)))
    assert found.is_drifting


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_what_stands_is_called_drifting_in_one_of_twenty(correlation):
    rng = np.random.default_rng(4)
    runs = 400
    alarms = 0
    for _ in range(runs):
        above = _autocorrelated(rng, 2000, correlation) > 1.0
        alarms += drift_of(above.astype(float), np.ones(2000)).is_drifting
    # 5%, and three standard errors of 400 runs.
    assert 0.015 <= alarms / runs <= 0.085


def test_a_share_that_doubles_is_drifting():
    rng = np.random.default_rng(5)
    above = rng.random(20_000) < np.linspace(0.02, 0.04, 20_000)
    found = drift_of(above.astype(float), np.ones(20_000))
    assert found.is_drifting
    assert found.start < 0.03 < found.end


def test_what_never_changes_stands_and_what_cannot_be_told_has_no_drift():
    assert drift_of(np.ones(100), np.ones(100)).p == 1.0
    assert drift_of(np.ones(9), np.ones(9)) is None
    assert drift_of(np.zeros(20), np.r_[np.zeros(10), np.ones(10)]) is None
