"""How many requests are in flight, from their times alone."""

from __future__ import annotations

import numpy as np
import pytest

from servemark.stats.concurrency import busy_period, least_in_flight, starved_share


def _times(*values):
    return np.array(values, dtype=np.int64)


def test_back_to_back_requests_of_two_users_never_leave_fewer_than_one():
    sent = _times(0, 1, 10, 12)
    end = _times(10, 11, 20, 22)
    assert least_in_flight(sent, end, 0, 15) == 1


def test_a_gap_is_seen():
    assert least_in_flight(_times(0, 20), _times(10, 30), 0, 15) == 0


def test_requests_that_were_never_sent_do_not_count():
    assert least_in_flight(_times(0, -1, 5), _times(10, 3, 12), 0, 11) == 1


def test_places_that_no_request_took_are_starved():
    sent, end = _times(0, 10, -1, 40), _times(30, 20, 50, 60)
    # Of two places: one from 0 to 10, two to 20, one to 30, none to 40, one to 60.
    assert starved_share(sent, end, 0, 60, 2) == pytest.approx(1 - (10 + 20 + 10 + 20) / 120)
    assert starved_share(sent, end, 0, 60, 1) == pytest.approx(10 / 60)
    assert starved_share(sent, end, 12, 18, 2) == 0
    assert starved_share(sent, end, 5, 5, 2) is None
    assert starved_share(_times(), _times(), 0, 10, 2) == 1


def test_nothing_ends_in_an_empty_period():
    assert least_in_flight(_times(0), _times(10), 20, 30) is None
    assert least_in_flight(_times(), _times(), 0, 30) is None


def test_the_busy_period_is_from_the_last_first_request_to_the_first_last_one():
    user = np.array([0, 1, 0, 1, 0], dtype=np.uint32)
    assert busy_period(user, _times(0, 5, 10, 15, 30)) == (5, 15)
    assert busy_period(np.array([], dtype=np.uint32), _times()) == (0, 0)
