"""--expect: how it is written, where it makes sense, and that what makes none is said before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

import servemark
from servemark.benchmarks import catalogue
from servemark.cli import main
from servemark.engines.jmeter.limits import check_plan
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel
from servemark.servers.mms.dialect import DIALECT
from servemark.workload.address import Address
from servemark.workload.answers import parse_expect
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import EngineExpect
from servemark.workload.inputs import Input
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Expect, Request, Scenario, Step

ADDRESSES = {"inference": Address("h", "127.0.0.1", 80), "management": Address("h", "127.0.0.1", 81)}


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("same", Expect("same")),
        ("regex:a:b", Expect("regex", "a:b")),
        ("json:predictions.0.class", Expect("json", "predictions.0.class")),
        ("json:", Expect("json", "")),
        ("not:regex:a:b", Expect("not_regex", "a:b")),
        ("not:json:error", Expect("not_json", "error")),
    ],
)
def test_what_a_body_must_be_or_must_not_be(text: str, expect: Expect) -> None:
    assert parse_expect(text) == expect


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latency", "--expect", "cat"], "'cat' does not say what a body must be; give same, regex:R"),
        (["latency", "--expect", "same:x"], "'same:x' does not say"),
        (["latency", "--expect", "json"], "'json' does not say"),
        (["latency", "--expect", "regex:"], "an empty expression is found in every body"),
        (["latency", "--expect", "regex:("], 'the regular expression "(" cannot be used: unclosed group'),
        (
            ["latency", "--expect", "regex:(?<=a)b"],
            "look-around, including look-ahead and look-behind, is not supported",
        ),
        (["latency", "--expect", "json:a..b"], "a key between its dots is empty"),
        (
            ["latency", "--expect", "not:same"],
            "'not:same' does not say what a body must not be: it is the body of some",
        ),
        (["latency", "--expect", "not:regex:"], "'not:regex:' does not say what a body must not be"),
        (["latency", "--expect", "not:json:"], "all JSON is excluded"),
        (["latency", "--expect", "not:cat"], "'not:cat' does not say what a body must not be; give same, regex:R"),
        (["latency", "--expect", "not:regex:("], '--expect not:regex: the regular expression "(" cannot be used'),
        (["load", "--expect", "same"], "--expect makes no sense with load: registrations go to the management API"),
        (["repeated_scale_calls", "--expect", "same"], "give --options background_threads 1"),
        (["latency", "--engine", "jmeter", "--expect", "same"], "--engine jmeter and --expect do not go together"),
    ],
)
def test_what_cannot_be_expected_is_refused_before_anything_starts(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("benchmark", "engine", "message"), [("load", "native", "makes no sense"), ("latency", "jmeter", "go together")]
)
def test_python_is_refused_as_the_command_line_is(benchmark, engine, message, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        servemark.run(benchmark, expect="same", engine=engine, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_request_to_the_inference_api_and_no_other_is_held_against_it() -> None:
    expect = Expect("regex", "tabby")
    refusing = {name for name, benchmark in catalogue().items() if "expect" in benchmark.refuses}
    assert refusing == {"load"}
    for name, benchmark in catalogue().items():
        parameters = {parameter.key: parameter.default for parameter in benchmark.parameters}
        asked = parameters | {"background_threads": 1}
        more = {"url": "http://h/"} if name == "http" else {"model": "noop"}
        ask = RunRequest.of(name, **more, parameters=asked)
        served = tuple(
            LoadedModel(model, None, (Input(b"x", "text/plain", "test"),), url="", cold_start_ms=None, register_ms=None)
            for model in benchmark.models(ask)
        )
        for point in benchmark.points(ask) if name not in refusing else ():
            plan = point.plan(DIALECT, served).expecting(None, expect)
            compiled = compile_plan(plan, ADDRESSES, timeout_s=1, connect_timeout_s=1, seed=0)
            inference = [step.api == "inference" for group in plan.groups for step in group.scenario.steps]
            expected = [step.expect == EngineExpect("regex", "tabby") for step in compiled.steps]
            assert expected == inference, name
            assert any(expected), name


def test_a_plan_that_looks_at_bodies_is_none_for_jmeter() -> None:
    step = Step("predict", (Request("GET", "/"),), expect=Expect("same"))
    plan = Plan((Group(Scenario((step,)), ClosedLoad(users=1, loops=1)),))
    with pytest.raises(UsageError, match="JMeter cannot look at the answers to predict"):
        check_plan(plan, ADDRESSES)
