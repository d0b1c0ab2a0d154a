"""What a server counted during a run: the difference of two countings, and how that is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servemark.assessment.inside import inside_of
from servemark.report.inside import inside_facts
from servemark.result import ClosedLoadResult, InsideServer, RunResult, Telemetry
from servemark.servers import InsideCounts

BEFORE = InsideCounts(10, 1, 10, queue_ns=1_000_000, input_ns=0, infer_ns=5_000_000, output_ns=0)
AFTER = InsideCounts(30, 2, 15, queue_ns=5_000_000, input_ns=2_000_000, infer_ns=45_000_000, output_ns=1_000_000)


def test_times_are_means_over_the_requests_between_two_countings() -> None:
    (found,) = inside_of({"m": BEFORE}, {"m": AFTER})
    assert found == InsideServer(
        model="m",
        requests=20,
        failed=1,
        executions=5,
        queue_ms=pytest.approx(0.2),
        input_ms=pytest.approx(0.1),
        infer_ms=pytest.approx(2.0),
        output_ms=pytest.approx(0.05),
    )


def test_what_is_not_told_stays_so_and_what_began_anew_is_left_out() -> None:
    untold = replace(AFTER, executions=None, input_ns=None)
    (found,) = inside_of({"m": BEFORE}, {"m": untold})
    assert (found.executions, found.input_ms, found.queue_ms) == (None, None, pytest.approx(0.2))
    (idle,) = inside_of({"m": BEFORE}, {"m": BEFORE})
    assert (idle.requests, idle.queue_ms) == (0, None)
    assert list(inside_of({"m": AFTER}, {"m": BEFORE})) == [], "the server was started again"
    assert list(inside_of({}, {"m": AFTER})) == []


def _told(*inside: InsideServer) -> list[str]:
    load = ClosedLoadResult(users=1, loops=1, duration_s=None, until=None, warmup_s=0.0, ramp_s=0.0, think_s=0.0)
    run = RunResult(1, {}, {}, load, (0.0, 1.0), 0.0, None, (), Telemetry(), "", inside=inside or None)
    return [fact.text.plain for fact in inside_facts(run)]


def test_a_line_a_model_says_where_the_time_went() -> None:
    (one,) = inside_of({"m": BEFORE}, {"m": AFTER})
    parts = "queue 0.200 ms, input 0.100 ms, infer 2.00 ms, output 0.050 ms"
    batches = "mean of 20 requests in 5 executions, the warm-up's too"
    assert _told(one) == [f"{parts}; {batches}"]
    alone = replace(one, executions=20, input_ms=None, output_ms=None)
    words = "queue 0.200 ms, infer 2.00 ms; mean of 20 requests, the warm-up's too"
    assert _told(alone, alone) == [f"m: {words}"] * 2
    assert _told() == _told(replace(one, requests=0)) == []
