"""The search for capacity, on simulated queues whose capacity is known: ``make prove`` has 200 of each."""

from __future__ import annotations

import pytest
from capacities import CASES, beyond, found_of, limit_at

_TRIES = 25


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_found_is_near_the_capacity_and_its_interval_has_it(case) -> None:
    found = found_of(case, _TRIES, seed=1)

    # Of 25 tries of which 90% succeed, 18 or more do in 99 of 100 seeds; the seed is fixed.
    assert found.within_6_percent >= 18
    assert found.covered >= 18
    assert found.longest_s <= case.budget_s


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_law_is_that_of_the_simulation(case) -> None:
    import numpy as np

    limit_s = limit_at(case.servers, case.share, 0.7)
    arrivals, responses = case.servers.responses_s(70.0, 5_000.0, np.random.default_rng(3))
    del arrivals

    assert beyond(case.servers, 0.7, limit_s) == pytest.approx(1 - case.share, rel=1e-6)
    assert np.mean(responses >= limit_s) == pytest.approx(1 - case.share, rel=0.2)
