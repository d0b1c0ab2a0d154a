"""What of a run is held against its baseline before anything starts: model, load, parameters and settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servemark.benchmarks.asked import load_asked
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.result import (
    AskedOptions,
    BenchmarkResult,
    Certificate,
    GeneratorResult,
    Result,
    RunResult,
    StepSummary,
    Telemetry,
    fingerprint,
)
from servemark.runner.baseline import Baseline
from servemark.runner.entry import Entry
from servemark.servers import LoadedModel
from servemark.servers.dialect import dialect
from servemark.workload.inputs import checksum
from servemark.workload.prompts import Drawn

from .histories import write
from .results import result_of
from .test_reports import ALL_FAILED, STEP


def _entry(name: str = "latency", **asked: Any) -> Entry:
    return Entry.of(RunRequest.of(name, **{"model": "noop", "duration_s": 5, **asked}))


def _result(entry: Entry, model: str | None = "noop-v1.0", *, workers: int = 2) -> Result:
    """The result that a run of `entry` comes to."""
    runs = tuple(
        RunResult(
            1,
            dict(point.values),
            {"requested": {}, "read_back": {"workers": workers, "batch_size": point.model.batch_size}},
            load_asked(point.load),
            (2.0, 7.0),
            2.0,
            Certificate(True, ()),
            (),
            Telemetry(),
            "",
        )
        for point in entry.points
    )
    endpoint = entry.request.content.endpoint
    options = AskedOptions(url=endpoint.url if endpoint else None, parameters=dict(entry.request.parameters))
    benchmark = BenchmarkResult(
        entry.benchmark.name, model, "mxnet", options, None, False, (), runs, Certificate(True, ()), ()
    )
    return result_of(benchmark, "base")


def _sent(entry: Entry, *pool: bytes, model: str | None = "noop-v1.0") -> Result:
    """The same, where these were sent."""
    result = _result(entry, model)
    (benchmark,) = result.benchmarks
    options = replace(benchmark.options, input_count=len(pool), input_sha256=checksum(pool))
    return replace(result, benchmarks=(replace(benchmark, backend=None, options=options),))


def _checked(base: Result, entry: Entry, *, force: bool = False) -> str:
    try:
        Baseline(base, 0.02, force).check_asked([entry])
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "asked", "unlike"),
    [
        ("latency", {}, ""),
        ("latency", {"threads": 4}, "load users 1 and 4"),
        ("latency", {"rate": 50}, "load closed and open"),
        ("latency", {"duration_s": 6}, "load duration_s 5 and 6"),
        ("latency", {"warmup_s": 3}, "load warmup_s 2 and 3"),
        ("latency", {"workers": 4}, "setting workers 2 and 4"),
        ("latency", {"workers": 2}, ""),
        ("latency", {"threads": 2, "generators": 2}, "generators 1 and 2"),
        ("latency", {"backend": "onnx"}, "backend mxnet and onnx"),
        ("latency", {"receive_clock": "user"}, "receive_clock kernel and user"),
        ("latency", {"receive_clock": "kernel"}, ""),
        (
            "latency",
            {"model": "squeezenet"},
            "base has no latency squeezenet to compare with: it has latency noop-v1.0",
        ),
        ("latency", {"model": "noop-v1.0", "trials": 5}, ""),
        ("concurrent_inference", {"parameters": {"threads": (1, 4)}}, ""),
        ("repeated_scale_calls", {"parameters": {"scale_up_workers": 3}}, "parameter scale_up_workers 16 and 3"),
    ],
)
def test_what_is_known_beforehand_is_refused_beforehand(name, asked, unlike) -> None:
    base = _result(_entry(name))
    said = _checked(base, _entry(name, **asked))
    assert (said == "", unlike in said) == (unlike == "", True)
    if "unlike" in said:
        assert _checked(base, _entry(name, **asked), force=True) == ""


def _spread(result: Result, *generators: int) -> Result:
    """The same, where the points were spread over so many."""
    (benchmark,) = result.benchmarks
    one = GeneratorResult(number=1, host="a", records="r/a.bin", recorded=1)
    runs = tuple(
        replace(run, generators=(one,) * number if number > 1 else None)
        for run, number in zip(benchmark.runs, generators, strict=True)
    )
    return replace(result, benchmarks=(replace(benchmark, runs=runs),))


def test_points_that_have_fewer_users_than_there_are_generators_are_those_of_the_same_command() -> None:
    asked = {"parameters": {"threads": (1, 2, 4)}}
    entry = _entry("concurrent_inference", generators=4, **asked)
    base = _spread(_result(entry), 1, 2, 4)
    assert _checked(base, entry) == ""
    assert "generators 4 and 3" in _checked(base, _entry("concurrent_inference", generators=3, **asked))
    only_two = _entry("concurrent_inference", generators=2, parameters={"threads": (1, 2)})
    assert _checked(base, only_two) == "", "what both have was sent by as many"
    assert fingerprint(base, base.benchmarks[0]).generators == "4"


@pytest.mark.parametrize(
    ("step", "valid", "says"),
    [
        (STEP, False, "base has no valid trial to compare with"),
        (ALL_FAILED, True, "base has no trial to compare with in which a request succeeded"),
    ],
)
def test_a_baseline_of_which_nothing_counts_is_refused(tmp_path: Path, step: StepSummary, valid: bool, says: str):
    base = _result(_entry())
    (benchmark,) = base.benchmarks
    runs = tuple(replace(run, steps=(step,), certificate=Certificate(valid, ())) for run in benchmark.runs)
    write(tmp_path, replace(base, benchmarks=(replace(benchmark, runs=runs),)))
    with pytest.raises(UsageError, match=says):
        Baseline.of([_entry(against=tmp_path).request])


def test_an_endpoint_is_matched_by_its_path_and_not_by_its_host() -> None:
    def at(url: str) -> Entry:
        return _entry("http", model=None, url=url)

    base = _result(at("http://a:80/x"), model=None)
    assert _checked(base, at("http://b:81/x")) == ""
    assert "to compare with: it has http http://a/x" in _checked(base, at("http://b:81/y"))


@pytest.mark.parametrize("asked", [{}, {"server": "http://127.0.0.1:9"}, {"server_kind": "torchserve"}])
def test_files_that_are_sent_are_those_that_were_sent_then_whatever_they_are_called(tmp_path, asked) -> None:
    first, same, other = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"
    for path, text in ((first, "x"), (same, "x"), (other, "y")):
        path.write_text(text)
    base = _sent(_entry(inputs=[first], **asked), b"x")
    assert _checked(base, _entry(inputs=[same], **asked)) == ""
    assert f"inputs {checksum([b'x'])} and {checksum([b'y'])}" in _checked(base, _entry(inputs=[other], **asked))
    assert _checked(base, _entry(**asked)) == "", "what the model has of its own is not known yet"


def test_the_body_that_an_endpoint_is_sent_is_held_against_that_of_then(tmp_path) -> None:
    body = tmp_path / "body.json"
    body.write_text("{}")
    asked = {"model": None, "url": "http://a:80/x", "inputs": [body]}
    assert _checked(_sent(_entry("http", **asked), b"{}", model=None), _entry("http", **asked)) == ""
    assert "inputs" in _checked(_sent(_entry("http", **asked), b"[]", model=None), _entry("http", **asked))


def test_prompts_are_held_against_those_of_then_as_they_are_sent(tmp_path) -> None:
    def asked(**more: Any) -> Entry:
        return _entry(model="m", server="http://127.0.0.1:9", dialect="openai", **more)

    made = asked(prompt_tokens=16).request.content.prompts_asked(0).drawn_by(Drawn(0))
    (step,) = asked().points[0].plan(dialect("openai"), (LoadedModel("m", None, made, None, None, None),)).groups
    base = _sent(asked(prompt_tokens=16), *(one.body for one in step.scenario.steps[0].requests), model="m")
    assert _checked(base, asked(prompt_tokens=16)) == ""
    assert "inputs" in _checked(base, asked(prompt_tokens=17))
    assert "inputs" in _checked(base, asked(prompt_tokens=16, seed=1))


def test_of_several_of_one_model_it_is_known_only_in_the_end_which_is_meant() -> None:
    base = _result(_entry(threads=2))
    both = replace(base, benchmarks=(*base.benchmarks, *_result(_entry(threads=4)).benchmarks))
    assert "load users 2 and 1" in _checked(base, _entry())
    assert _checked(both, _entry()) == ""
