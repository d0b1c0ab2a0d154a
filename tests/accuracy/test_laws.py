"""The laws themselves, each against another way to the same value: a judge must be right."""

from __future__ import annotations

import math
from collections.abc import Callable

import laws
import numpy as np
import pytest

MS, S = 1_000_000, 1_000_000_000


def simulated(load: float, *, exponential: bool) -> laws.Times:
    """Responses of one queue, in units of a millionth of the service."""
    rng = np.random.default_rng(8)
    n = 2_000_000
    arrivals = np.cumsum(rng.exponential(1e6 / load, n)).astype(np.int64)
    services = rng.exponential(1e6, n).astype(np.int64) if exponential else np.full(n, 1_000_000)
    return laws.departures(arrivals, services) - arrivals


def test_departures_are_the_recursion() -> None:
    rng = np.random.default_rng(3)
    arrivals, services = np.sort(rng.integers(0, 10**6, 2000)), rng.integers(0, 1000, 2000)
    free, expected = 0, []
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        free = max(arrival, free) + service
        expected.append(free)
    assert laws.departures(arrivals, services).tolist() == expected


def mm1_quantile(rate: float, service: float, q: float) -> float:
    """The q-quantile of the response of M/M/1."""
    return -math.log(1 - q) * laws.mm1_mean(rate, service)


def md1_quantile(rate: float, service: float, q: float) -> float:
    """The q-quantile of the response of M/D/1, where the wait is below 30 services.

    P(wait <= t) = (1 - rho) * sum over k <= t/D of (-x)^k / k! * e^x with x = lambda (t - k D) (Erlang, 1909). The
    terms alternate and grow with t: so far they are good to 1e-6, which p99 at a load of 0.9 is within.
    """

    def shares_up_to(wait: float) -> float:
        terms = ((k, rate * (wait - k * service)) for k in range(math.floor(wait / service) + 1))
        return (1 - rate * service) * math.fsum((-x) ** k / math.factorial(k) * math.exp(x) for k, x in terms)

    return service + root(shares_up_to, q, 0.0, 30 * service)


def root(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_formulas_of_queues_agree_with_simulation(load: float) -> None:
    deterministic, exponential = simulated(load, exponential=False), simulated(load, exponential=True)
    assert deterministic.mean() / 1e6 == pytest.approx(laws.md1_mean(load, 1.0), rel=0.02)
    assert exponential.mean() / 1e6 == pytest.approx(laws.mm1_mean(load, 1.0), rel=0.02)
    for q in (0.5, 0.9, 0.99):
        assert laws.nearest_rank(deterministic, q) / 1e6 == pytest.approx(md1_quantile(load, 1.0, q), rel=0.03)
        assert laws.nearest_rank(exponential, q) / 1e6 == pytest.approx(mm1_quantile(load, 1.0, q), rel=0.03)


def test_a_queue_that_is_often_idle_has_its_service_as_median() -> None:
    assert md1_quantile(0.15, 2.0, 0.5) == pytest.approx(2.0)
    assert md1_quantile(0.15, 2.0, 0.99) > 4


def test_a_stall_in_small() -> None:
    """Two connections, a request each 10, a service of 5, nothing answered from 20 to 100."""
    schedule, stall = np.arange(0, 150, 10), (20, 100)
    ended = [5, 15, 100, 100, 105, 105, 110, 110, 115, 115, 120, 120, 125, 135, 145]
    assert laws.pool_times(schedule, 5, 2, stall)[1].tolist() == ended
    assert laws.open_loop_responses(schedule, 5, 2, stall).max() == 80
    closed = laws.closed_loop_responses(schedule, 5, 2, stall)
    assert sorted(closed.tolist())[-3:] == [5, 70, 80]


def test_the_figure_that_the_design_gives_for_a_stall() -> None:
    """16 connections, 200/s, a server of 5 ms that stalls for 1 s, for some 10 s: a true p99 of 890 ms."""
    schedule = np.arange(0, 10 * S, 5 * MS)
    stall = (3 * S, 4 * S)
    assert laws.nearest_rank(laws.open_loop_responses(schedule, 5 * MS, 16, stall), 0.99) / MS == pytest.approx(
        890, abs=25
    )
    assert laws.nearest_rank(laws.closed_loop_responses(schedule, 5 * MS, 16, stall), 0.99) / MS < 8


def test_gamma_shares_are_those_of_known_cases() -> None:
    x = np.linspace(0.001, 40, 500)
    assert laws.gamma_share(1.0)(x) == pytest.approx(laws.exponential_share(x), abs=1e-12)
    four = 1 - np.exp(-4 * x) * (1 + 4 * x + (4 * x) ** 2 / 2 + (4 * x) ** 3 / 6)
    assert laws.gamma_share(0.5)(x) == pytest.approx(four, abs=1e-12)
    half = np.array([math.erf(math.sqrt(value / 2)) for value in x])
    assert laws.gamma_share(math.sqrt(2))(x) == pytest.approx(half, abs=1e-12)


def test_the_distance_of_a_sample_from_its_own_law_is_within_its_limit() -> None:
    values = np.random.default_rng(4).exponential(1.0, 20_000)
    assert laws.ks_distance(values, laws.exponential_share) < laws.ks_limit(20_000)
    assert laws.ks_distance(values * 1.05, laws.exponential_share) > laws.ks_limit(20_000)
    coarse = np.floor(values * 50) / 50
    assert laws.ks_distance(coarse, laws.exponential_share) > laws.ks_limit(20_000)
    assert laws.ks_distance(coarse, laws.exponential_share, 0.02) < laws.ks_limit(20_000)
    # Kolmogorov's table: 1.358 / sqrt(n) at 5%, 1.949 / sqrt(n) at 0.1%.
    assert laws.ks_limit(400, 0.05) == pytest.approx(1.358 / 20, rel=1e-3)
    assert laws.ks_limit(400) == pytest.approx(1.949 / 20, rel=1e-3)


def test_rates_are_integrated() -> None:
    profile = ((100.0, 200.0, 10.0), (50.0, 50.0, math.inf))
    assert laws.expected_arrivals(profile, np.array([0.0, 5.0, 10.0, 12.0])).tolist() == [0, 625, 1500, 1600]


def test_quantiles_of_students_distribution() -> None:
    for freedom, confidence, expected in [(9, 0.95, 2.262157), (9, 0.999, 4.780913), (29, 0.999, 3.659405)]:
        assert laws.t_quantile(freedom, confidence) == pytest.approx(expected, abs=1e-5)
    low, high = laws.t_interval([1.0, 2.0, 3.0], 0.95)
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
