"""How many requests are in flight, from their times alone."""

from __future__ import annotations

import numpy as np

from servemark.stats.concurrency import busy_period, least_in_flight


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


def test_nothing_ends_in_an_empty_period():
    assert least_in_flight(_times(0), _times(10), 20, 30) is None
    assert least_in_flight(_times(), _times(), 0, 30) is None


def test_the_busy_period_is_from_the_last_first_request_to_the_first_last_one():
    user = np.array([0, 1, 0, 1, 0], dtype=np.uint32)
    assert busy_period(user, _times(0, 5, 10, 15, 30)) == (5, 15)
    assert busy_period(np.array([], dtype=np.uint32), _times()) == (0, 0)
