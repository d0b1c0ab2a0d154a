"""A result as Markdown: the answers, and nothing in it that is more than text."""

from __future__ import annotations

from dataclasses import replace

from servemark.report.markdown import markdown_text
from servemark.result import (
    AskedOptions,
    BenchmarkResult,
    Capacity,
    Certificate,
    Change,
    Check,
    ComparedBenchmark,
    Comparison,
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


def _compared(**changes: object) -> ComparedBenchmark:
    shift = (0.1, (0.05, 0.15), 0.01)
    change = Change("predict", {}, "p99_ms", (10.0, 10.0), (11.0, 11.0), *shift, "slower", certain=False)
    fields: dict[str, object] = {
        "name": "latency m",
        "answer": "slower",
        "trials": (5, 5),
        "left_out": (0, 1),
        "changes": (change,),
    }
    return ComparedBenchmark(**(fields | changes))  # type: ignore[arg-type]


def _lines_of_comparison(*benchmarks: ComparedBenchmark, **changes: object) -> list[str]:
    comparison = replace(Comparison("b", "n", 0.02, "slower", benchmarks), **changes)  # type: ignore[arg-type]
    return markdown_text(replace(result_of(_benchmark(), "n"), comparison=comparison)).splitlines()


def test_a_comparison_names_each_benchmark_and_says_what_was_not_compared() -> None:
    lacking = ("only the base has the step chat",)
    other = _compared(name="load m", lacking=lacking, unlike={"kernel": ("6.1", "6.2")}, told={"workers": ("1", "2")})
    lines = _lines_of_comparison(_compared(), other, only_in_base=("ping m",))
    at = lines.index("**load m: slower: predict p99 +10.0% (+5.0 to +15.0), p 0.010**")
    assert lines[at + 1 : at + 5] == [
        "",
        "|  | base | new | % | 95% interval | p |  |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        r"| p99 ms | \~10.00 | \~11.00 | +10.0 | +5.0 to +15.0 | 0.010 | slower |",
    ]
    assert lines.index("**latency m: slower: predict p99 +10.0% (+5.0 to +15.0), p 0.010**") < at
    assert "- not compared: only the base has the step chat" in lines
    assert "- not compared: only the base has ping m" in lines
    assert "- unlike: kernel 6.1 and 6.2" in lines
    assert "- changed: workers 1, now 2" in lines
    assert "- trials: 5 of the base, 5 of the new; left out, INVALID, cut off or failed: 0 and 1" in lines
    assert any(line.startswith(r"- \~: too few requests") for line in lines)


def test_the_only_one_that_was_compared_is_named_where_there_are_others() -> None:
    name = "**latency m: slower: predict p99 +10.0% (+5.0 to +15.0), p 0.010**"
    assert name not in _lines_of_comparison(_compared())
    assert name in _lines_of_comparison(_compared(), only_in_new=("ping m",))


def test_both_sides_of_a_pair_are_called_as_the_terminal_calls_them() -> None:
    assert "|  | A | B | % | 95% interval | p |  |" in _lines_of_comparison(_compared(by_block=True))


def test_a_comparison_that_was_refused_is_one_sentence() -> None:
    lines = _lines_of_comparison(_compared(), answer="undecided", refused="unlike runs: kernel 1 and 2")
    assert lines[0] == "**undecided: unlike runs: kernel 1 and 2**"
    assert not any("base" in line for line in lines)


def test_words_of_others_stay_words() -> None:
    hostile = "a|b\n# h <img src=x> @team `rm` [x](http://h) &lt; www.h \x1b[31m"
    text = markdown_text(result_of(_benchmark(failure=Failure(hostile, 4)), "x-1"))
    shown = text.splitlines()[0]
    assert "a\\|b \\# h \\<img src=x\\> \\@team \\`rm\\` \\[x\\](http\\://h) \\&lt; www\\.h" in shown
    assert "\x1b" not in text
