"""Percentiles are nearest-rank order statistics, and their intervals hold what they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemark.stats.dependence import Effective
from servemark.stats.percentiles import interval_ranks, least_n, percentiles, point_ranks, smallest_n
from servemark.stats.samples import sample_of


def _independent(n):
    return Effective(max(n, 100), n)


def _interval_ranks(n, q):
    return interval_ranks(n, q, _independent(n))


def _percentiles(values, scale, quantiles):
    n = len(values)
    worth = dict.fromkeys(quantiles, Effective(n, n)) if n >= 100 else {}
    pairs = [pair for q in worth if (pair := interval_ranks(n, q, worth[q]))]
    ranks = point_ranks(n, quantiles) | {rank for pair in pairs for rank in pair}
    return percentiles(replace(sample_of(values, ranks), worth=worth), scale, quantiles)


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688), (0.9999, 36887)])
def test_an_interval_exists_from_the_published_sample_sizes(q, n):
    assert smallest_n(q) == n
    assert _interval_ranks(n - 1, q) is None
    lower, upper = _interval_ranks(n, q)
    assert 1 <= lower < upper <= n


@pytest.mark.parametrize(
    ("n", "q", "expected"),
    # By scipy 1.17: max l with binom.cdf(l-1, n, q) <= .025, min u with binom.sf(u-1, n, q) <= .025.
    [(10, 0.5, (2, 9)), (100, 0.5, (40, 61)), (100, 0.9, (84, 96)), (400, 0.99, (392, 400)), (9999, 0.5, (4902, 5098))],
)
def test_ranks_equal_those_of_an_exact_binomial(n, q, expected):
    assert _interval_ranks(n, q) == expected


@pytest.mark.parametrize(("n", "q"), [(37, 0.9), (500, 0.99), (4000, 0.999), (50_000, 0.5)])
def test_each_rank_is_the_tightest_that_keeps_its_tail(n, q):
    def tail_below(rank):  # P(B < rank), by the definition
        return math.fsum(math.exp(_log_pmf(n, k, q)) for k in range(rank))

    lower, upper = _interval_ranks(n, q)
    assert tail_below(lower) <= 0.025 + 1e-9 < tail_below(lower + 1) + 2e-9
    assert 1 - tail_below(upper) <= 0.025 + 1e-9
    assert 1 - tail_below(upper - 1) > 0.025 - 1e-9


def _log_pmf(n, k, q):
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choose + k * math.log(q) + (n - k) * math.log(1 - q)


def test_values_that_depend_on_each_other_count_for_fewer():
    lower, upper = interval_ranks(10_000, 0.9, Effective(1000, 800))
    few_lower, few_upper = _interval_ranks(800, 0.9)
    # Each of the 800 stands for 12.5, of which the outermost is taken.
    assert (lower, upper) == ((few_lower - 1) * 12.5 // 1 + 1, math.ceil(few_upper * 12.5))
    assert interval_ranks(10_000, 0.9, Effective(99, 99)) is None


def test_ten_million_ranks_are_near_the_normal_approximation():
    n, q = 10_000_000, 0.99
    lower, upper = _interval_ranks(n, q)
    spread = 1.959964 * math.sqrt(n * q * (1 - q))
    assert lower == pytest.approx(n * q - spread, abs=3)
    assert upper == pytest.approx(n * q + spread, abs=3)


def test_the_interval_covers_the_true_quantile_as_often_as_it_says():
    rng = np.random.default_rng(7)
    n, q, trials = 500, 0.9, 2000
    lower, upper = _interval_ranks(n, q)
    samples = np.sort(rng.exponential(size=(trials, n)), axis=1)
    true = -math.log(1 - q)
    covered = ((samples[:, lower - 1] <= true) & (true <= samples[:, upper - 1])).mean()
    # Ranks are whole, so that these two promise a little more than 95%; exactly so much has to be found, but for the
    # chance of 2,000 trials: three of its standard errors.
    promised = math.fsum(math.exp(_log_pmf(n, k, q)) for k in range(lower, upper))
    assert promised == pytest.approx(0.9634, abs=1e-4)
    assert covered == pytest.approx(promised, abs=3 * (promised * (1 - promised) / trials) ** 0.5)


def test_values_are_order_statistics_in_the_unit_asked_for():
    values = np.arange(1, 101, dtype=np.int64) * 1_000_000
    np.random.default_rng(1).shuffle(values)
    p50, p95, p99 = _percentiles(values, 1e6, [0.50, 0.95, 0.99])
    assert (p50.value, p95.value, p99.value) == (50.0, 95.0, 99.0)
    assert p50.ci95 == (40.0, 61.0)
    assert p50.needs_n is None
    assert p99.ci95 is None
    assert p99.needs_n == 368


@given(
    values=st.lists(st.integers(0, 2**40), min_size=1, max_size=400), q=st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])
)
def test_any_sample_has_a_nearest_rank_percentile_within_its_interval(values, q):
    (found,) = _percentiles(np.array(values, dtype=np.int64), 1.0, [q])
    at_or_below = sum(value <= found.value for value in values)
    below = sum(value < found.value for value in values)
    assert found.value in values
    assert below < q * len(values) + 1e-6
    assert at_or_below >= q * len(values) - 1e-6
    assert (found.ci95 is None) == (len(values) < least_n(q))
    if found.ci95:
        assert found.ci95[0] <= found.value <= found.ci95[1]


def test_a_single_value_is_every_percentile_and_none_has_an_interval():
    found = _percentiles(np.array([5_000_000]), 1e6, [0.5, 0.999])
    assert [item.value for item in found] == [5.0, 5.0]
    assert [item.ci95 for item in found] == [None, None]


def test_an_empty_sample_has_no_percentiles():
    (p50,) = _percentiles(np.empty(0, dtype=np.int64), 1e6, [0.5])
    assert p50.value is None
    assert p50.ci95 is None
