"""What a server counted during a run: the difference of two countings, and how that is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servemark.assessment.inside import inside_of
from servemark.report.inside import HEADINGS, inside_facts, rows_of_inside, tables_of_inside
from servemark.report.markdown import markdown_text
from servemark.report.metrics import samples
from servemark.result import BenchmarkResult, ClosedLoadResult, InsideServer, RunResult, Telemetry
from servemark.servers import InsideCounts

from .test_reports import result

SOME = result()

BEFORE = InsideCounts(10, 1, 10, queue_ns=1_000_000, input_ns=0, infer_ns=5_000_000, output_ns=0)
AFTER = InsideCounts(30, 2, 15, queue_ns=5_000_000, input_ns=2_000_000, infer_ns=45_000_000, output_ns=1_000_000)


def test_times_are_means_over_the_requests_between_two_countings() -> None:
    (found,) = inside_of({"m": BEFORE}, {"m": AFTER}, {"m": 20})
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


def test_what_is_not_told_stays_so() -> None:
    untold = replace(AFTER, executions=None, input_ns=None)
    (found,) = inside_of({"m": BEFORE}, {"m": untold}, {})
    assert (found.executions, found.input_ms, found.queue_ms) == (None, None, pytest.approx(0.2))
    (begun,) = inside_of({"m": untold}, {"m": replace(AFTER, requests=50)}, {})
    assert (begun.executions, begun.input_ms, begun.queue_ms) == (None, None, pytest.approx(0.0))
    (idle,) = inside_of({"m": BEFORE}, {"m": BEFORE}, {})
    assert (idle.requests, idle.queue_ms) == (0, None)
    assert list(inside_of({}, {"m": AFTER}, {"m": 20})) == []


@pytest.mark.parametrize(
    ("after", "answered", "requests"),
    [
        (BEFORE, 20, 10),
        (replace(AFTER, queue_ns=0), 20, 30),
        (replace(AFTER, failed=0), 20, 30),
        (AFTER, 22, 20),
    ],
    ids=["counted anew", "counted anew, and more than before", "failures fell", "less than was answered"],
)
def test_what_is_not_of_all_requests_has_no_times(after: InsideCounts, answered: int, requests: int) -> None:
    then = AFTER if after is BEFORE else BEFORE
    (found,) = inside_of({"m": then}, {"m": after}, {"m": answered})
    assert (found.requests, found.executions, found.queue_ms, found.infer_ms) == (requests, None, None, None)
    words = f"{requests} requests, not the 40 requests that were sent: it was started again, or several answer there"
    assert [told.startswith(words) for told in _told(found, sent=40)] == [True]


def test_requests_of_others_are_told_and_one_that_is_counted_late_is_not() -> None:
    (found,) = inside_of({"m": BEFORE}, {"m": AFTER}, {"m": 21})
    assert _told(found, sent=21)[0].endswith("mean of 20 requests in 5 executions, the warm-up's too")
    assert _told(found, sent=15)[0].endswith("mean of 20 requests in 5 executions, 5 of them of others")


def _told(*inside: InsideServer, sent: int | None = None) -> list[str]:
    steps = () if sent is None else (replace(SOME.benchmarks[0].runs[0].steps[0], requests=sent),)
    load = ClosedLoadResult(users=1, loops=1, duration_s=None, until=None, warmup_s=0.0, ramp_s=0.0, think_s=0.0)
    run = RunResult(1, {}, {}, load, (0.0, 1.0), 0.0, None, steps, Telemetry(), "", inside=inside or None)
    return [fact.text.plain for fact in inside_facts(run)]


def test_a_line_a_model_says_where_the_time_went() -> None:
    (one,) = inside_of({"m": BEFORE}, {"m": AFTER}, {})
    parts = "queue 0.200 ms, input 0.100 ms, infer 2.00 ms, output 0.050 ms"
    batches = "mean of 20 requests in 5 executions, the warm-up's too"
    assert _told(one) == [f"{parts}; {batches}"]
    alone = replace(one, executions=20, input_ms=None, output_ms=None)
    words = "queue 0.200 ms, infer 2.00 ms; mean of 20 requests, the warm-up's too"
    assert _told(alone, alone) == [f"m: {words}"] * 2
    assert _told() == _told(replace(one, requests=0)) == []


def _benchmark(*inside: InsideServer) -> BenchmarkResult:
    (run,) = SOME.benchmarks[0].runs
    return replace(SOME.benchmarks[0], runs=(replace(run, inside=inside or None),))


def test_a_table_has_a_row_a_model_beside_what_it_took_here() -> None:
    (one,) = inside_of({"m": BEFORE}, {"m": AFTER}, {})
    (row,) = rows_of_inside(_benchmark(one))
    service_ms = SOME.benchmarks[0].runs[0].steps[0].service_ms.mean.value
    assert row == ("m", "20", "5", "0.200", "0.100", "2.000", "0.050", f"{service_ms:.3f}")
    assert len(row) == len(HEADINGS)
    untold = replace(one, executions=None, input_ms=None)
    assert [row[-1] for row in rows_of_inside(_benchmark(one, untold))] == ["", ""], "of several models it is nobody's"
    (table,) = tables_of_inside(_benchmark(one))
    assert table.headings == HEADINGS
    assert list(tables_of_inside(_benchmark())) == list(tables_of_inside(_benchmark(replace(one, requests=0)))) == []


def test_markdown_and_metrics_have_it_too() -> None:
    (one,) = inside_of({"m": BEFORE}, {"m": AFTER}, {})
    what = replace(SOME, benchmarks=(_benchmark(one),))
    assert "| m | 20 | 5 | 0.200 | 0.100 | 2.000 | 0.050 |" in markdown_text(what)
    assert "in the server" not in markdown_text(SOME)
    found = {(one.metric, one.labels.get("part") or one.labels.get("outcome")): one for one in samples(what)}
    assert found["server_time", "infer"].value == pytest.approx(0.002)
    assert found["server_time", "infer"].labels["model"] == "m"
    assert (found["server_requests", "succeeded"].value, found["server_requests", "failed"].value) == (20, 1)
    assert found["server_executions", None].value == 5
