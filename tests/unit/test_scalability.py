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


@pytest.mark.parametrize("sigma", [0.02, 0.3, 0.9])
def test_a_throughput_that_only_flattens_has_no_peak(sigma):
    fit = fit_scalability(USERS, _law(USERS, 50.0, sigma, 0.0))
    assert (fit.sigma, fit.kappa) == (pytest.approx(sigma), 0.0)
    assert fit.peak_users is None


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_a_throughput_that_does_not_grow_is_the_limit_of_the_law(noise):
    fit = fit_scalability(USERS, 50.0 * np.random.default_rng(7).normal(1, noise, len(USERS)))
    assert (fit.sigma, fit.kappa, fit.peak_users) == (pytest.approx(1.0), 0.0, None)
    assert fit.lambda_per_s == pytest.approx(50.0, rel=noise + 1e-9)
    assert fit.off_share <= 3 * noise + 1e-9


def test_a_noise_of_a_few_percent_around_it_is_no_reason_to_refuse():
    fit = fit_scalability(USERS, np.array([50.0, 51.5, 49.0, 50.5, 48.5, 51.0]))
    assert fit.r2 < 0.9
    assert fit.off_share < 0.05


def test_in_proportion_is_the_other_limit():
    fit = fit_scalability(USERS, 50.0 * USERS)
    assert (fit.sigma, fit.kappa, fit.peak_users) == (0.0, 0.0, None)


def test_a_throughput_that_falls_from_the_first_user_on_has_its_peak_there():
    fit = fit_scalability(USERS, _law(USERS, 50.0, 1.0, 0.01))
    assert (fit.sigma, fit.kappa) == (pytest.approx(1.0), pytest.approx(0.01))
    assert fit.peak_users == 1.0


def test_what_falls_faster_than_any_law_allows_has_a_law_that_is_allowed():
    fit = fit_scalability(USERS, 50.0 / USERS**0.02)
    assert (fit.sigma, fit.peak_users) == (pytest.approx(1.0), 1.0)
    assert fit.off_share < 0.05


def test_a_law_says_what_was_measured_so_that_a_peak_beyond_it_is_known_as_such():
    users = np.array([2.0, 4, 6, 8])
    fit = fit_scalability(users, _law(users, 50.0, 0.2, 0.01))
    assert (fit.least_users, fit.most_users) == (2.0, 8.0)
    assert fit.peak_users == pytest.approx((0.8 / 0.01) ** 0.5)
    assert fit.peak_users > fit.most_users


def test_no_coefficient_is_negative():
    fit = fit_scalability(USERS, 50.0 * USERS**1.01)
    assert (fit.sigma, fit.kappa) == (0.0, 0.0)


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
