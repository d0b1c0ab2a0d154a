"""What is printed on any terminal: marks of what no check looked at, reasons of INVALID, suites, and no cut words."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from servemark.report import csv as summary_csv
from servemark.report.directory import result_text
from servemark.report.terminal import print_summary
from servemark.result import (
    IMPORTED,
    AskedOptions,
    Certificate,
    Check,
    LatencySummary,
    Result,
    Skipped,
    Statistic,
    Suite,
    SuiteEntry,
    from_json,
    to_json,
)

from .test_reports import INVALID, OF_A_SUITE, SOME, SOME_FAILED, STEP, VALID, latency, printed, result, rows_of

LAG = Check(
    "generator lag (predict)",
    False,
    "generator lag moves p99 of the response by 8.1 ms, limit 0.5 ms",
    8.1,
    0.5,
    "ms",
    cause="the server uses all 2 cores",
    advice=("lower --rate", "measure on a machine with more CPUs"),
)


def test_why_a_run_is_invalid_is_readable_in_80_columns(capsys):
    lines = printed(capsys, result(certificate=Certificate(False, (LAG, *VALID.checks)))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("INVALID  "))
    assert lines[at : at + 4] == [
        "INVALID        generator lag (predict): generator lag moves p99 of the response",
        "               by 8.1 ms, limit 0.5 ms",
        "why            the server uses all 2 cores",
        "what to do     lower --rate or measure on a machine with more CPUs",
    ]


def test_an_invalid_run_says_each_reason_once_where_it_was_worst_and_where_else(capsys):
    at = [
        replace(
            LAG,
            name=f"generator lag (predict; threads {n})",
            measured=n,
            cause=f"the server uses all {n} cores",
            reason=f"moves p99 by {n}.0 ms",
        )
        for n in (2, 4)
    ]
    loopback = replace(LAG, name="loopback self-test (predict; threads 2)", advice=("run again", "lower --rate"))
    accounted = Check("accounted (threads 4)", False, "2 are missing", 8, 10, "records", "it is wrong", ("run again",))
    text = printed(capsys, result(certificate=Certificate(False, (*at, loopback, accounted))))
    said = " ".join(text.split())
    assert "INVALID generator lag (predict; threads 4): moves p99 by 4.0 ms; less so: predict; threads 2" in said
    assert text.count("INVALID  ") == 3, "one line a kind of check"
    assert text.count("the server uses all") == text.count("lower --rate") == text.count("run again") == 1
    assert "why the server uses all 2 cores; it is wrong" in said, "of the loopback's, which is 16 times its limit"


def test_a_certificate_of_an_engine_that_tells_no_times_says_that_none_was_looked_at(capsys):
    of_jmeter = Certificate(True, (VALID.checks[0], Check("clock", None, "JMeter does not tell it"), VALID.checks[2]))
    text = " ".join(printed(capsys, result(certificate=of_jmeter)).split())
    assert "certificate valid, 2 checks passed; none of them looks at the times of requests" in text


def without_intervals(found: LatencySummary, *names: str) -> LatencySummary:
    return replace(found, **{name: replace(getattr(found, name), ci95=None, needs_n=368) for name in names})


FEW = replace(
    STEP,
    requests=24,
    succeeded=24,
    measured=24,
    response_ms=without_intervals(latency(), "mean", "p90", "p95", "p99"),
    throughput_per_s=Statistic(48.77, None, 30),
)


def test_what_no_check_has_looked_at_is_marked_wherever_it_is_printed(capsys):
    text = printed(capsys, result(FEW))
    lines = text.splitlines()
    assert lines[0] == "latency resnet-18: p50 20.0 ms, p99 ~40.0 ms"
    table = {line.split()[0]: line.split()[1] for line in lines[9:17]}
    assert table == {
        "mean": "~20.50",
        "p50": "20.00",
        "p90": "~25.00",
        "p95": "~27.00",
        "p99": "~40.00",
        "p99.9": "~55.00",
        "min": "18.25",
        "max": "60.00",
    }
    assert "throughput     ~48.77/s (no interval below 30 requests)" in lines
    assert "~              too few requests for an interval: it may be far off" in lines


def test_where_all_is_certified_there_is_neither_mark_nor_legend(capsys):
    certain = replace(latency(), p99_9=Statistic(55.0, (54.0, 56.0)))
    step = replace(STEP, response_ms=certain, service_ms=certain, client_queue_ms=certain, generator_lag_ms=certain)
    print_summary(result(step), Path("/home/~7/x"))
    assert "~" not in capsys.readouterr().out.replace("/home/~7/x", "")


def test_summary_csv_names_what_is_not_certified_and_keeps_numbers_numbers():
    def last(what: Result) -> str:
        out = io.StringIO()
        summary_csv.write(out, what)
        (row,) = rows_of(out.getvalue())
        assert float(row["99% Line"]) == 40.0
        return row["Not certified"]

    assert last(result()) == ""
    assert last(result(FEW)) == "Average, 90% Line, 95% Line, 99% Line, Throughput"
    assert last(result(certificate=INVALID)) == "all: INVALID"
    assert last(result(certificate=Certificate(True, (Check(IMPORTED, None, "nothing vouches"),)))) == "all: imported"


@pytest.mark.parametrize("variable", ["", "1"])
def test_no_color_takes_away_bold_and_dim_too(capsys, monkeypatch, variable):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", variable)
    assert ("\x1b" in printed(capsys, result())) is not bool(variable)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140])
@pytest.mark.parametrize("step", [STEP, SOME_FAILED, FEW], ids=["good", "failed", "few"])
def test_no_word_is_cut_at_any_width(capsys, monkeypatch, width, step):
    monkeypatch.setenv("COLUMNS", "300")
    uncut = set(printed(capsys, result(step, certificate=Certificate(False, (LAG,)))).split())
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, result(step, certificate=Certificate(False, (LAG,)))).splitlines()
    words = {word.strip(",()") for word in uncut}
    assert [word for line in lines for word in line.split() if word.strip(",()") not in words] == []
    assert [line for line in lines if len(line) > width and len(line.split()) > 2] == []


def test_a_wide_terminal_shows_more(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    lines = printed(capsys, result()).splitlines()
    assert lines[8].split() == ["ms", "response", "95%", "interval", "service", "waited", "sent", "late"]
    closed = printed(capsys, result(replace(STEP, headline="service"))).splitlines()
    assert closed[8].split() == ["ms", "service", "95%", "interval", "sent", "late", "response", "waited"]


def suite_of(*statuses: str) -> Suite:
    names = ("latency-resnet", "load-resnet", "http-x", "ping", "batching-lstm", "multiple_models")
    return Suite(
        "mine", tuple(SuiteEntry(name, status, "0" * 64) for name, status in zip(names, statuses, strict=False))
    )


def a_suite() -> Result:
    (good,) = result().benchmarks
    failed = replace(good, name="load", **OF_A_SUITE[4])
    invalid = replace(
        good, name="http", model=None, options=AskedOptions(url="http://h:1/x", method="GET"), certificate=INVALID
    )
    return replace(
        result(partial=True),
        benchmarks=(good, failed, invalid, replace(good, name="ping", model=None, partial=True)),
        skipped=(Skipped("batching-lstm", "no room for it in 2 GiB"),),
        suite=suite_of("done", "failed", "done", "partial", "skipped", "not run"),
    )


def test_a_suite_ends_with_a_table_of_all_its_benchmarks_whatever_became_of_them(capsys):
    lines = printed(capsys, a_suite()).splitlines()
    assert lines[-9:-2] == [
        "         benchmark          result",
        "done     latency resnet-18  p50 20.0 ms, p99 40.0 ms",
        "FAILED   load resnet-18     the server did not start",
        "INVALID  http h:1           48.77/s, p50 20.0 ms, p99 40.0 ms",
        "PARTIAL  ping               48.77/s, p50 20.0 ms, p99 40.0 ms",
        "skipped  batching-lstm      no room for it in 2 GiB",
        "not run  multiple_models",
    ]
    assert [number for number, line in enumerate(lines) if line.startswith("~ ")] == [len(lines) - 2], "once for all"
    assert lines[-1] == "results        servemark-results/x"


@pytest.mark.parametrize("width", [40, 60, 140])
def test_that_table_cuts_no_word(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys, a_suite())
    table = text[text.rindex("multiple_models") - 2000 :]
    for words in ("the server did not start", "no room for it in 2 GiB", "not run", "multiple_models"):
        assert words in " ".join(table.split())
    assert max(map(len, text.splitlines())) <= width


def test_a_result_can_be_read_back(tmp_path):
    for what in (result(SOME_FAILED), a_suite(), result(replace(STEP, events=SOME))):
        again = from_json(json.loads(result_text(what)))
        assert again == from_json(to_json(again))
        assert result_text(again) == result_text(what)


@pytest.mark.parametrize("data", [None, [], {}, {"schema": "servemark/result/1"}, {"schema": "servemark/result/2"}])
def test_what_is_no_result_is_not_read(data):
    with pytest.raises(ValueError, match="servemark/result/2"):
        from_json(data)


def test_a_goodput_of_nothing_is_said_in_words_and_a_time_that_it_takes_is_more_than_was_measured(capsys):
    print_summary(result(replace(STEP, goodput_per_s=Statistic(0.0, None, 100))), Path("out"))
    assert fact_of(capsys.readouterr().out, "goodput") == "0/s: no request was within the SLO's times"
    print_summary(result(replace(STEP, goodput_per_s=Statistic(2.0, None, None, 2.01))), Path("out"))
    assert fact_of(capsys.readouterr().out, "goodput") == "~2.000/s (no interval below 3 s) within the SLO's times"


def fact_of(out: str, label: str) -> str:
    return next(line for line in out.splitlines() if line.startswith(label)).removeprefix(label).strip()
