"""What of a run is held against its baseline before anything starts: model, load, parameters and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from servemark.benchmarks.asked import load_asked
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.result import AskedOptions, BenchmarkResult, Certificate, Result, RunResult, Telemetry
from servemark.runner.baseline import Baseline
from servemark.runner.entry import Entry

from .results import result_of


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


def test_an_endpoint_is_matched_by_its_path_and_not_by_its_host() -> None:
    def at(url: str) -> Entry:
        return _entry("http", model=None, url=url)

    base = _result(at("http://a:80/x"), model=None)
    assert _checked(base, at("http://b:81/x")) == ""
    assert "to compare with: it has http http://a/x" in _checked(base, at("http://b:81/y"))


def test_of_several_of_one_model_it_is_known_only_in_the_end_which_is_meant() -> None:
    base = _result(_entry(threads=2))
    both = replace(base, benchmarks=(*base.benchmarks, *_result(_entry(threads=4)).benchmarks))
    assert "load users 2 and 1" in _checked(base, _entry())
    assert _checked(both, _entry()) == ""
