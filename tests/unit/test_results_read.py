"""Results that are read back: typed all the way, of every schema that there was, and whatever a newer one adds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

import servemark
from servemark.errors import RecordingError
from servemark.report.directory import result_text
from servemark.result import (
    AdaptiveLength,
    Analysis,
    AskedOptions,
    ClosedLoadResult,
    GeneratorResult,
    NotFitted,
    OpenLoadResult,
    RateSegmentResult,
    Registrations,
    Result,
    Scalability,
    ScalingCalls,
    Stage,
    Statistic,
    Telemetry,
    TraceResult,
    Verdict,
    asked_of_point,
    fingerprint,
    from_json,
    schema_text,
    served_by,
    to_json,
)

from .results import CLOSED, OPEN

#: Of real runs of every kind, cut to two runs a benchmark and without the paths of the machine that made them.
FIRST = json.loads((Path(__file__).parent / "data" / "result-schema-1.json").read_text(encoding="utf-8"))


@pytest.fixture
def first() -> Result:
    return from_json(FIRST)


def test_a_result_of_the_first_schema_is_read_as_this_version_has_it(first: Result) -> None:
    assert first.schema == "servemark/result/2"
    verdicts = [verdict for benchmark in first.benchmarks for verdict in benchmark.verdicts]
    assert {verdict.outcome for verdict in verdicts} <= {"met", "missed", "finding"}
    assert any(verdict.outcome == "met" for verdict in verdicts)
    assert (first.tool.name, first.environment.kernel) == ("servemark", None)
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(json.loads(result_text(first)))


def test_it_is_typed_all_the_way(first: Result) -> None:
    known = {benchmark.name: benchmark for benchmark in first.benchmarks}
    closed, opened = known["concurrent_inference"].runs[0], known["ping"].runs[0]
    assert isinstance(closed.load, ClosedLoadResult)
    assert isinstance(opened.load, OpenLoadResult)
    assert closed.load.users == closed.point["threads"]
    assert opened.load.profile[0].from_per_s > 0
    assert isinstance(closed.telemetry, Telemetry)
    assert isinstance(known["ping"].options, AskedOptions)
    assert isinstance(known["concurrent_inference"].analysis.scalability, Scalability | NotFitted)
    assert known["batching"].analysis.pareto_runs == (0,)
    assert isinstance(known["ping"].analysis.stages[0], Stage)
    registrations, scaling = known["load"].analysis.registrations, known["repeated_scale_calls"].analysis.scaling
    assert isinstance(registrations, Registrations)
    assert all(one.response_s > 0 for one in registrations.models.values())
    assert isinstance(scaling.up, ScalingCalls)
    assert scaling.up.settled_ms.p50 > 0


def test_what_is_written_is_read_as_it_was(first: Result, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(result_text(first), encoding="utf-8")
    assert Result.load(tmp_path) == first
    assert Result.load(str(tmp_path / "result.json")) == first
    assert result_text(Result.load(tmp_path)) == result_text(first)


@pytest.mark.parametrize(
    "load",
    [
        CLOSED,
        replace(CLOSED, duration_s=None, until=AdaptiveLength(400, 5.0, 20.0), receive_clock="user"),
        OPEN,
        replace(OPEN, process="trace", cv=None, profile=(), trace=TraceResult("t.csv", "0" * 64, 3, 1.5, "at", "ms")),
    ],
)
def test_each_kind_of_load_comes_back_as_what_it_was(first: Result, load: ClosedLoadResult | OpenLoadResult) -> None:
    (benchmark, *_) = first.benchmarks
    benchmark = replace(benchmark, runs=(replace(benchmark.runs[0], load=load),))
    document = json.loads(result_text(replace(first, benchmarks=(benchmark,))))
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(document)
    assert from_json(document).benchmarks[0].runs[0].load == load


@pytest.mark.parametrize(
    "statistic", [Statistic(1.0, (0.9, 1.1)), Statistic(1.0, None, 368), Statistic(1.0, None, None, 12.5)]
)
def test_a_statistic_without_an_interval_says_what_it_needs(statistic: Statistic) -> None:
    written = to_json(statistic)
    assert ("needs_n" in written, "needs_s" in written) == (
        statistic.needs_n is not None,
        statistic.needs_s is not None,
    )
    schema = {**json.loads(schema_text())["$defs"]["statistic"]}
    jsonschema.Draft202012Validator(schema).validate(written)


def test_what_was_not_asked_is_left_out_of_the_document() -> None:
    assert to_json(Analysis(pareto_runs=(0, 2))) == {"pareto_runs": [0, 2]}
    sent = {"inputs": [], "input_count": 0, "input_sha256": None, "parameters": {}}
    assert to_json(AskedOptions(threads=4)) == {"threads": 4, **sent}
    assert to_json(AskedOptions(url="http://h/", method="GET")) == {"url": "http://h/", "method": "GET", **sent}


def test_what_a_newer_version_adds_is_ignored(first: Result) -> None:
    document = json.loads(result_text(first))
    document["ledger"] = {"of": "later"}
    document["benchmarks"][0]["colour"] = {"rate_per_s": 3}
    document["benchmarks"][0]["runs"][0]["load"]["shape"] = "round"
    assert from_json(document) == first


@pytest.mark.parametrize("outcome", ["met", "missed", "undecided", "finding"])
def test_only_a_verdict_that_is_missed_changes_the_exit_status(first: Result, outcome: str) -> None:
    from servemark.verdict import exit_status

    benchmarks = tuple(replace(one, verdicts=(Verdict("q", "a", outcome),)) for one in first.benchmarks)
    expected = 1 if outcome == "missed" else 0
    assert exit_status(replace(first, benchmarks=benchmarks), allow_invalid=True) == expected


def test_what_is_no_result_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"result.json is no result: No such file.*name a result's folder"):
        Result.load(tmp_path)
    for text, why in (
        ("{", r"it is no JSON \(Expecting.*cut short, or changed\? copy it again"),
        ('{"schema": "servemark/result/0"}', "it is no servemark/result/2, so no result of servemark's"),
        ('{"schema": "servemark/result/99"}', "it is servemark/result/99, which a newer servemark wrote"),
        ('{"schema": "else"}', "it is no servemark/result/2"),
        ('{"schema": "servemark/result/2"}', "it is no whole servemark/result/2: it lacks id, started_at, command"),
    ):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(RecordingError, match=why):
            Result.load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("measured", "many", 'measured: "many" is no whole number'),
        ("measured", True, "measured: true is no whole number"),
        ("throughput_per_s", 3.5, "throughput_per_s: 3.5 is no object"),
        ("throughput_per_s", {"value": "fast", "ci95": None}, 'throughput_per_s: value: "fast" is no number'),
        ("name", None, "name: null is no text"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_field(first: Result, field: str, value: object, why: str) -> None:
    data = json.loads(result_text(first))
    data["benchmarks"][0]["runs"][0]["steps"][0][field] = value
    with pytest.raises(ValueError, match=re.escape(f"benchmarks: runs: steps: {why}; copy the file again")):
        from_json(data)


def test_it_can_be_had_from_the_package() -> None:
    assert issubclass(servemark.Result, Result)


def test_models_of_the_zoo_are_told_apart_by_their_checksums(first: Result) -> None:
    (benchmark, *_) = first.benchmarks
    own = replace(benchmark, archive=None, model_sha256={"lstm_ptb": "a" * 64, "resnet-18": "b" * 64})
    same = replace(own, model_sha256=dict(reversed(own.model_sha256.items())))
    other = replace(own, model_sha256={**own.model_sha256, "resnet-18": "c" * 64})
    earlier = replace(own, model_sha256=None)
    unlike = [set(fingerprint(first, own).unlike(fingerprint(first, one))) for one in (same, other, earlier)]
    assert unlike == [set(), {"model"}, set()]
    document = json.loads(result_text(replace(first, benchmarks=(own,))))
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(document)
    assert from_json(document).benchmarks[0].model_sha256 == own.model_sha256


def test_a_fingerprint_tells_environments_apart_and_holds_against_none_what_it_does_not_say(first: Result) -> None:
    benchmark = first.benchmarks[0]
    own = fingerprint(first, benchmark)
    assert own.kernel is own.cpu_model is None, "the first schema did not say"
    assert (own.server_python, own.jdk) == ("3.11.7", "25.0.2")
    assert served_by(first, benchmark)["server"] == "Multi Model Server 1.1.11 managed"
    newer = replace(first, environment=replace(first.environment, kernel="6.1", python="3.13.0"))
    assert own.unlike(fingerprint(newer, benchmark)) == {"python": ("3.11.7", "3.13.0")}
    runs = tuple(replace(run, load=replace(run.load, realtime="rr 1")) for run in benchmark.runs)
    assert set(own.unlike(fingerprint(first, replace(benchmark, runs=runs)))) == {"realtime"}
    several = (GeneratorResult(number=1, host="a", records="r/a.bin", recorded=1),) * 4
    runs = tuple(replace(run, generators=several) for run in benchmark.runs)
    assert own.unlike(fingerprint(first, replace(benchmark, runs=runs))) == {"generators": ("1", "4")}
    assert own.unlike(own) == {}


def test_when_a_thread_lost_its_priority_makes_no_other_environment(first: Result) -> None:
    benchmark = first.benchmarks[0]
    lost = (f"dropped after {at} s" for at in ("3.2", "0.4", "1.0"))
    runs = tuple(
        replace(run, load=replace(run.load, realtime=one)) for run, one in zip(benchmark.runs, lost, strict=False)
    )
    assert fingerprint(first, replace(benchmark, runs=runs)).realtime == "dropped after a while"


def test_that_cpus_were_busy_by_themselves_makes_no_other_environment(first: Result) -> None:
    benchmark = first.benchmarks[0]

    def awake(*words: str) -> str:
        runs = tuple(
            replace(run, load=replace(run.load, keep_awake=one)) for one in words for run in benchmark.runs[:1]
        )
        runs = tuple(replace(run, point={"threads": number}) for number, run in enumerate(runs))
        return fingerprint(first, replace(benchmark, runs=runs)).keep_awake

    assert awake("2 CPUs until 3.2 s, when the machine was busy by itself") == awake("2 CPUs") == "2 CPUs"
    assert awake("2 CPUs", "off", "2 CPUs") == "2 CPUs"
    assert awake("off", "off") == "off"


def test_what_was_asked_is_told_in_words(first: Result) -> None:
    benchmark = first.benchmarks[0]
    run = replace(benchmark.runs[0], load=replace(CLOSED, duration_s=2.0, until=AdaptiveLength(400, 10.0, 60.0)))
    asked = asked_of_point(first, benchmark, run)
    assert asked["load duration_s"] == "2"
    assert asked["load until"] == "successes 400, min_s 10, max_s 60"
    profile = (RateSegmentResult(100.0, 200.0, 5.0), RateSegmentResult(200.0, 200.0, None))
    asked = asked_of_point(first, benchmark, replace(run, load=replace(OPEN, profile=profile)))
    assert asked["load profile"] == ("from_per_s 100, to_per_s 200, duration_s 5; from_per_s 200, to_per_s 200")
