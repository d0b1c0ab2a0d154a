"""Calls that scale a model, from their records to what is printed: headline and table are of the same calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rich.text import Text

from servemark.assessment.analysis import analyse
from servemark.report import analyses
from servemark.report.layout import lines_of
from servemark.result import AskedOptions, BenchmarkResult, Distribution, ScalingCalls
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import summarise
from servemark.workload.load import ClosedLoad

from .results import CLOSED

MS = 1_000_000
NAMES = ("scale_up", "read_up", "scale_down", "read_down")
#: Step, from, to, in ms: a call up and one down in the warm-up of 100 ms, one each after it, and one that is cut off.
RECORDS = (
    (0, 0, 10),
    (1, 10, 50),
    (2, 60, 65),
    (3, 65, 90),
    (0, 120, 130),
    (1, 130, 160),
    (1, 160, 200),
    (2, 210, 220),
    (3, 220, 250),
    (0, 260, 270),
)


def _benchmark(make_records: Any) -> BenchmarkResult:
    step, begin, end = ([record[number] for record in RECORDS] for number in range(3))
    begin_ns, end_ns = ([at * MS for at in times] for times in (begin, end))
    columns = {"scheduled": begin_ns, "ready": begin_ns, "sent": begin_ns, "first_byte": end_ns, "end": end_ns}
    file = make_records(len(RECORDS), steps=NAMES, warmup_ns=100 * MS, step=step, **columns)
    steps = summarise(gather([file], Question(window=Window(100 * MS, 270 * MS))))
    point = SimpleNamespace(values={}, load=ClosedLoad(users=1, duration_s=0.17))
    facts = {"engine_run": SimpleNamespace(interrupted=False), "compiled": SimpleNamespace(warmup_ns=100 * MS)}
    measured = SimpleNamespace(records=(file,), point=point, **facts)
    return BenchmarkResult(
        name="repeated_scale_calls",
        model="noop-v1.0",
        backend=None,
        options=AskedOptions(),
        cold_start_ms=None,
        partial=False,
        steps=steps,
        runs=(SimpleNamespace(point={}, steps=steps, load=CLOSED),),  # type: ignore[arg-type]
        certificate=None,
        verdicts=(),
        analysis=analyse("scaling", [measured], {0: None}, ()),  # type: ignore[list-item,dict-item]
    )


def test_calls_of_the_warm_up_and_those_that_were_cut_off_are_in_no_figure(make_records: Any) -> None:
    scaling = _benchmark(make_records).analysis.scaling
    assert scaling.up == ScalingCalls(1, 0, 1, Distribution(80.0, 80.0, 80.0, 80.0))
    assert (scaling.down.calls, scaling.down.unfinished) == (1, 0)
    assert scaling.down.settled_ms.p50 == 40.0


def test_the_headline_and_the_table_below_it_are_of_the_same_calls(make_records: Any) -> None:
    benchmark = _benchmark(make_records)
    headline = analyses.headline(benchmark)
    assert isinstance(headline, Text)
    assert (
        headline.plain
        == "repeated_scale_calls noop-v1.0: settled up p50 ~80.0 ms, max 80.0 ms, down p50 ~40.0 ms, max 40.0 ms"
    )
    lines = [
        text.plain for line in (*analyses.tables(benchmark), *analyses.facts(benchmark)) for text in lines_of(line, 80)
    ]
    assert lines[:4] == [
        "settled ms  calls  failed     p50     p99    max",
        "up              1       0  ~80.00  ~80.00  80.00",
        "down            1       0  ~40.00  ~40.00  40.00",
        "",
    ]
    table = {line.split()[0]: line.split()[1:3] for line in lines[5:9]}
    # The call that was cut off was measured as a request, but is not among the settled ones: a line says so.
    assert table == {"scale_up": ["2", "0"], "read_up": ["2", "0"], "scale_down": ["1", "0"], "read_down": ["1", "0"]}
    said = " ".join(" ".join(lines[9:]).split())
    assert "read_up, _down the requests that ask for the workers, again and again until they are so" in said
    assert "cut off 1 call, by the end: not among the settled" in said
