"""The beta and Student's t, against sums and published tables."""

from __future__ import annotations

import math

import pytest

from servemark.stats.distributions import beta_cdf, beta_quantile, share_interval, student_cdf, student_quantile


@pytest.mark.parametrize(("a", "b", "x"), [(1, 1, 0.3), (3, 8, 0.2), (3, 8, 0.9), (40, 2, 0.99), (990, 11, 0.985)])
def test_the_beta_is_the_tail_of_a_binomial(a, b, x):
    n = a + b - 1
    tail = math.fsum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert beta_cdf(x, a, b) == pytest.approx(tail, rel=1e-9)
    assert beta_quantile(tail, a, b) == pytest.approx(x, rel=1e-6)


def test_the_beta_ends_at_0_and_1():
    assert (beta_cdf(-1, 2, 3), beta_cdf(0, 2, 3), beta_cdf(1, 2, 3), beta_cdf(2, 2, 3)) == (0, 0, 1, 1)


@pytest.mark.parametrize("n", [1e3, 1e6, 1e8])
def test_of_many_it_is_nearly_normal(n):
    share = 0.5
    spread = math.sqrt(share * (1 - share) / n)
    assert beta_cdf(share + 1.959964 * spread, n * share, n * (1 - share)) == pytest.approx(0.975, abs=0.3 / n**0.5)


# Student's t at 97.5%, as every table has it.
@pytest.mark.parametrize(
    ("degrees_of_freedom", "t"),
    [(1, 12.7062), (2, 4.30265), (5, 2.57058), (8, 2.306), (30, 2.04227), (100, 1.98397), (1e6, 1.95997)],
)
def test_student_is_as_in_the_tables(degrees_of_freedom, t):
    assert student_quantile(0.975, degrees_of_freedom) == pytest.approx(t, rel=1e-5)
    assert student_cdf(t, degrees_of_freedom) == pytest.approx(0.975, abs=1e-6)
    assert student_cdf(-t, degrees_of_freedom) == pytest.approx(0.025, abs=1e-6)


def test_a_share_has_the_bounds_of_clopper_and_pearson():
    # Of none the rule of three, exactly; the other by the tables of Diem and Lentner (1970) at 95%: 3 of 20.
    low, high = share_interval(299, 299, 0.05)
    assert (low, high) == (pytest.approx(0.05 ** (1 / 299)), 1.0)
    assert share_interval(0, 10, 0.025) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert share_interval(3, 20, 0.025) == pytest.approx((0.0321, 0.3789), abs=1e-4)
