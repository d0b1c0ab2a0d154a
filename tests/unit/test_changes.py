"""What can be changed in a command: only what this benchmark, engine, user and machine have."""

from __future__ import annotations

import dataclasses
import os
from types import SimpleNamespace
from typing import Any

import pytest

from servemark.assessment.changes import changes_of
from servemark.benchmarks import catalogue
from servemark.certificate.conditions import MachineUse
from servemark.machine import counters
from servemark.options import RunRequest

MACHINE = MachineUse(10.0, 4, 6.0, 0.0, 1.0, 5.0, 0.0, remote=False, usable_cpus=2, realtime_fix="")


def _measured(name: str, point: int = 0, *, ask: dict[str, Any] | None = None, **changes: Any) -> Any:
    benchmark = catalogue()[name]
    parameters = {parameter.key: parameter.default for parameter in benchmark.parameters}
    ask = dict(ask or {})
    parameters |= ask.pop("parameters", {})
    points = tuple(benchmark.points(RunRequest.of(name, model="noop", parameters=parameters, **ask)))
    facts = {
        "benchmark": benchmark,
        "point": points[point],
        "asked": SimpleNamespace(parameters=parameters),
        "engine": "native",
        "compiled": SimpleNamespace(threads=1),
        "engine_run": SimpleNamespace(realtime=""),
        "machine": MACHINE,
        "lets_cpus_sleep": False,
    }
    return SimpleNamespace(**{**facts, **changes})


@pytest.mark.parametrize(
    ("name", "point", "ask", "words"),
    [
        ("throughput", 0, {}, "lower --threads (now 100)"),
        ("throughput", 0, {"threads": 2}, ""),
        ("latency", 0, {}, ""),
        ("latency", 0, {"rate": 50}, "lower --rate"),
        ("concurrent_inference", 4, {}, "leave 13 out of --options threads"),
        ("concurrent_inference", 0, {}, ""),
        ("load", 0, {}, "lower --options count (now 16)"),
        ("load", 0, {"parameters": {"count": 2}}, ""),
        ("repeated_scale_calls", 0, {}, ""),
        (
            "repeated_scale_calls",
            1,
            {"parameters": {"background_threads": 8}},
            "lower --options background_threads (now 8)",
        ),
    ],
)
def test_the_load_is_lowered_by_the_option_that_the_benchmark_has_if_there_is_any_to_lower(name, point, ask, words):
    assert changes_of(_measured(name, point, ask=ask)).lower_load == words


def test_what_a_search_probes_is_no_option_that_could_be_lower():
    measured = _measured("latency", ask={"rate": 50})
    measured.point = dataclasses.replace(measured.point, is_probe=True)
    assert changes_of(measured).lower_load == ""


def test_a_trace_has_no_rate_to_lower_but_can_be_scaled(tmp_path):
    (tmp_path / "times.txt").write_text("0\n1\n2\n4\n")
    ask = {"arrival": f"trace:{tmp_path / 'times.txt'}"}
    assert changes_of(_measured("latency", ask=ask)).lower_load == "scale the trace to a lower mean (--rate, now 1)"


def test_more_threads_need_a_cpu_for_them_and_an_engine_that_has_them():
    assert changes_of(_measured("ping")).more_threads == "raise --generator-threads (now 1)"
    assert changes_of(_measured("ping", compiled=SimpleNamespace(threads=2))).more_threads == ""
    of_jmeter = changes_of(_measured("ping", engine="jmeter", lets_cpus_sleep=True))
    assert (of_jmeter.more_threads, of_jmeter.realtime, of_jmeter.keep_awake) == ("", "", "")
    assert of_jmeter.lower_load == "lower --threads (now 100)"


@pytest.mark.parametrize(
    ("state", "fix", "words"),
    [
        ("", "", "give it real-time priority (--realtime on)"),
        ("", "log in again", "allow real-time priority (log in again), and ask for it (--realtime on)"),
        ("refused: no", "log in again", "allow real-time priority (log in again)"),
        ("rr 1", "", ""),
        ("dropped after 3.2 s", "", ""),
        ("", None, ""),
    ],
)
def test_real_time_priority_is_advised_to_who_may_have_it_and_has_it_not(state, fix, words):
    seen = dataclasses.replace(MACHINE, realtime_fix=fix)
    measured = _measured("latency", machine=seen, engine_run=SimpleNamespace(realtime=state))
    assert changes_of(measured).realtime == words


def test_cpus_are_kept_awake_for_who_has_switched_that_off():
    assert changes_of(_measured("latency")).keep_awake == ""
    assert changes_of(_measured("latency", lets_cpus_sleep=True)).keep_awake == "keep the CPUs awake (--keep-awake on)"


def test_whether_this_user_may_have_real_time_priority_is_tried(monkeypatch):
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    assert counters.realtime_fix() == ""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert counters.realtime_fix() == "./install_dependencies.sh --realtime, log in again"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert counters.realtime_fix() == "docker run --cap-add SYS_NICE"


def test_trying_it_leaves_the_program_as_it_was():
    before = os.sched_getscheduler(0)
    counters.realtime_fix()
    assert os.sched_getscheduler(0) == before
