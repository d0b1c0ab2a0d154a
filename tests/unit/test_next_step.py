"""The command that is suggested next: chosen by what was run and found, and one that works as it is printed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servemark.benchmarks import catalogue
from servemark.benchmarks.asked import load_asked
from servemark.cli.next_step import next_step
from servemark.cli.options import parse_run
from servemark.result import (
    AdaptiveLength,
    Analysis,
    AskedOptions,
    BenchmarkResult,
    Capacity,
    Certificate,
    ComparedBenchmark,
    Comparison,
    ErrorExample,
    Estimate,
    LatencySummary,
    RateSegmentResult,
    Result,
    RunResult,
    Scalability,
    Statistic,
    StepSummary,
    Suite,
    SuiteEntry,
    Telemetry,
    Trend,
    Trials,
    Verdict,
)
from servemark.runner.entry import Entry

from .results import CLOSED, MACHINE, OPEN, TOOL

PROG = "./benchmark.py"
KNOWN = Statistic(40.0, (39.0, 41.0))
LATENCY = LatencySummary(KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, 30.0, 50.0, 1.0)


def _step(measured: int = 500, errors: dict[str, int] | None = None, rate: float = 40.0) -> StepSummary:
    errors = errors or {}
    succeeded = 0 if errors.get("connect") else measured
    throughput = Statistic(rate, (rate, rate))
    counts = (succeeded + sum(errors.values()), succeeded, measured)
    latency = LATENCY if measured >= 368 else replace(LATENCY, p99=Statistic(LATENCY.p99.value, None, 368))
    return StepSummary("predict", *counts, errors, (), throughput, *[latency] * 5, 0, 0)


def _drifting(step: StepSummary) -> StepSummary:
    return replace(step, trends={"p50": Trend("steady", 0.5, 0.5, 0.9), "rate": Trend("drifting", 38.0, 42.0, 0.001)})


def _dependent(measured: int) -> StepSummary:
    """A step whose p99 would have an interval after an hour like its ten seconds."""
    latency = replace(LATENCY, p99=Statistic(40.0, None, 400 * measured))
    return replace(_step(measured), response_ms=latency, service_ms=latency)


def _exact_to(half_share: float) -> StepSummary:
    """A step whose p50 has an interval that wide."""
    latency = replace(LATENCY, p50=Statistic(40.0, (40 * (1 - half_share), 40 * (1 + half_share))))
    return replace(_step(), response_ms=latency, service_ms=latency)


ADAPTS = replace(CLOSED, duration_s=None, until=AdaptiveLength(400, 10.0, 10.0, precision=0.02))


def _result(
    line: str,
    *,
    step: StepSummary | None = None,
    load: dict[str, Any] | None = None,
    points: tuple[int, ...] = (),
    valid: bool = True,
    warmup_s: float = 2.0,
    **changes: Any,
) -> Result:
    words = shlex.split(line)
    step = step or _step()
    certificate = Certificate(valid, ())
    run = RunResult(
        1, {}, {}, load or CLOSED, (warmup_s, warmup_s + 10.0), warmup_s, certificate, (step,), Telemetry(), ""
    )
    runs = tuple(replace(run, point={"threads": n}, load=replace(CLOSED, users=n)) for n in points) or (run,)
    facts = {
        "name": next((word for word in words if word in catalogue()), ""),
        "model": "resnet-18",
        "backend": None,
        "options": AskedOptions(),
        "cold_start_ms": None,
        "partial": False,
        "steps": () if points else (step,),
        "runs": runs,
        "certificate": certificate,
        "verdicts": (),
    }
    return Result(
        id="x",
        started_at="",
        command=(PROG, *words),
        seed=0,
        partial=False,
        tool=TOOL,
        environment=MACHINE,
        server=None,
        benchmarks=(BenchmarkResult(**{**facts, **changes}),),
    )


def _next(line: str, *, searches: bool = False, **facts: Any) -> str:
    suggested = _suggested(line, **facts)
    if suggested:
        _check(suggested, searches=searches)
    return suggested


def _suggested(line: str, **facts: Any) -> str:
    suggested = next_step(_result(line, **facts), Path("servemark-results/x"), PROG, shlex.split(line))
    return suggested.removeprefix(f"{PROG} ")


def _check(line: str, *, searches: bool = False) -> None:
    """See that nothing refuses it before a server is looked for."""
    for request in parse_run(PROG, shlex.split(line), searches=searches).entries:
        Entry.of(request)


_UNANSWERED = ErrorExample("closed_early", 0.1, "the connection was closed before any byte of the response", "")
CLOSED_UNANSWERED = replace(_step(490, {"closed_early": 10}), error_examples=(_UNANSWERED,))
NOT_SATURATED = (Verdict("the load saturated the server", "not saturated: raise -t (...)", "finding"),)
_LAW = Scalability(50.0, 0.1, 0.01, 1.0, peak_users=18.2, least_users=1.0, most_users=13.0)
BEYOND = Analysis(scalability=_LAW)
WITHIN = Analysis(scalability=replace(_LAW, peak_users=7.0))


@pytest.mark.parametrize(
    ("line", "facts", "suggested"),
    [
        ("latency", {}, "throughput"),
        ("latency -m noop -t 1 --duration 5 -w 2 -o out --force", {}, "throughput -m noop -w 2"),
        ("-l1000 --mms 127.0.0.1:8080 latency", {}, "--mms 127.0.0.1:8080 throughput"),
        ("throughput", {}, "latency --rate 28"),
        ("throughput -t 100", {"verdicts": NOT_SATURATED, "load": replace(CLOSED, users=100)}, "throughput -t 200"),
        ("throughput --engine jmeter", {}, "latency --engine jmeter"),
        ("ping", {"step": _step(rate=41_234.0)}, "throughput"),
        (
            "http --url http://h/x -H 'A: b'",
            {"step": _step(rate=41_234.0)},
            "http --url http://h/x -H 'A: b' --rate 29000",
        ),
        ("latency --rate 20", {"load": OPEN, "step": _step(rate=20.0)}, "latency --rate 20,40,80/20s"),
        (
            "latency --rate 10,50/2s",
            {"load": replace(OPEN, profile=(RateSegmentResult(10.0, 10.0, 5.0), RateSegmentResult(50.0, 50.0, 5.0)))},
            "latency --rate 50,100,200/20s",
        ),
        ("latency --rate 20 --duration 9", {"load": OPEN, "step": _step(rate=10.0)}, "latency --duration 9 --rate 8"),
        (
            "concurrent_inference",
            {"points": (1, 4, 7, 10, 13), "analysis": BEYOND},
            "concurrent_inference --options threads 1,4,7,10,13,18",
        ),
        ("concurrent_inference -m lstm", {"points": (1, 4, 7, 13), "analysis": WITHIN}, "latency -m lstm --rate 28"),
        ("load --options count 4", {}, "repeated_scale_calls"),
        (
            "repeated_scale_calls --options scale_up_workers 3",
            {"analysis": Analysis()},
            "repeated_scale_calls --options scale_up_workers 3 background_threads 4",
        ),
        (
            "repeated_scale_calls --options background_threads 2",
            {"options": AskedOptions(parameters={"background_threads": 2})},
            "load",
        ),
        ("batching", {"points": (1, 2)}, "throughput"),
        ("multiple_models -t 6", {}, "throughput"),
        ("latency -l 24", {"step": _step(24), "load": replace(CLOSED, loops=24)}, "latency -l 368"),
        (
            "throughput -t 10 -l 2",
            {"step": _step(20), "load": replace(CLOSED, users=10, loops=2)},
            "throughput -t 10 -l 37",
        ),
        ("latency --duration=10", {"step": _step(100)}, "latency --duration 45"),
        ("latency --warmup 1", {"step": _drifting(_step(100))}, "latency --warmup 12"),
        (
            "latency --warmup 1m",
            {"step": _drifting(_step(100)), "warmup_s": 60.0},
            "latency --warmup 1m --duration 10 --trials 6",
        ),
        ("latency", {"step": _exact_to(0.03), "load": ADAPTS}, "latency --duration 23"),
        ("latency", {"step": _exact_to(0.3), "load": ADAPTS}, "latency --duration 10 --trials 6"),
        ("latency", {"step": _exact_to(0.02), "load": ADAPTS}, "throughput"),
        ("latency", {"step": _exact_to(0.03)}, "throughput"),
        ("latency", {"step": _dependent(100)}, "latency --duration 10 --trials 6"),
        ("latency --duration=9 --trials=1", {"step": _dependent(100)}, "latency --duration=9 --trials 6"),
        (
            "latency -l 100",
            {"step": _dependent(100), "load": replace(CLOSED, loops=100)},
            "latency -l 100 --trials 6",
        ),
        (
            "latency -l 50 -t 2",
            {"step": _drifting(_step(100)), "load": replace(CLOSED, users=2, loops=50)},
            "latency -t 2 -l 184",
        ),
        ("latency", {"step": _drifting(_step())}, "throughput"),
        ("latency -l 5 -t 3", {"step": _step(0, {"connect": 15})}, "latency -l 1 -t 1 -v"),
        ("latency --verbose", {"step": _step(490, {"timeout": 10})}, "latency -v"),
        ("latency --server h:1", {"step": CLOSED_UNANSWERED}, "latency --server h:1 -H 'Connection: close'"),
        ("latency -H 'Connection: close'", {"step": CLOSED_UNANSWERED}, "latency -H 'Connection: close' -v"),
        ("latency --json x.json", {"valid": False}, "latency"),
        ("latency --rate 5", {"partial": True, "load": OPEN}, "latency --rate 5"),
    ],
)
def test_what_is_suggested(line, facts, suggested):
    assert _next(line, **facts) == suggested


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("http --url http://h/x --body-file -", {}),
        ("http --url http://h/x --body-file=-", {}),
    ],
)
def test_what_cannot_be_typed_again_is_not_suggested(line, facts):
    result = _result("http --url http://h/x")
    words = shlex.split(line)
    assert next_step(replace(result, command=(PROG, *words)), Path("x"), PROG, words) == ""


@pytest.mark.parametrize(
    ("trials", "suggested"),
    [((5, 1), "latency --trials 5"), ((1, 1), "latency --trials 5"), ((1, 5), "throughput")],
)
def test_what_is_compared_is_measured_as_often_as_decides_unless_it_is_the_base_that_lacks_trials(trials, suggested):
    one = ComparedBenchmark("latency", "undecided", trials, (0, 0), (), needs_trials=5)
    compared = replace(_result("latency"), comparison=Comparison("a", "b", 0.02, "undecided", (one,)))
    found = next_step(compared, Path("servemark-results/x"), PROG, ["latency"])
    assert found == f"{PROG} {suggested}"


def _objective(outcome: str, needs_times: float | None = None) -> Verdict:
    return Verdict("objective p99<5ms", f"p99<5ms {outcome}: ...", outcome, "p99<5ms", needs_times)


_THREE = Trials(3, False, ())
_STEPS = replace(
    OPEN,
    profile=(RateSegmentResult(10.0, 10.0, 5.0), RateSegmentResult(20.0, 20.0, 5.0)),
    requests=None,
    duration_s=None,
)


@pytest.mark.parametrize(
    ("line", "facts", "suggested"),
    [
        ("latency --slo p99<5ms", {}, "latency --slo 'p99<5ms' --duration 60"),
        ("latency --slo p99<5ms --precision 1%", {}, "latency --slo 'p99<5ms' --duration 60"),
        ("latency --slo p99<5ms -l 100", {"load": replace(CLOSED, loops=100)}, "latency --slo 'p99<5ms' -l 600"),
        ("latency --slo p99<5ms --trials 3", {"trials": _THREE}, "latency --slo 'p99<5ms' --trials 18"),
        (
            "latency --slo p99<5ms --rate 10,20/5s",
            {"load": _STEPS},
            "latency --slo 'p99<5ms' --rate 10,20/5s --trials 6",
        ),
    ],
)
def test_what_would_decide_an_objective_is_suggested(line, facts, suggested) -> None:
    """Five times as many requests would, and 1.2 times that many are asked for: of a run of 10 s, 60 s."""
    assert _next(line, **facts | {"verdicts": (_objective("undecided", 5.0), _objective("met"))}) == suggested


@pytest.mark.parametrize(
    "verdicts",
    [
        (_objective("undecided"),),
        (_objective("undecided", 500.0),),
        (_objective("undecided", 5.0), _objective("missed")),
    ],
)
def test_where_nothing_would_decide_it_soon_or_it_is_missed_that_is_not_suggested(verdicts) -> None:
    assert _next("latency --slo p99<5ms --duration 10", verdicts=verdicts) == "throughput --slo 'p99<5ms'"


def test_steps_that_a_server_does_not_keep_up_with_stay_steps() -> None:
    slow = replace(_step(rate=10.0), throughput_per_s=Statistic(10.0, (9.0, 11.0)))
    load = replace(_STEPS, offered_per_s=15.0)
    assert _next("latency --rate 10,20/5s", step=slow, load=load) == "latency --rate 4,8/5s"
    assert _next("latency --rate=10..20/5s", step=slow, load=load) == "latency --rate 4..8/5s"
    assert _next("latency --rate 20/s", step=slow, load=load) == "latency --rate 8"


@pytest.mark.parametrize(
    ("line", "ending", "facts", "suggested"),
    [
        ("--slo p99<5ms", "budget", {}, "--slo 'p99<5ms' --search-budget 1200s"),
        ("ping --slo p99<5ms --search-budget=2m -o x", "budget", {}, "ping --slo 'p99<5ms' --search-budget 240s"),
        ("--slo p99<5ms", "budget", {"valid": False}, "--slo 'p99<5ms'"),
        ("--slo p99<5ms --junit x.xml", "interrupted", {"partial": True}, "--slo 'p99<5ms'"),
        ("--slo p99<5ms", "decided", {}, ""),
    ],
)
def test_a_search_that_did_not_come_to_its_end_goes_on_for_longer_or_again(line, ending, facts, suggested):
    found = Capacity("rate", None, None, None, ending, (), Estimate(None, None))
    assert _next(line, searches=True, **{"name": "latency", "capacity": found} | facts) == suggested


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """A trace of 301 times over 15 s, in the folder in which it is asked for."""
    monkeypatch.chdir(tmp_path)
    Path("tr.txt").write_text("".join(f"{at / 20:.2f}\n" for at in range(301)))


#: Lines of every kind of load, and of every way in which its length is known.
_LOADS = (
    "",
    "-t 4",
    "-t 4 -l 25",
    "-t 4 --duration 10",
    "-t 4 --precision 5%",
    "-t 4 --think 10ms --ramp 1",
    "-t 4 --generators 3",
    "-t 4 -l 25 --generators 3 --generator-threads 2",
    "--rate 20",
    "--rate 20 -l 100",
    "--rate 20 --duration 10 --arrival poisson",
    "--rate 20 --precision 5%",
    "--rate 20 --max-connections 4 --generators 2 --generator-threads 2",
    "--rate 10..20/9s",
    "--rate 10,20/9s --arrival gamma:2",
    "--rate 10,20/9s --warmup 1",
    "--arrival trace:tr.txt",
    "--arrival trace:tr.txt --generators 3",
    "--arrival trace:tr.txt -l 100",
    "--arrival trace:tr.txt --duration 9",
    "--arrival trace:tr.txt --warmup 1",
    "--arrival trace:tr.txt --duration 9 --warmup 1",
    "--arrival trace:tr.txt --rate 10",
    "--trials 3",
)
_FOUND: tuple[dict[str, Any], ...] = (
    {"step": _step(100)},
    {"step": _dependent(100)},
    {"step": _drifting(_step(100))},
    {"step": _step(0, {"connect": 15})},
    {"step": _step(490, {"timeout": 10})},
    {"step": _step(rate=2.0)},
    {"verdicts": (_objective("undecided", 1.5),)},
    {"verdicts": (_objective("undecided", 5.0),)},
    {"valid": False},
)


@pytest.mark.parametrize(
    "words",
    [
        *(f"latency {line}" for line in _LOADS),
        "throughput -t 4 --generators 3",
        "http --url http://h/x --arrival trace:tr.txt",
        "concurrent_inference --generators 3",
        "concurrent_inference --rate 20 --generators 3 --generator-threads 2",
        "concurrent_inference --arrival trace:tr.txt --options threads 1,4",
    ],
)
def test_what_is_suggested_is_refused_by_nothing_that_needs_no_server(trace, words):
    (request,) = parse_run(PROG, shlex.split(words)).entries
    point = Entry.of(request).points[-1]
    load = load_asked(point.load)
    if load.kind == "open":
        load = replace(load, offered_per_s=20.0)
    trials = Trials(3, False, ()) if "--trials" in words else None
    facts = {"load": load, "warmup_s": point.load.warmup_s, "trials": trials}
    for suggested in filter(None, {_suggested(words, **facts | found) for found in _FOUND}):
        _check(suggested)


@pytest.mark.parametrize(
    ("line", "facts", "suggested"),
    [
        ("", {"step": _step(100)}, "--trials 6"),
        ("-l 100", {"step": _step(100)}, "-l 100 --trials 6"),
        ("--duration 9", {"step": _step(100)}, "--duration 9 --trials 6"),
        ("-l 9", {"step": _step(9), "verdicts": (_objective("undecided", 5.0),)}, "-l 54"),
        ("-l 100", {"verdicts": (_objective("undecided", 5.0),)}, "-l 100 --trials 6"),
        ("", {"verdicts": (_objective("undecided", 5.0),)}, "--trials 6"),
    ],
)
def test_a_trace_is_measured_more_often_where_it_has_no_more_times(trace, line, facts, suggested):
    words = f"latency --arrival trace:tr.txt {line}".strip()
    (request,) = parse_run(PROG, shlex.split(words)).entries
    load = load_asked(Entry.of(request).points[0].load)
    suggested = f"latency --arrival trace:tr.txt {suggested}"
    assert _next(words, load=load, warmup_s=0.0, **facts) == suggested


def test_of_a_profile_of_rates_that_is_too_short_for_an_interval_trials_are_suggested():
    assert _next("latency --rate 10,20/5s", load=_STEPS, step=_step(100)) == "latency --rate 10,20/5s --trials 6"


def test_one_request_is_one_generators():
    step = _step(0, {"connect": 15})
    assert _next("latency -t 4 --generators 4", step=step) == "latency -l 1 -t 1 -v"


def test_of_words_that_hold_a_secret_nothing_is_suggested():
    masked = replace(_result("latency"), command=(PROG, "latency", "-H", "Authorization: ***"))
    assert next_step(masked, Path("x"), PROG, ["latency", "-H", "Authorization: s3cr3t"]) == ""


def _of_suite(words: str, *statuses: str, name: str = "all") -> str:
    entries = tuple(SuiteEntry("ping", status, "0" * 64) for status in statuses)
    result = replace(_result(words), suite=Suite(name, entries), command=(PROG, *shlex.split(words)))
    return next_step(result, Path("a folder/x"), PROG, shlex.split(words)).removeprefix(f"{PROG} ")


@pytest.mark.parametrize("status", ["not run", "partial", "failed"])
def test_a_suite_that_lacks_something_goes_on(status):
    assert _of_suite("--all -t 4 -o out", "done", status) == "--all -t 4 --resume 'a folder/x'"
    assert _of_suite("--all -t 4 --resume old", "done", status) == "--all -t 4 --resume 'a folder/x'"


def test_a_suite_that_is_there_leads_to_the_next():
    assert _of_suite("--suite smoke --backend onnx", "done", "skipped", name="smoke") == "--all --backend onnx"
    assert _of_suite("-a", "done") == "--suite batching"
    assert _of_suite("-s mine.toml", "done", name="mine") == ""
