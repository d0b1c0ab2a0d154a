"""The command with ``--engine jmeter``: a real JMeter against a real server."""

from __future__ import annotations

import csv
import shutil

import pytest

from servemark import open_records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("java") and shutil.which("mvn")), reason="no Java or no Maven: JMeter cannot be assembled"
    ),
]


def test_jmeter_sends_exactly_what_was_asked_for_and_makes_its_own_reports(command):
    run = command.run("throughput -m noop -t 3 -l 20 --engine jmeter")
    assert run.status == 0, run.stderr
    assert run.result["tool"]["engine"] == "jmeter"
    assert run.result["tool"]["engine_versions"]["jmeter"] == "5.6.3"
    assert run.step["requests"] == run.step["succeeded"] == 60 == open_records(run.records).rows
    lag = [check for check in run.benchmark["certificate"]["checks"] if "lag" in check["name"]]
    assert [check["passed"] for check in lag] == [None]
    own = run.folder / "jmeter" / "throughput"
    with (own / "aggregate.csv").open() as file:
        counts = {row["Label"]: int(row["# Samples"]) for row in csv.DictReader(file)}
    assert counts["predict"] == 60
    assert (own / "dashboard" / "index.html").exists()
    assert (own / "plan.jmx").exists()


def test_what_jmeter_cannot_do_is_refused(command):
    run = command.run("latency -m noop --duration 1.5 --engine jmeter")
    assert run.status == 2
    assert "JMeter" in run.error_line
