"""Calls that scale a model: which reading back belongs to which, and which predictions were under way meanwhile."""

from __future__ import annotations

import numpy as np

from servemark.records import row_dtype
from servemark.stats.scaling import overlapping, scaling_calls

CALL, READ, PREDICT, FAILED = 0, 1, 2, 1


def rows(*records: tuple[int, int, int, int]) -> np.ndarray:
    """Records of (step, scheduled, end, kind)."""
    made = np.zeros(len(records), dtype=row_dtype())
    for number, record in enumerate(records):
        for name, value in zip(("step", "scheduled", "end", "kind"), record, strict=True):
            made[name][number] = value
    return made


TWICE = rows(
    (CALL, 0, 10, 0), (READ, 10, 12, 0), (READ, 20, 22, 0), (PREDICT, 1, 90, 0), (CALL, 50, 60, 0), (READ, 60, 61, 0)
)


def test_a_call_has_happened_when_the_last_reading_after_it_has_ended():
    calls = scaling_calls(TWICE[::-1], CALL, READ)
    assert calls.start_ns.tolist() == [0, 50]
    assert calls.took_ns.tolist() == [22, 11]
    assert calls.ended_ns.tolist() == [22, 61]


def test_a_call_that_failed_or_was_never_seen_took_no_time_and_yet_ended():
    failed = scaling_calls(rows((CALL, 0, 10, FAILED), (READ, 10, 12, 0)), CALL, READ)
    unseen = scaling_calls(rows((CALL, 0, 10, 0), (READ, 10, 12, 0), (READ, 20, 30, FAILED)), CALL, READ)
    assert [calls.took_ns.tolist() for calls in (failed, unseen)] == [[], []]
    assert [calls.ended_ns.tolist() for calls in (failed, unseen)] == [[12], [30]]


def test_a_call_after_which_the_run_ended_before_all_was_seen_is_left_out():
    assert scaling_calls(rows((CALL, 0, 10, 0)), CALL, READ).start_ns.tolist() == []
    assert scaling_calls(TWICE, CALL, READ, cut_off_ns=60).start_ns.tolist() == [0]


def test_calls_of_the_warm_up_are_left_out():
    calls = scaling_calls(TWICE, CALL, READ).since(50)
    assert (calls.start_ns.tolist(), calls.took_ns.tolist(), calls.ended_ns.tolist()) == ([50], [11], [61])


def test_what_overlaps_one_of_the_intervals_whatever_their_order():
    starts, ends = np.array([50, 0, 10]), np.array([60, 40, 12])
    found = overlapping(rows(*((PREDICT, at, at + 5, 0) for at in (-6, -5, 38, 40, 44, 46, 59, 60))), starts, ends)
    assert found.tolist() == [False, False, True, False, False, True, True, False]
