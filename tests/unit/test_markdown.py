"""A result as Markdown: the answers, and nothing in it that is more than text."""

from __future__ import annotations

from dataclasses import replace

from servemark.report.markdown import markdown_text
from servemark.result import (
    AskedOptions,
    BenchmarkResult,
    Capacity,
    Certificate,
    Check,
    Estimate,
    Failure,
    Skipped,
    Suite,
    SuiteEntry,
    Verdict,
)

from .results import result_of


def _benchmark(**changes: object) -> BenchmarkResult:
    fields: dict[str, object] = {
        "name": "latency",
        "model": "m",
        "backend": None,
        "options": AskedOptions(),
        "cold_start_ms": None,
        "partial": False,
        "steps": (),
        "runs": (),
        "certificate": None,
        "verdicts": (),
    }
    return BenchmarkResult(**(fields | changes))  # type: ignore[arg-type]


def test_the_answers_come_first_and_the_verdicts_are_a_table() -> None:
    verdicts = (
        Verdict("objective p99<5ms", "p99<5ms missed: 80% within 5 ms", "missed", "p99<5ms"),
        Verdict("the load saturated the server", "saturated", "finding"),
    )
    certificate = Certificate(valid=False, checks=(Check("generator lag", False, "moves p99"),))
    lines = markdown_text(result_of(_benchmark(verdicts=verdicts, certificate=certificate), "x-1")).splitlines()
    assert lines[0].startswith("**INVALID SLO missed: 80% within 5 ms")
    assert lines[2].startswith("**INVALID latency m: ")
    assert "| objective p99\\<5ms | missed | 80% within 5 ms |" in lines
    assert not any("saturated" in line for line in lines)
    assert "Certificate: INVALID: generator lag: moves p99" in lines
    assert lines[-1] == "<sub>servemark 1; x86\\_64, 2 CPUs, Linux; result x-1</sub>"


def test_the_answer_of_a_search_is_its_capacity_and_not_that_some_load_met_the_objective() -> None:
    found = Capacity("rate", "p99<5ms", 8.0, 10.0, "decided", (), Estimate(9.0, (8.0, 10.0)))
    verdict = Verdict("a load that meets p99<5ms", "p99<5ms holds at 8/s", "met", "p99<5ms")
    lines = markdown_text(result_of(_benchmark(capacity=found, verdicts=(verdict,)), "x-1")).splitlines()
    assert lines[0].startswith("**latency m: capacity 9/s (8 to 10): ")
    assert "| a load that meets p99\\<5ms | met | p99\\<5ms holds at 8/s |" in lines


def test_a_suite_begins_with_what_became_of_all_of_it() -> None:
    verdict = Verdict("at most 1% failed", "5 of 10 failed", "missed")
    invalid = Certificate(valid=False, checks=(Check("generator lag", False, "moves p99"),))
    states = {"latency-m": "failed", "load-m": "done", "ping-m": "done", "batching-m": "skipped", "http-m": "not run"}
    result = replace(
        result_of(_benchmark(failure=Failure("no | server", 4)), "x-1"),
        suite=Suite("mine", tuple(SuiteEntry(name, status, "") for name, status in states.items())),
        skipped=(Skipped("batching-m", "no room"),),
    )
    others = (_benchmark(name="load", verdicts=(verdict,)), _benchmark(name="ping", certificate=invalid))
    lines = markdown_text(replace(result, benchmarks=(*result.benchmarks, *others))).splitlines()
    assert lines[:9] == [
        (
            "**suite mine: 2 of 5 done; FAILED: latency m; INVALID: ping m; missed what was asked: load m; "
            "skipped: batching-m; not run: http-m**"
        ),
        "",
        "|  | benchmark | result |",
        "| --- | --- | --- |",
        r"| FAILED | latency m | no \| server |",
        "| missed | load m | nothing was measured |",
        "| INVALID | ping m | nothing was measured |",
        "| skipped | batching-m | no room |",
        "| not run | http-m |  |",
    ]
    assert lines[10] == r"**FAILED latency m: no \| server**"
    assert "batching-m: skipped: no room" not in lines


def test_words_of_others_stay_words() -> None:
    hostile = "a|b\n# h <img src=x> @team `rm` [x](http://h) \x1b[31m"
    text = markdown_text(result_of(_benchmark(failure=Failure(hostile, 4)), "x-1"))
    shown = text.splitlines()[0]
    assert "a\\|b \\# h \\<img src=x\\> \\@team \\`rm\\` \\[x\\](http://h)" in shown
    assert "\x1b" not in text
