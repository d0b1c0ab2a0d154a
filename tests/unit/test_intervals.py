"""The stationary bootstrap: blocks as published, and intervals that cover."""

from __future__ import annotations

import numpy as np

from servemark.stats.intervals import ratio_interval, stationary_bootstrap


def test_blocks_run_on_and_wrap_and_have_the_mean_length():
    batches = 1000
    indices = stationary_bootstrap(batches, seed=3)
    assert indices.min() >= 0
    assert indices.max() < batches
    goes_on = (indices[:, 1:] - indices[:, :-1]) % batches == 1
    mean_block = 1 / (1 - goes_on.mean())
    assert 9 < mean_block < 11  # the cube root of 1000


def test_the_same_seed_draws_the_same_batches():
    assert (stationary_bootstrap(50, 9) == stationary_bootstrap(50, 9)).all()
    assert (stationary_bootstrap(50, 9) != stationary_bootstrap(50, 10)).any()


def test_the_interval_of_a_mean_covers_it_for_independent_values():
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(200):
        values = rng.exponential(size=400)
        low, high = ratio_interval(values, np.ones(400), stationary_bootstrap(400, trial))
        covered += low <= 1.0 <= high
    assert covered > 170  # 95% of 200 is 190; blocks cost a little


def test_the_interval_widens_for_values_that_depend_on_their_neighbours():
    rng = np.random.default_rng(5)
    noise = rng.normal(size=2000)
    dependent = np.empty(2000)
    dependent[0] = noise[0]
    for i in range(1, 2000):
        dependent[i] = 0.9 * dependent[i - 1] + noise[i] * (1 - 0.81) ** 0.5
    indices = stationary_bootstrap(2000, 1)
    low, high = ratio_interval(noise, np.ones(2000), indices)
    wide_low, wide_high = ratio_interval(dependent, np.ones(2000), indices)
    assert wide_high - wide_low > 2 * (high - low)


def test_a_ratio_ignores_resamples_without_a_denominator():
    values, counts = np.zeros(40), np.zeros(40)
    values[3], counts[3] = 10.0, 2.0
    low, high = ratio_interval(values, counts, stationary_bootstrap(40, 2))
    assert low == high == 5.0
