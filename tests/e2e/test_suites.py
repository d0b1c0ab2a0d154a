"""``--all`` and ``--suite``: several benchmarks, one result; a failure stops none of the others."""

from __future__ import annotations

import csv
import re

import pytest

pytestmark = pytest.mark.slow

ALL = [
    "latency",
    "throughput",
    "load",
    "repeated_scale_calls",
    "concurrent_inference",
    "ping",
    "multiple_models",
]


def test_all_is_of_resnet_and_tells_time_and_memory_before_anything_runs(command):
    with command.started("--all") as started:
        started.wait_for_line("benchmark 1 of 7: latency-resnet")
        started.interrupt()
        run = started.end()
    assert run.status == 130
    said, first = run.stderr.index("suite all: 7 of 7 benchmarks"), run.stderr.index("benchmark 1 of 7")
    expected = run.stderr[said:first].splitlines()
    of_resnet = [line.split()[0] for line in expected if "-resnet: " in line]
    assert of_resnet == [f"{name}-resnet:" for name in ALL if name not in ("ping", "multiple_models")]
    assert sum(" GiB" in line for line in expected) == 6, "ping serves no model"


def test_all_runs_the_originals_five_then_ping_and_multiple_models(command):
    """Of a model that is loaded at once: what each benchmark makes of those of the zoo is seen where it is tested."""
    with command.started("--all -m noop --duration 1 --warmup 0.3 --think 0.01") as started:
        run = started.end(timeout_s=1200)
    assert run.status == 0, run.stderr
    assert [benchmark["name"] for benchmark in run.result["benchmarks"]] == ALL
    assert run.result["partial"] is False
    assert run.result["skipped"] == []
    for benchmark in run.result["benchmarks"]:
        assert benchmark["failure"] is None
        assert benchmark["runs"]
        assert benchmark["server"]["launcher"] == "managed"
    assert sorted(path.name for path in (run.folder / "server").iterdir())[0] == "1-latency-noop"
    assert {path.name.split("-")[0] for path in (run.folder / "records").iterdir()} == set("1234567")
    table = [line.split()[:2] for line in run.stdout.rpartition("\n\n")[2].splitlines()]
    assert [row for row in table if row[0] in ("done", "INVALID")] == [
        ["done" if benchmark["certificate"]["valid"] else "INVALID", benchmark["name"]]
        for benchmark in run.result["benchmarks"]
    ], "a row each, also on 80 columns"
    for number, name in enumerate(ALL[:-1], 1):
        (told,) = re.finditer(rf"^(?:INVALID )?{name}[ :].*(?:/s|ms| s)", run.stderr, re.MULTILINE)
        assert told.start() < run.stderr.index(f"benchmark {number + 1} of 7"), "each headline when it is there"
    *summary, results, next_step = run.stdout.splitlines()
    assert max(map(len, summary)) <= 80
    assert results.startswith("results  ")
    assert "--suite batching" in next_step


def test_one_that_fails_stops_no_other_and_its_status_is_the_commands(command):
    (command.cwd / "bad.txt").write_text("no image")
    (command.cwd / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "ping"
        loops = 10
        [[benchmark]]
        name = "latency"
        input = "bad.txt"
        workers = 1
        [[benchmark]]
        name = "latency"
        model = "noop"
        loops = 10
        """
    )
    run = command.run("--suite mine.toml")
    assert run.status == 4
    ping, failed, last = run.result["benchmarks"]
    assert (ping["failure"], last["failure"]) == (None, None)
    assert failed["failure"]["exit_status"] == 4
    assert "bad.txt" in failed["failure"]["message"]
    assert failed["runs"] == []
    assert last["steps"][0]["succeeded"] == 10
    assert run.result["partial"] is True
    assert run.result["error"] == failed["failure"]["message"]
    assert "FAILED latency resnet" in run.stdout
    with (run.folder / "summary.csv").open() as file:
        labels = [row["Label"] for row in csv.DictReader(file)]
    assert labels == ["ping: ping", "latency noop-v1.0: predict"]


def test_what_would_not_fit_is_skipped_by_name_unless_forced(command):
    (command.cwd / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "repeated_scale_calls"
        model = "noop"
        options = { scale_up_workers = 1000000 }
        [[benchmark]]
        name = "ping"
        loops = 10
        """
    )
    run = command.run("--suite mine.toml")
    assert run.status == 0, run.stderr
    (skipped,) = run.result["skipped"]
    assert skipped["name"] == "repeated_scale_calls-noop"
    assert "1000000 workers would not fit in memory" in skipped["reason"]
    assert [benchmark["name"] for benchmark in run.result["benchmarks"]] == ["ping"]
    assert "skipped" in run.stdout
    assert "(--force tries it)" in run.stderr


def test_when_nothing_fits_the_result_says_what_was_skipped(command):
    (command.cwd / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "repeated_scale_calls"
        model = "noop"
        options = { scale_up_workers = 1000000 }
        """
    )
    run = command.run("--suite mine.toml")
    assert run.status == 4
    assert [skipped["name"] for skipped in run.result["skipped"]] == ["repeated_scale_calls-noop"]
    assert "skipped repeated_scale_calls-noop 1000000 workers would not fit" in " ".join(run.stdout.split())


def test_ctrl_c_in_the_middle_keeps_what_was_measured_and_begins_nothing_more(command):
    (command.cwd / "mine.toml").write_text(
        """
        [[benchmark]]
        name = "ping"
        loops = 10
        [[benchmark]]
        name = "ping"
        duration = 60
        think = 0.01
        [[benchmark]]
        name = "latency"
        model = "noop"
        """
    )
    with command.started("--suite mine.toml") as started:
        started.wait_for_line("benchmark 2 of 3")
        started.wait_for_line("measuring: 10")
        started.interrupt()
        run = started.end()
    assert run.status == 130
    first, second = run.result["benchmarks"]
    assert (first["partial"], second["partial"], run.result["partial"]) == (False, True, True)
    assert (run.result["error"], run.result["server"]["launcher"]) == ("interrupted", "managed")
    assert second["steps"][0]["succeeded"] > 0
    assert "benchmark 3" not in run.stderr
    assert [entry["status"] for entry in run.result["suite"]["entries"]] == ["done", "partial", "not run"]
    assert "not run  latency-noop" in run.stdout
    assert f"--resume {run.folder.relative_to(command.cwd)}" in run.stdout.splitlines()[-1]
