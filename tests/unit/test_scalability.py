"""The scalability law: found where it holds, refused where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.stats.scalability import fit_scalability, pareto_front

USERS = np.array([1.0, 2, 4, 8, 16, 32])


def _law(users, rate, sigma, kappa):
    return rate * users / (1 + sigma * (users - 1) + kappa * users * (users - 1))


@pytest.mark.parametrize(("sigma", "kappa"), [(0.05, 0.001), (0.2, 0.01), (0.0, 0.002)])
def test_a_law_that_holds_exactly_is_found(sigma, kappa):
    fit = fit_scalability(USERS, _law(USERS, 50.0, sigma, kappa))
    assert fit.lambda_per_s == pytest.approx(50.0)
    assert fit.sigma == pytest.approx(sigma, abs=1e-9)
    assert fit.kappa == pytest.approx(kappa)
    assert fit.r2 == pytest.approx(1.0)
    assert fit.peak_users == pytest.approx(((1 - sigma) / kappa) ** 0.5)


def test_noise_of_two_percent_moves_the_peak_little():
    rng = np.random.default_rng(3)
    noisy = _law(USERS, 50.0, 0.05, 0.004) * rng.normal(1, 0.02, len(USERS))
    assert fit_scalability(USERS, noisy).peak_users == pytest.approx(15.4, rel=0.25)


def test_a_throughput_that_only_flattens_has_no_peak():
    fit = fit_scalability(USERS, _law(USERS, 50.0, 0.3, 0.0))
    assert fit.peak_users is None or fit.peak_users > 1000


def test_no_coefficient_is_negative():
    fit = fit_scalability(USERS, 50.0 * USERS**1.05)
    assert fit.sigma >= 0
    assert fit.kappa >= 0


@pytest.mark.parametrize(
    ("users", "rates", "why"),
    [
        ([1, 2, 4], [1, 2, 3], "at least 4 different numbers of threads, not 3"),
        ([1, 1, 2, 2], [1, 1, 2, 2], "not 2"),
        ([1, 2, 4, 8], [1, 0, 3, 4], "no throughput"),
        ([1, 2, 4, 8, 16], [10, 90, 5, 80, 3], "do not follow the law"),
    ],
)
def test_points_that_do_not_allow_a_fit_are_refused(users, rates, why):
    assert why in fit_scalability(np.array(users, dtype=float), np.array(rates, dtype=float))


def test_the_pareto_front_holds_what_nothing_beats():
    gains, costs = np.array([10.0, 20, 15, 20, 5]), np.array([1.0, 3, 4, 3, 1])
    assert pareto_front(gains, costs) == [0, 1, 3]
    assert pareto_front(np.array([]), np.array([])) == []
