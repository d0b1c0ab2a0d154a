"""Metrics: as OpenMetrics that its own parser takes, in base units; and the dashboard that shows them."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from servemark.report.formats import FORMATS
from servemark.report.metrics import METRICS
from servemark.report.openmetrics import metric_name, report
from servemark.report.recorded import RecordedResult
from servemark.result import AskedOptions, Capacity, Estimate, Result, Statistic, Verdict

from ..pages import ROOT
from .results import OPEN
from .test_reports import INVALID, SOME, SOME_FAILED, STEP, TOKENS, result

#: A metric in a page.
_NAME = re.compile(r"`(servemark_\w+)`")
#: The names of all samples that there can be.
NAMES = {"servemark_result_info", *map(metric_name, METRICS.values())}
DASHBOARD = ROOT / "docs" / "grafana" / "servemark.json"


def text_of(what: Result) -> str:
    out = io.StringIO()
    report(out, RecordedResult(what, Path("none")))
    return out.getvalue()


def parsed(what: Result) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples by name, as the reference parser reads them."""
    found = defaultdict(list)
    for family in text_string_to_metric_families(text_of(what)):
        for sample in family.samples:
            found[sample.name].append((sample.labels, sample.value))
    return found


def value_of(what: Result, name: str, **labels: str) -> float:
    """The one sample of that name that has these labels."""
    (value,) = [value for known, value in parsed(what)[name] if labels.items() <= known.items()]
    return value


def test_figures_are_in_base_units_with_the_bounds_of_their_intervals():
    what = result()
    p99 = {"latency": "headline", "statistic": "p99", "benchmark": "latency", "model": "resnet-18", "step": "predict"}
    assert value_of(what, "servemark_latency_seconds", **p99) == pytest.approx(0.04)
    assert value_of(what, "servemark_latency_ci95_low_seconds", **p99) == pytest.approx(0.035)
    assert value_of(what, "servemark_latency_ci95_high_seconds", **p99) == pytest.approx(0.05)
    assert value_of(what, "servemark_latency_seconds", latency="service", statistic="max") == pytest.approx(0.054)
    assert value_of(what, "servemark_throughput_per_second") == 48.77
    assert value_of(what, "servemark_cold_start_seconds") == pytest.approx(0.1015)
    assert value_of(what, "servemark_measured_seconds") == pytest.approx(10.3)
    assert value_of(what, "servemark_received_bytes") == 512_000
    assert value_of(what, "servemark_valid") == 1


def test_a_figure_without_an_interval_has_no_bounds():
    bounds = parsed(result())["servemark_latency_ci95_low_seconds"]
    assert not [labels for labels, _ in bounds if labels["statistic"] == "p99_9"]


def test_failures_are_counted_by_kind():
    what = result(SOME_FAILED)
    assert value_of(what, "servemark_errors", kind="http_status:503") == 15
    assert value_of(what, "servemark_requests", of="sent", outcome="failed") == 20
    assert value_of(what, "servemark_requests", of="measured", outcome="failed") == 18
    assert value_of(what, "servemark_requests", of="measured", outcome="succeeded") == 430


def test_what_is_invalid_says_so_and_an_import_says_neither():
    assert value_of(result(certificate=INVALID), "servemark_valid") == 0
    imported = replace(INVALID, valid=True, checks=(replace(INVALID.checks[0], name="imported", passed=None),))
    assert parsed(result(certificate=imported))["servemark_valid"] == []


def test_conditions_have_their_outcome_and_findings_are_none():
    verdicts = (Verdict("p99<50ms", "answer", "missed"), Verdict("saturated?", "answer", "finding"))
    found = parsed(result(verdicts=verdicts))["servemark_verdict"]
    assert [(labels["question"], labels["outcome"], value) for labels, value in found] == [("p99<50ms", "missed", 1)]


def test_open_loops_streams_goodput_and_capacity_have_their_own():
    what = result(replace(STEP, events=SOME, goodput_per_s=Statistic(40.0, (39.0, 41.0))))
    (benchmark,) = what.benchmarks
    run = replace(benchmark.runs[0], load=OPEN)
    found = Capacity("rate", None, 90.0, 110.0, "decided", (), Estimate(100.0, (95.0, 105.0)), None)
    what = replace(what, benchmarks=(replace(benchmark, runs=(run,), capacity=found),))
    assert value_of(what, "servemark_offered_per_second") == 20
    assert value_of(what, "servemark_events_per_second") == 4993.8
    assert value_of(what, "servemark_goodput_ci95_high_per_second") == 41
    assert value_of(what, "servemark_latency_seconds", latency="first_event", statistic="p50") == 0.00125
    assert value_of(what, "servemark_capacity", by="rate") == 100
    assert value_of(what, "servemark_capacity_ci90_low") == 95


def test_tokens_have_their_rate_and_all_their_times():
    what = result(replace(STEP, events=SOME, tokens=TOKENS))
    assert value_of(what, "servemark_output_tokens_per_second") == 4993.8
    assert value_of(what, "servemark_output_tokens_ci95_low_per_second") == 4900
    times = {labels["latency"] for labels, _ in parsed(what)["servemark_latency_seconds"]}
    assert times > {"first_event", "between_events", "first_token", "first_said", "time_per_output_token"}
    assert times > {"between_content", "longest_gap", "tail"}
    assert value_of(what, "servemark_latency_seconds", latency="first_said", statistic="p50") == pytest.approx(0.04)
    assert value_of(what, "servemark_latency_seconds", latency="between_events", statistic="max") == 1.2345


def test_the_page_of_formats_has_every_name_that_is_written():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| (`servemark_.*?) \|", page, re.MULTILINE) for name in _NAME.findall(row)
    }
    assert documented == {name for name in NAMES if not re.search("_ci9[05]_(low|high)", name)}
    beside = set(_NAME.findall(page)) - documented
    assert beside
    assert beside - NAMES == set()


def test_points_and_benchmarks_of_one_name_are_told_apart():
    (benchmark,) = result().benchmarks
    runs = tuple(replace(benchmark.runs[0], point={"threads": number}) for number in (1, 4))
    several = replace(benchmark, runs=runs, steps=())
    what = replace(result(), benchmarks=(several, several))
    labels = [known for known, _ in parsed(what)["servemark_throughput_per_second"]]
    assert [(one["number"], one["point"]) for one in labels] == [
        ("1", "threads 1"),
        ("1", "threads 4"),
        ("2", "threads 1"),
        ("2", "threads 4"),
    ]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\x1b[31m", "ä"])
def test_whatever_a_name_holds_the_text_can_be_read(name):
    what = result(model=name, options=AskedOptions(url="http://h/"))
    (labels,) = {one["model"] for one, _ in parsed(what)["servemark_partial"]}
    assert labels == name.replace("\x1b", "\\x1b")


def test_the_text_says_its_units_and_ends_as_it_has_to():
    text = text_of(result())
    assert text.endswith("# EOF\n")
    assert "# UNIT servemark_latency_seconds seconds\n" in text
    assert "# UNIT servemark_received_bytes bytes\n" in text
    assert len(re.findall("^# TYPE", text, re.MULTILINE)) == len(re.findall("^# HELP", text, re.MULTILINE))


def test_every_metric_has_a_name_of_its_own():
    assert len(NAMES) == len(METRICS) + 1
    assert all(re.fullmatch(r"servemark_[a-z0-9_]+", name) for name in NAMES)


def test_the_textfile_collector_takes_the_name_of_the_file():
    assert FORMATS["openmetrics"].file.endswith(".prom")


def expressions(value: object) -> list[str]:
    """All that the dashboard asks Prometheus."""
    if isinstance(value, dict):
        own = [text for key, text in value.items() if key in ("expr", "query") and isinstance(text, str)]
        return own + [one for item in value.values() for one in expressions(item)]
    return [one for item in value for one in expressions(item)] if isinstance(value, list) else []


def test_every_metric_of_the_dashboard_is_one_that_is_written_with_labels_that_it_has():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [text for text in expressions(dashboard) if "servemark" in text]
    assert len(asked) > 10
    assert not [text for text in asked if " by (" in text], "benchmarks of one name and results of one model are apart"
    names = {name for text in asked for name in re.findall(r"\bservemark_\w+", text)}
    assert names - NAMES == set()
    what = result(SOME_FAILED, verdicts=(Verdict("q", "a", "missed"),))
    found = Capacity("rate", None, 90.0, 110.0, "decided", (), Estimate(100.0, None), None)
    what = replace(what, benchmarks=(replace(what.benchmarks[0], capacity=found),))
    labels = {name: {label for known, _ in several for label in known} for name, several in parsed(what).items()}
    for text in asked:
        for name, given in re.findall(r"\b(servemark_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)=~?\"", given)) - labels[name] == set(), text
