"""How a proof is told: by parts, of which some can be proven again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hogs import ALWAYS_BUSY
from judging import equal, failed

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import injected, llm_servers, prove
from bench.alarms import Ended, Tally, _examples, _judge
from bench.kept import Kept
from bench.llm_servers import Account, judge, llama_cpp_account, metrics_in, prove_llm_servers, vllm_account
from bench.machine import Machine
from bench.proof import Section, page, part_text, parts_of
from servemark.errors import SetupError

MACHINE = Machine("a processor", 2, 8, "6.1", "a system", "0.1.0", 0.5, 0.0, 0.0)


def part(name: str, figure: float) -> str:
    """A part of one figure, which ought to be 3."""
    return part_text(
        name, [Section(f"The title of {name}", "`a command`", [equal("a figure", figure, 3)])], MACHINE, Kept()
    )


def test_a_part_is_proven_again_and_the_others_stay() -> None:
    first = page({"one": part("one", 3), "two-b": part("two-b", 4)}, "# Intro\n")
    assert "Result: **FAILED**: The title of two-b.\n" in first
    known = parts_of(first)
    assert list(known) == ["one", "two-b"]
    again = page({**known, "two-b": part("two-b", 3)}, "# Intro\n")
    assert "Result: all 2 figures are within their bounds.\n" in again
    assert parts_of(again)["one"] == known["one"] == part("one", 3)


def test_each_part_says_what_it_was_proven_on() -> None:
    """Parts are proven again by themselves, on whatever machine that is."""
    on = " on a processor, 2 CPUs, 8 GiB, a system, Linux 6.1, servemark 0.1.0; 0.5 processes ran before"
    assert on in part("one", 3)
    assert "GiB" not in prove.intro()
    for name, text in parts_of(prove.PROOF.read_text(encoding="utf-8")).items():
        assert " GiB, " in text, name


def test_the_committed_proof_has_parts_that_can_be_proven_again() -> None:
    parts = parts_of(prove.PROOF.read_text(encoding="utf-8"))
    assert parts
    assert set(parts) <= set(prove._PARTS)


def test_what_could_not_be_had_is_not_proven_and_has_not_passed() -> None:
    section = Section("A server", "`a command`", [], unproven="no network")
    assert not section.passed
    whole = page({"one": part("one", 3), "two": part_text("two", [section], MACHINE, Kept())}, "# Intro\n")
    assert "Result: all 1 figures are within their bounds; **not proven**: A server.\n" in whole
    assert "**not proven**: no network.\n" in whole
    assert part("one", 3) in whole


def test_each_server_of_language_models_that_cannot_be_installed_is_not_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def environment(_kind: object) -> None:
        raise SetupError("no index", next_step="find one")

    monkeypatch.setattr(llm_servers, "environment", environment)
    told = [(section.title, section.unproven, section.passed) for section in prove_llm_servers(tmp_path, 1)]
    title = "Streams of a real server: "
    assert told == [(f"{title}{name}", "no index; find one", False) for name in ("vLLM", "llama.cpp")]


METRICS = """
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="tiny"} 60.0
vllm:generation_tokens_total{engine="1",model_name="tiny"} 20.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="tiny"} 10.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="tiny"} 10.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="tiny"} 0.2
vllm:inter_token_latency_seconds_count{engine="0",model_name="tiny"} 70.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="tiny"} 3.5e-1
llamacpp:prompt_seconds_total 0.2
llamacpp:tokens_predicted_total 80
llamacpp:tokens_predicted_seconds_total 0.35
"""


def test_what_a_server_of_language_models_counts_is_read_of_its_metrics() -> None:
    counted = metrics_in(METRICS)
    assert counted["vllm:generation_tokens_total"] == 80
    assert vllm_account(counted, 10) == Account(10, 80, pytest.approx(20), pytest.approx(5))
    assert llama_cpp_account(counted, 10) == Account(None, 80, pytest.approx(20), pytest.approx(5))


#: What is reported of ten streams of eight tokens in two seconds, which such a server counted.
REPORTED: Mapping[str, Any] = {
    "succeeded": 10,
    "streams": 10,
    "finish_reasons": {"length": 10},
    "count": 80,
    "source": "usage",
    "first_ms": 24.0,
    "per_token_ms": 5.1,
    "per_s": 40.2,
}


def failed_of(**changed: Any) -> list[str]:
    """What is out of bounds of a run that is reported so but for what is `changed`."""
    told = {**REPORTED, **changed}

    def mean(value: float) -> SimpleNamespace:
        return SimpleNamespace(mean=SimpleNamespace(value=value))

    output = SimpleNamespace(count=told["count"], source=told["source"], per_s=SimpleNamespace(value=told["per_s"]))
    tokens = SimpleNamespace(
        streams=told["streams"],
        without_end_mark=0,
        unread=0,
        cut=0,
        finish_reasons=told["finish_reasons"],
        output_tokens=output,
        first_token_ms=mean(told["first_ms"]),
        time_per_output_token_ms=mean(told["per_token_ms"]),
    )
    step: Any = SimpleNamespace(succeeded=told["succeeded"], tokens=tokens)
    return failed(judge(step, (0.0, 2.0), vllm_account(metrics_in(METRICS), 10), 10, 8))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, []),
        ({"succeeded": 9}, ["requests that succeeded"]),
        ({"streams": 9}, ["streams read to their end"]),
        ({"finish_reasons": {"length": 9, "stop": 1}}, ["answers that ended at their length"]),
        ({"count": 79}, ["tokens, by usage"]),
        ({"source": "tokenizer"}, ["tokens, by usage"]),
        ({"first_ms": 19.9}, ["first token, mean"]),
        ({"first_ms": 31.0}, ["first token, mean"]),
        ({"per_token_ms": 4.0}, ["time per output token, mean"]),
        ({"per_token_ms": 10.0}, ["time per output token, mean"]),
        ({"per_s": 44.0}, ["tokens, by the server's count over the measured time"]),
    ],
)
def test_what_differs_from_what_the_server_counted_is_out_of_bounds(
    changed: Mapping[str, Any], what: list[str]
) -> None:
    assert failed_of(**changed) == what


def test_each_fault_of_the_driver_has_a_case() -> None:
    assert not injected.unmade_faults()


def ended(status: int | None, *failed: str, result: bool = True, trials: tuple[int, ...] = (1,)) -> Ended:
    """A run with these failed checks, of points that were measured for the so manieth time."""
    checks = [{"name": name, "passed": False, "reason": f"{name} is wrong"} for name in failed]
    benchmark = {"certificate": {"checks": checks}, "runs": [{"trial": trial} for trial in trials]}
    return Ended(status, {"benchmarks": [benchmark]} if result else None, "last words")


@pytest.mark.parametrize(("alarms", "passed"), [(0, True), (1, True), (2, False)])
def test_one_false_alarm_in_forty_is_allowed(alarms: int, passed: bool) -> None:
    quiet, beside = Tally("latency", None), Tally("latency", ALWAYS_BUSY)
    for number in range(20):
        quiet.add(ended(3, "run-queue delay") if number < alarms else ended(0))
        beside.add(ended(0))
    opened, of_new = Tally("open", ALWAYS_BUSY), Tally("open of a server that has just started", None)
    for apart in (opened, of_new):
        apart.add(ended(3, "generator lag (predict)"))
    tallies = [quiet, beside, Tally("open", None), opened, of_new]
    first, *others = _judge(tallies, "open", of_new.command)
    assert first.what == "INVALID of 40: `latency`"
    assert first.figure == alarms
    assert first.passed is passed
    assert all(finding.passed for finding in others)
    of_new.add(ended(3, "accounted"))
    assert not all(finding.passed for finding in _judge(tallies, "open", of_new.command))


def test_a_false_alarm_is_told_with_its_reason() -> None:
    tally = Tally("latency", None)
    tally.add(ended(3, "clock (predict)"))
    assert list(_examples([tally, Tally("latency", ALWAYS_BUSY)])) == [
        "\nFor instance:\n",
        "- `latency`, clock (predict): clock (predict) is wrong",
    ]
    assert not list(_examples([Tally("latency", None)]))


def test_points_that_were_measured_once_more_are_counted_beside_the_alarms() -> None:
    tally = Tally("concurrent_inference", ALWAYS_BUSY)
    tally.add(ended(0, trials=(1, 1, 2)))
    tally.add(ended(3, "accounted", trials=(1, 1, 2, 2)))
    assert (tally.runs, tally.invalid, tally.repeated) == (2, 1, 3)


def test_a_run_that_did_not_end_is_a_problem_and_no_alarm() -> None:
    tally = Tally("latency", None)
    tally.add(ended(4, result=False))
    tally.add(ended(None))
    assert tally.invalid == 0
    assert tally.problems == ["exit status 4: last words", "exit status None: last words"]
