"""``report.html``: what stands in it, that others' words are no more than text, and that it needs nothing else."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import vl_convert

from servemark import _loadgen
from servemark.report.html import page_text, result_page
from servemark.report.html.charts import MUTED, WARN, quantity, where_wide
from servemark.report.html.of_benchmark import charts_of
from servemark.result import (
    Analysis,
    AskedOptions,
    BenchmarkResult,
    Capacity,
    CapacityProbe,
    Certificate,
    Change,
    Check,
    ComparedBenchmark,
    Comparison,
    ErrorExample,
    Estimate,
    Failure,
    Histogram,
    Incident,
    InsideServer,
    LatencySummary,
    ProbeShare,
    Result,
    RunResult,
    Skipped,
    Statistic,
    StepSummary,
    Suite,
    SuiteEntry,
    Telemetry,
    Verdict,
)

from ..conftest import write_record_file
from .results import CLOSED, MACHINE, TOOL
from .test_reports import TOKENS

MS = 1_000_000
RULE = {"type": "rule", "color": WARN, "strokeDash": [4, 3]}
LIBRARY = "window.vegaEmbed = function () {};"
VALID = Certificate(valid=True, checks=(Check("accounted", True, "all of them"),))
WITHOUT_CURVE = "Latency by percentile"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m"


def _statistic(value: float) -> Statistic:
    return Statistic(value, (0.9 * value, 1.1 * value))


def _latency(scale: float = 1.0) -> LatencySummary:
    values = dict(zip(("mean", "p50", "p90", "p95", "p99", "p99_9"), (5, 4, 9, 12, 20, 30), strict=True))
    return LatencySummary(
        **{name: _statistic(scale * value) for name, value in values.items()}, min=1, max=40, stddev=2
    )


def _step(name: str = "predict", **changes: object) -> StepSummary:
    fields: dict[str, object] = {
        "name": name,
        "requests": 1000,
        "succeeded": 1000,
        "measured": 1000,
        "errors": {},
        "error_examples": (),
        "throughput_per_s": _statistic(100.0),
        "response_ms": _latency(),
        "service_ms": _latency(),
        "client_queue_ms": _latency(0.1),
        "generator_lag_ms": _latency(0.01),
        "failed_response_ms": _latency(),
        "bytes_sent": 1,
        "bytes_received": 1,
        "headline": "service",
        "distribution": Histogram((1.0, 4.0, 40.0), (500, 500)),
    }
    return StepSummary(**(fields | changes))  # type: ignore[arg-type]


def _run(step: StepSummary, records: str, **point: object) -> RunResult:
    return RunResult(
        trial=1,
        point=point,
        server={"read_back": {}},
        load=CLOSED,
        window_s=(2.0, 12.0),
        warmup_s=2.0,
        certificate=VALID,
        steps=(step,),
        telemetry=Telemetry(),
        records=records,
    )


def _benchmark(folder: Path, step: StepSummary | None = None, rows: int = 2000, **changes: object) -> BenchmarkResult:
    """A benchmark of one run, with its records in the folder."""
    step = step or _step()
    (folder / "records").mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    scheduled = np.sort(rng.integers(0, 12_000 * MS, rows))
    end = scheduled + rng.exponential(5 * MS, rows).astype(np.int64) + MS
    columns = {"scheduled": scheduled, "ready": scheduled, "sent": scheduled, "first_byte": end, "end": end}
    write_record_file(folder / "records" / "1.bin", rows, columns, steps=(step.name,))
    fields: dict[str, object] = {
        "name": "latency",
        "model": "m",
        "backend": None,
        "options": AskedOptions(),
        "cold_start_ms": None,
        "partial": False,
        "steps": (step,),
        "runs": (_run(step, "records/1.bin"),),
        "certificate": VALID,
        "verdicts": (),
    }
    return BenchmarkResult(**(fields | changes))  # type: ignore[arg-type]


def _result(*benchmarks: BenchmarkResult, **changes: object) -> Result:
    fields: dict[str, object] = {
        "id": "x-1",
        "started_at": "2026-01-01T00:00:00+00:00",
        "command": ("./benchmark.py", "latency", "-m", "two words"),
        "seed": 0,
        "partial": False,
        "tool": TOOL,
        "environment": MACHINE,
        "server": None,
        "benchmarks": benchmarks,
    }
    return Result(**(fields | changes))  # type: ignore[arg-type]


def _text(result: Result, folder: Path) -> str:
    return page_text(result_page(result, folder), LIBRARY)


def _specs(text: str) -> list[dict]:
    found = re.findall(r"<script type=\"application/json\">(.*?)</script>", text, re.DOTALL)
    return [json.loads(one) for one in found]


class _Tags(HTMLParser):
    """The tags of a page, each with its attributes, in order; what is in scripts is text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.found)


def test_the_answer_comes_first_then_what_was_measured_and_the_certificate(tmp_path):
    slo = Verdict("objective p99<5ms", "p99<5ms missed: 80% within 5 ms", "missed", "p99<5ms")
    text = _text(_result(_benchmark(tmp_path, verdicts=(slo,))), tmp_path)
    parts = [
        '<p class="answer missed">SLO missed: 80% within 5 ms',
        '<p class="also ">latency m: p50 4.00 ms, p99 20.0 ms',
        "1 thread, 10.0 s measured after 2 s of warm-up",
        "<dt>p50</dt><dd>4.00 ms (",
        '<div class="band valid"',
        "<h3>What was asked</h3>",
        "<h3>Summary</h3>",
        "<h3>Steps</h3>",
        "./benchmark.py latency -m &#39;two words&#39;",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_an_invalid_result_has_a_red_band_with_what_to_change(tmp_path):
    check = Check("generator lag", False, "moves p99 by 3 ms", cause="another program", advice=("give it more CPUs",))
    text = _text(_result(_benchmark(tmp_path, certificate=Certificate(valid=False, checks=(check,)))), tmp_path)
    band = text[text.index('<div class="band invalid"') : text.index("<h3>Summary")]
    assert "moves p99 by 3 ms" in band
    assert "<strong>what to do</strong> give it more CPUs" in band
    assert '<p class="answer missed">INVALID latency m' in text


def test_a_run_has_each_chart_with_its_words_and_its_figures(tmp_path):
    text = _text(_result(_benchmark(tmp_path)), tmp_path)
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert titles == [
        "Latency by percentile",
        "Latency over time",
        "Throughput over time",
        "Requests under way",
        "Where the time goes, predict",
    ]
    assert len(_specs(text)) == len(titles)
    assert text.count('role="img" aria-label="Latency by percentile. ') == 1
    assert text.count("<summary>The figures of this chart</summary>") == len(titles)


def test_the_curve_ends_where_intervals_end_and_its_points_are_the_reported_figures(tmp_path):
    service = replace(_latency(), p99=Statistic(20.0, None, needs_n=1), p99_9=Statistic(30.0, None, needs_n=1))
    text = _text(_result(_benchmark(tmp_path, _step(service_ms=service))), tmp_path)
    assert "<dt>~</dt><dd>too few requests for an interval" in text
    band, curve, points = _specs(text)[0]["layer"]
    assert {row["ms"] for row in points["data"]["values"]} == {4.0, 9.0, 12.0}
    assert max(row["beyond"] for row in curve["data"]["values"]) == pytest.approx(20.0)  # p95
    assert [row["low"] for row in band["data"]["values"]] == pytest.approx([3.6, 8.1, 10.8])


def _few(of_p50: int | None) -> LatencySummary:
    """Latencies of which no percentile has an interval; it is said how many requests that of p50 takes."""
    of = {name: Statistic(5.0, None, needs_n=368) for name in ("mean", "p90", "p95", "p99", "p99_9")}
    return LatencySummary(**of, p50=Statistic(4.0, None, needs_n=of_p50), min=1, max=40, stddev=2)


def test_where_no_percentile_has_an_interval_there_is_no_curve_and_it_is_said_why(tmp_path):
    for needed, told in ((120, "; p50 takes 120 requests"), (None, "; p90 takes 368 requests")):
        text = _text(_result(_benchmark(tmp_path, _step(service_ms=_few(needed)))), tmp_path)
        assert "<figcaption>Latency by percentile" not in text
        assert "<figcaption>Latency over time" in text
        assert (
            f'<p class="measured">{WITHOUT_CURVE} is not drawn: no percentile has an interval of 95%{told}.</p>' in text
        )
    assert WITHOUT_CURVE + " is not" not in _text(_result(_benchmark(tmp_path)), tmp_path)


def test_times_in_whole_milliseconds_of_which_some_are_0_are_drawn_from_0_on(tmp_path):
    nothing = {name: Statistic(0.0, (0.0, 0.0)) for name in ("p50", "p90")}
    step = _step(service_ms=replace(_latency(), **nothing))
    benchmark = _benchmark(tmp_path, step)
    times = np.arange(2000) * 5 * MS + 2000 * MS
    took = np.where(np.arange(2000) % 20, 0, 40 * MS)
    columns = {"scheduled": times, "ready": times, "sent": times, "first_byte": times + took, "end": times + took}
    write_record_file(tmp_path / "records" / "1.bin", 2000, columns)
    curve, over_time, *_ = _specs(_text(_result(benchmark), tmp_path))
    assert curve["layer"][1]["data"]["values"][0]["ms"] == 0
    for spec in (curve, over_time):
        axes = [layer["encoding"]["y"]["scale"] for layer in spec["layer"] if "scale" in layer["encoding"].get("y", {})]
        assert axes == [{"zero": True}] * len(axes)
        assert axes
    svg = vl_convert.vegalite_to_svg({**over_time, "width": 700})
    cells = re.findall(r'from ms: ([^;]*); to ms: ([^";]*)', svg)
    assert {low for low, _ in cells} >= {"0"}


def test_of_several_points_those_with_an_interval_have_a_curve(tmp_path):
    benchmark = _benchmark(tmp_path, name="concurrent_inference")
    steps = (_step(), _step(service_ms=_few(120)), _step())
    runs = tuple(_run(step, "records/1.bin", threads=2**n) for n, step in enumerate(steps))
    text = _text(_result(replace(benchmark, steps=(), runs=runs)), tmp_path)
    together = next(spec for spec in _specs(text) if "beyond" in json.dumps(spec))
    assert {row["series"] for row in together["layer"][1]["data"]["values"]} == {"threads 1", "threads 4"}
    said = "is not drawn of what has no percentile with an interval of 95%: threads 2 (p50 takes 120 requests)."
    assert f"{WITHOUT_CURVE} {said}" in text
    assert text.count("<figcaption>Latency by percentile</figcaption>") == 3, "of all together, and of two by itself"


def test_what_happened_to_the_server_is_a_rule_in_each_chart_over_time_and_told_in_words(tmp_path):
    benchmark = _benchmark(tmp_path)
    incident = Incident(7.5, "worker 1 of m was started again")
    benchmark = replace(benchmark, runs=(replace(benchmark.runs[0], incidents=(incident,)),))
    text = _text(_result(benchmark), tmp_path)
    rules = [layer for spec in _specs(text) for layer in spec.get("layer", ()) if layer["mark"] == RULE]
    assert [[value["what"] for value in one["data"]["values"]] for one in rules] == [[incident.what]] * 3
    assert all(one["data"]["values"][0]["s"] == pytest.approx(7.5, abs=0.1) for one in rules)
    assert "rules are what happened to the server: worker 1 of m was started again at 7.5 s." in text


def test_a_server_that_was_away_is_seen_in_the_records(tmp_path):
    ends = np.arange(0, 12_000 * MS, 100 * MS)
    benchmark = _benchmark(tmp_path, _step(requests=len(ends)))
    is_away = (ends >= 4000 * MS) & (ends < 6000 * MS)
    kinds = np.where(is_away, _loadgen.ERROR_KINDS.index("connect"), 0)
    columns = {"scheduled": ends, "sent": ends, "end": ends, "kind": kinds, "status": np.where(is_away, 0, 200)}
    write_record_file(tmp_path / "records" / "1.bin", len(ends), columns)
    text = _text(_result(benchmark), tmp_path)
    assert "rules are what happened to the server: no longer there at 4.0 s, there again at 6.0 s." in text


def test_a_scale_call_that_failed_changed_nothing(tmp_path):
    ends = np.arange(1, 7) * 1000 * MS
    benchmark = _benchmark(tmp_path, _step(requests=len(ends)))
    kinds = np.array([0, 0, 0, 0, 0, _loadgen.ERROR_KINDS.index("http_status")])
    columns = {"scheduled": ends, "sent": ends, "end": ends, "kind": kinds, "step": [0, 0, 0, 1, 0, 1]}
    write_record_file(tmp_path / "records" / "1.bin", len(ends), columns, steps=("predict", "scale_up"))
    text = _text(_result(benchmark), tmp_path)
    assert "rules are what happened to the server: scaled up at 3.0 s." in text


@pytest.mark.parametrize(("answer", "outcome"), [("slower", "missed"), ("no difference", "met")])
def test_a_comparison_on_the_page_of_a_result_is_marked_as_on_a_page_of_its_own(tmp_path, answer, outcome):
    change = Change("predict", {}, "p99_ms", (1.0,) * 5, (2.0,) * 5, 1.0, (0.9, 1.1), 0.01, answer, 0.01)
    compared = ComparedBenchmark("latency m", answer, (5, 5), (0, 0), (change,))
    comparison = Comparison("b", "n", 0.02, answer, (compared,))
    text = _text(_result(_benchmark(tmp_path), comparison=comparison), tmp_path)
    assert f'<p class="answer {outcome}">{answer}: ' in text


def _probe(load: float, *, valid: bool) -> CapacityProbe:
    return CapacityProbe(load, "met", {"p99<30ms": ProbeShare(1000, 1.0, 500.0)}, False, valid, 0.01, 15.0, 0)


def test_a_probe_that_is_invalid_has_no_colour_of_an_outcome_and_threads_no_decimals(tmp_path):
    probes = (_probe(1.0, valid=True), _probe(16.0, valid=False))
    found = Capacity("threads", "p99<30ms", 1.0, None, "decided", probes, threads=Estimate(1.0, None))
    (chart,) = charts_of(replace(_benchmark(tmp_path), capacity=found))
    points = chart.spec["layer"][-1]
    assert [row["outcome"] for row in points["data"]["values"]] == ["met", "INVALID"]
    scale = points["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True))["INVALID"] == MUTED
    assert [row[1] for row in chart.rows] == ["1", "16"]


def test_what_the_server_counted_is_a_table(tmp_path):
    times = {"queue_ms": 0.5, "input_ms": 0.25, "infer_ms": 2.0, "output_ms": None}
    inside = InsideServer(model="m", requests=100, failed=0, executions=25, **times)
    benchmark = _benchmark(tmp_path)
    counted = replace(benchmark, runs=(replace(benchmark.runs[0], inside=(inside,)),))
    text = _text(_result(counted), tmp_path)
    assert '<th scope="col">in the server</th>' in text
    cells = "".join(f"<td>{cell}</td>" for cell in ("100", "25", "0.500", "0.250", "2.000", ""))
    assert f'<th scope="row">m</th>{cells}' in text
    assert "in the server" not in _text(_result(benchmark), tmp_path)


def test_nothing_is_fetched(tmp_path):
    text = _text(_result(_benchmark(tmp_path)), tmp_path)
    tags = _Tags(text)
    for tag, attributes in tags.found:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "data:,").startswith("data:"), tag
    policy = next(attributes for _, attributes in tags.found if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy["content"]
    assert "url(" not in text
    assert "@import" not in text


def test_words_of_others_stay_words(tmp_path):
    example = ErrorExample("http_status", 1.0, HOSTILE, HOSTILE)
    step = _step(HOSTILE, errors={"http_status:500": 1}, error_examples=(example,))
    verdict = Verdict(HOSTILE, HOSTILE, "missed", HOSTILE)
    check = Check(HOSTILE, False, HOSTILE, cause=HOSTILE, advice=(HOSTILE,))
    benchmark = _benchmark(
        tmp_path,
        step,
        model=HOSTILE,
        backend=HOSTILE,
        verdicts=(verdict,),
        certificate=Certificate(valid=False, checks=(check,)),
        options=AskedOptions(url=f"http://127.0.0.1/{HOSTILE}", method=HOSTILE),
    )
    failed = _benchmark(tmp_path, step, failure=Failure(HOSTILE, 4))
    server = {"product": HOSTILE, "version": HOSTILE, "launcher": HOSTILE}
    environment = replace(MACHINE, cpu_model=HOSTILE)
    hostile = _result(benchmark, failed, command=(HOSTILE,), server=server, environment=environment)
    text = _text(hostile, tmp_path)
    plain = _Tags(_text(_result(_benchmark(tmp_path), _benchmark(tmp_path)), tmp_path))
    found = _Tags(text)
    assert found.count("img") == plain.count("img") == 0
    scripts = [attributes.get("type") for tag, attributes in found.found if tag == "script"]
    assert scripts.count(None) == 2  # the library, and ours
    assert "alert(1)" in text
    assert "\x1b" not in text
    assert any(
        HOSTILE.split("\x1b")[0] in json.dumps(spec, ensure_ascii=False).replace('\\"', '"') for spec in _specs(text)
    )


def test_what_has_no_records_has_its_reported_percentiles_and_is_told_what_it_lacks(tmp_path):
    service = replace(_latency(), p99_9=Statistic(30.0, None, needs_n=1))
    benchmark = _benchmark(tmp_path, _step(service_ms=service))
    (tmp_path / "records" / "1.bin").unlink()
    text = _text(_result(benchmark), tmp_path)
    lacking = "what happened over time, where the time goes, and latencies between the reported percentiles"
    assert f"Not drawn: {lacking}: cannot read the records in" in text
    assert re.findall(r"<figcaption>(.*?)</figcaption>", text) == ["Latency by percentile"]
    band, curve, points = (layer["data"]["values"] for layer in _specs(text)[0]["layer"])
    assert [row["ms"] for row in curve] == [row["ms"] for row in points] == [4.0, 9.0, 12.0, 20.0]
    assert [row["beyond"] for row in curve] == pytest.approx([2.0, 10.0, 20.0, 100.0])
    assert len(band) == 4
    assert "Between the marks the line is straight" in text
    assert "latency m: p50 4.00 ms" in text


def test_points_without_records_are_told_apart(tmp_path):
    benchmark = _benchmark(tmp_path, name="concurrent_inference")
    (tmp_path / "records" / "1.bin").unlink()
    runs = tuple(_run(_step(), "records/1.bin", threads=threads) for threads in (1, 2))
    text = _text(_result(replace(benchmark, steps=(), runs=runs)), tmp_path)
    together = next(spec for spec in _specs(text) if "beyond" in json.dumps(spec))
    assert {row["series"] for row in together["layer"][1]["data"]["values"]} == {"threads 1", "threads 2"}


def test_neither_records_nor_intervals_are_a_page_without_charts(tmp_path):
    benchmark = _benchmark(tmp_path, _step(service_ms=_few(120)))
    (tmp_path / "records" / "1.bin").unlink()
    text = _text(_result(benchmark), tmp_path)
    assert f"{WITHOUT_CURVE} is not drawn: no percentile has an interval" in text
    assert "<figure>" not in text
    assert LIBRARY not in text
    assert "function sortBy" in text, "its tables sort all the same"


def test_nothing_measured_is_a_page_too(tmp_path):
    text = _text(_result(error="no server was there"), tmp_path)
    assert '<p class="answer ">no server was there</p>' in text


def test_several_runs_are_drawn_when_they_are_opened_and_compared_at_once(tmp_path):
    benchmark = _benchmark(tmp_path, name="concurrent_inference")
    steps = [_step(throughput_per_s=_statistic(100.0 * threads)) for threads in (1, 2, 4)]
    runs = tuple(_run(step, "records/1.bin", threads=2**n) for n, step in enumerate(steps))
    text = _text(_result(replace(benchmark, steps=(), runs=runs)), tmp_path)
    assert re.findall(r"<details class=\"run\"><summary>(.*?)</summary>", text) == [
        "threads 1: its time",
        "threads 2: its time",
        "threads 4: its time",
    ]
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert titles[:2] == ["Throughput and latency by threads", "Latency by percentile"]
    sweep = _specs(text)[0]["data"]["values"]
    assert [(row["point"], row["rate"], row["of"]) for row in sweep][:2] == [("1", 100.0, "p50"), ("1", 100.0, "p99")]


def test_points_whose_answers_were_read_have_all_their_times_and_rates_in_tables(tmp_path):
    step = _step(tokens=TOKENS)
    runs = tuple(_run(step, f"records/{n}.bin", threads=n) for n in (1, 4))
    section = result_page(_result(replace(_benchmark(tmp_path), steps=(), runs=runs)), tmp_path).sections[0]
    times, _ = section.tokens
    assert [row[0] for row in times.rows if row[2] == "threads 4"] == [
        *("first token", "first said", "per output token", "longest gap", "tail", "between content"),
    ]
    (rates,) = [block for block in section.summary if "a user" in block.headings]
    told = [dict(zip(rates.headings, row, strict=False)) for row in rates.rows]
    assert [(row["tokens, ms"], row["per s"], row["95% interval"]) for row in told] == [
        ("1", "4,994", "4,900 to 5,100"),
        ("4", "4,994", "4,900 to 5,100"),
    ]


def test_each_benchmark_of_a_long_suite_has_room_for_a_run(tmp_path):
    one = _benchmark(tmp_path)
    runs = tuple(_run(_step(), "records/1.bin", threads=n) for n in range(1, 14))
    sweep = replace(one, name="concurrent_inference", steps=(), runs=runs)
    first, second, last = result_page(_result(sweep, sweep, one), tmp_path).sections
    assert [len(first.runs), len(second.runs)] == [12, 11]
    assert second.notes[-1] == "Of 13 runs the time of the first 11 is drawn."
    assert [chart.title for chart in last.charts][:2] == ["Latency by percentile", "Latency over time"]
    assert last.notes == ()


def test_what_the_page_has_no_room_for_has_its_reported_percentiles(tmp_path):
    *_, before, last = result_page(_result(*[_benchmark(tmp_path)] * 25), tmp_path).sections
    assert len(before.charts) > 2
    assert [chart.title for chart in last.charts] == ["Latency by percentile"]
    assert last.notes == ("Of 1 run the time of none is drawn: the page has room for 24.",)


def test_more_points_than_there_are_colours_are_left_out_of_the_chart_and_that_is_said(tmp_path):
    runs = tuple(_run(_step(), "records/1.bin", threads=n) for n in range(1, 10))
    (section,) = result_page(_result(replace(_benchmark(tmp_path), steps=(), runs=runs)), tmp_path).sections
    (together,) = [chart for chart in section.charts if chart.title == "Latency by percentile"]
    assert {name for name, *_ in together.rows} == {f"threads {n}" for n in range(1, 9)}
    assert section.notes == ("Of 9 points the percentiles of the first 8 are drawn together.",)


def test_of_more_steps_than_there_are_colours_the_busiest_is_looked_at_wherever_it_stands(tmp_path):
    names = tuple(f"m{number}" for number in range(10))
    steps = tuple(_step(name, requests=200, measured=200 + (name == "m9")) for name in names)
    benchmark = _benchmark(tmp_path)
    times = np.arange(2000) * 5 * MS + 2000 * MS
    columns = {"scheduled": times, "ready": times, "sent": times, "first_byte": times + MS, "end": times + 2 * MS}
    columns |= {"step": np.arange(2000) % 10}
    write_record_file(tmp_path / "records" / "1.bin", 2000, columns, steps=names)
    benchmark = replace(benchmark, steps=steps, runs=(replace(benchmark.runs[0], steps=steps),))
    (section,) = result_page(_result(benchmark), tmp_path).sections
    titles = [chart.title for chart in section.charts]
    assert "Latency over time of m9" in titles
    assert "Where the time goes, m9" in titles
    assert section.notes == ("Of 10 steps the percentiles of the first 8 are drawn together.",)


def _batches(folder: Path, **rest: tuple[int, ...]) -> list[dict]:
    """The charts of batch settings, two sizes by two delays, at each of `rest`; the front is of the last size."""
    names = ("batch_size", "max_batch_delay_ms", *rest)
    points = [dict(zip(names, values, strict=True)) for values in itertools.product((1, 8), (10, 50), *rest.values())]
    runs = [
        _run(_step(throughput_per_s=_statistic(rate)), f"records/{rate}.bin", **point)
        for rate, point in enumerate(points, 100)
    ]
    front = tuple(place for place, point in enumerate(points) if point["batch_size"] == 8)
    analysis = Analysis(pareto_runs=front)
    benchmark = replace(_benchmark(folder), name="batching", steps=(), runs=tuple(runs), analysis=analysis)
    return [chart.spec for chart in charts_of(benchmark)]


def test_batch_settings_have_a_map_and_a_front_of_what_nothing_beats(tmp_path):
    heat, front = _batches(tmp_path)
    cells = [(row["x"], row["y"], row["rate"]) for row in heat["data"]["values"]]
    assert cells == [("1", "10", 100.0), ("1", "50", 101.0), ("8", "10", 102.0), ("8", "50", 103.0)]
    assert [row["rate"] for row in front["layer"][0]["data"]["values"]] == [102.0, 103.0]
    assert len(front["layer"][1]["data"]["values"]) == 4


@pytest.mark.parametrize("workers", [(4,), (1, 2)])
def test_batch_settings_have_a_map_for_each_number_of_workers_in_the_same_shades(tmp_path, workers):
    *maps, front = _batches(tmp_path, workers=workers)
    assert [len(one["data"]["values"]) for one in maps] == [4] * len(workers)
    shades = [one["layer"][0]["encoding"]["opacity"]["scale"]["domain"] for one in maps]
    assert shades == [[100.0, 99.0 + 4 * len(workers)]] * len(workers)
    said = [row["point"] for row in front["layer"][1]["data"]["values"]]
    assert said[0] == f"batch_size 1, max_batch_delay_ms 10, workers {workers[0]}"
    assert len(said) == 4 * len(workers)


def test_a_page_of_many_runs_stays_small(tmp_path):
    benchmark = _benchmark(tmp_path, rows=200_000, name="concurrent_inference")
    runs = tuple(_run(_step(), "records/1.bin", threads=n) for n in range(1, 21))
    many = replace(benchmark, steps=(), runs=runs)
    text = _text(_result(many, many, many), tmp_path)
    assert len(text) < 1_000_000  # the library has another 0.9 million
    assert "Of 20 runs the time of the first 12 is drawn." in text


def test_a_logarithmic_axis_is_for_values_that_are_far_apart():
    assert where_wide([1.0, 30.0, None]) == [1.0, 30.0]
    assert where_wide([1.0, 30.0, 0.0]) == [], "it has no place for 0"
    assert where_wide([2.0, 30.0]) == []
    assert where_wide([]) == []


@pytest.mark.parametrize(
    ("least", "most", "ticks"),
    [
        (0.3, 2000.0, [1.0, 10.0, 100.0, 1000.0]),
        (1.5, 60.0, [2.0, 5.0, 10.0, 20.0, 50.0]),
        (36.9, 120.0, [40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]),
        (20.5, 21.5, [21.0]),
    ],
)
def test_a_logarithmic_axis_has_marks_to_read_it_by(least, most, ticks):
    assert quantity("ms", "ms", [least, most])["axis"]["values"] == ticks


def _suite_of(folder: Path) -> Result:
    """A suite of which one failed, one missed its objective, one was skipped and one is done."""
    good = _benchmark(folder)
    slo = Verdict("objective p99<5ms", "p99<5ms missed: 80% within 5 ms", "missed", "p99<5ms")
    failed = replace(good, name="load", steps=(), runs=(), certificate=None, failure=Failure(f"no room {HOSTILE}", 4))
    missed = replace(good, name="ping", model=None, verdicts=(slo,))
    states = {"latency-m": "done", "load-m": "failed", "ping": "done", "batching-m": "skipped"}
    entries = tuple(SuiteEntry(name, status, "0" * 64) for name, status in states.items())
    skipped = (Skipped("batching-m", HOSTILE),)
    return _result(good, failed, missed, suite=Suite("mine", entries), skipped=skipped)


def test_a_suite_begins_with_what_became_of_all_of_it(tmp_path):
    text = _text(_suite_of(tmp_path), tmp_path)
    said = "suite mine: 2 of 4 done; FAILED: load m; SLO missed: ping; skipped: batching-m"
    first = text[: text.index('<section id="benchmark-1">')]
    assert f'<p class="answer missed">{said}</p>' in first
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>', first)
    assert rows == [
        ("done", '<a href="#benchmark-1">latency m</a>'),
        ("FAILED", '<a href="#benchmark-2">load m</a>'),
        ("SLO missed", '<a href="#benchmark-3">ping</a>'),
        ("skipped", "batching-m"),
    ]
    assert "p50 4.00 ms, p99 20.0 ms" in first
    assert "certificate" not in first
    places = [
        text.index(f'<section id="benchmark-{number}">\n<h2>{name}<')
        for number, name in enumerate(("latency m", "load m", "ping"), 1)
    ]
    assert places == sorted(places)
    assert _Tags(text).count("img") == 0
    assert "Not run" not in text, "what was skipped is among the entries"


def test_a_suite_of_which_all_is_done_is_not_marked_and_one_benchmark_is_no_suite(tmp_path):
    good = _benchmark(tmp_path)
    entries = (SuiteEntry("latency-m", "done", ""), SuiteEntry("latency-n", "done", ""))
    text = _text(_result(good, good, suite=Suite("mine", entries)), tmp_path)
    assert '<p class="answer ">suite mine: 2 of 2 done</p>' in text
    text = _text(_result(good, suite=Suite("mine", entries[:1])), tmp_path)
    assert "suite mine" not in text
    assert 'id="benchmark-' not in text


def test_a_suite_that_was_cut_off_before_anything_ran_says_why(tmp_path):
    entries = (SuiteEntry("latency-m", "not run", ""), SuiteEntry("latency-n", "not run", ""))
    text = _text(_result(suite=Suite("mine", entries), error="no server was there"), tmp_path)
    assert '<p class="answer undecided">suite mine: 0 of 2 done; not run: latency-m, latency-n</p>' in text
    assert '<p class="also ">no server was there</p>' in text
