"""When a server was away: between connections that failed, and no answer, however the records are cut."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.stats.absences import absences


def _found(refused: list[int], *answered: list[int]) -> list[tuple[int, int | None]]:
    return absences(np.array(refused, dtype=np.int64), [np.array(part, dtype=np.int64) for part in answered])


def test_it_is_away_from_the_first_connection_that_fails_to_the_next_answer() -> None:
    assert _found([30, 40, 50], [10, 20, 60, 70]) == [(30, 60)]


def test_each_time_is_one_of_its_own() -> None:
    assert _found([30, 40, 80, 90], [10, 50, 60, 95]) == [(30, 50), (80, 95)]


def test_where_no_answer_comes_any_more_it_stays_away() -> None:
    assert _found([30, 40], [10]) == [(30, None)]


def test_it_may_be_away_from_the_beginning() -> None:
    assert _found([1, 2], [3]) == [(1, 3)]


def test_a_single_connection_that_fails_between_answers_says_nothing() -> None:
    assert _found([30], [10, 40]) == []
    assert _found([30, 50], [10, 40, 60]) == []


def test_order_and_parts_of_the_records_change_nothing() -> None:
    whole = _found([30, 40, 80, 90], [10, 50, 60, 95])
    assert _found([90, 30, 80, 40], [95, 10], [], [60, 50]) == whole


def test_without_failures_there_is_nothing_to_tell() -> None:
    assert _found([], [1, 2]) == []


@pytest.mark.parametrize("parts", [1, 7])
def test_of_many_records_it_finds_what_was_planned(parts: int) -> None:
    answered = np.concatenate([np.arange(0, 1000), np.arange(2000, 5000), np.arange(7000, 9000)])
    refused = np.concatenate([np.arange(1000, 2000, 100), np.arange(5000, 7000, 100)])
    found = absences(refused, np.array_split(np.random.default_rng(1).permutation(answered), parts))
    assert found == [(1000, 2000), (5000, 7000)]
