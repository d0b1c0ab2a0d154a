"""Benchmarks of several points against a real server: one result, a run and a row each."""

from __future__ import annotations

import csv
import signal

import pytest

from servemark import open_records

pytestmark = pytest.mark.slow

SHORT = "--duration 0.5 --warmup 0.2"


def test_concurrent_inference_measures_each_number_of_threads_on_one_server(command):
    run = command.run(f"concurrent_inference -m noop --options threads 1,2,3,4 {SHORT}")
    assert run.status == 0, run.stderr
    assert run.benchmark["steps"] == []
    runs = list(run.answering.values())
    assert [one["point"] for one in runs] == [{"threads": n} for n in (1, 2, 3, 4)]
    assert [one["load"]["users"] for one in runs] == [1, 2, 3, 4]
    for one in runs:
        assert one["steps"][0]["requests"] == open_records(run.folder / one["records"]).rows > 0
    law = run.benchmark["analysis"]["scalability"]
    of_a_law = {"lambda_per_s", "sigma", "kappa", "r2", "off_share", "peak_users", "least_users", "most_users"}
    assert law.keys() in ({"refused"}, of_a_law)
    assert run.stderr.count("starting Multi Model Server") == run.stderr.count("loading noop") == 1
    with (run.folder / "summary.csv").open() as file:
        assert [row["Label"] for row in csv.DictReader(file)] == [f"predict threads={n}" for n in (1, 2, 3, 4)]


def test_batching_registers_each_configuration_and_reads_it_back(command):
    run = command.run(f"batching -m noop --options batch_size 1,3 max_batch_delay 5,20 workers 1,2 {SHORT}")
    assert run.status == 0, run.stderr
    places, runs = list(run.answering), list(run.answering.values())
    assert [one["point"] for one in runs] == [
        {"batch_size": size, "max_batch_delay_ms": delay, "workers": workers}
        for workers in (1, 2)
        for size, delay in ((1, 5), (3, 5), (3, 20))
    ]
    for one in runs:
        assert one["server"]["read_back"] == one["point"]
    front = run.benchmark["analysis"]["pareto_runs"]
    rates = [one["steps"][0]["throughput_per_s"]["value"] for one in runs]
    assert places[rates.index(max(rates))] in front
    lines = run.stdout.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.endswith(" best")]
    rows = lines[head + 1 : head + 1 + len(runs)]
    assert [row.endswith("*") for row in rows] == [place in front for place in places], run.stdout
    assert max(map(len, run.stdout.splitlines()[:-2])) <= 80


def test_ctrl_c_keeps_the_points_that_were_measured(command):
    with command.started("concurrent_inference -m noop --options threads 1,2,3 --duration 2 --warmup 0") as started:
        started.wait_for_line("point 2 of 3")
        started.wait_for("records", lambda: list(command.cwd.rglob("records/*-2.bin")))
        started.interrupt(signal.SIGINT)
        run = started.end()
    assert run.status == 130
    assert [one["point"]["threads"] for one in run.benchmark["runs"]] == [1, 2]
    assert run.result["partial"] is True
    assert "PARTIAL" in run.stdout
