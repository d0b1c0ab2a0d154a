"""Every benchmark, model and option against a server of our own: what is said, what is written, and that they agree."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from servemark import open_records
from servemark.servers import default_workers
from servemark.units import format_ms

pytestmark = pytest.mark.slow

SHORT = "--duration 1 --warmup 0.5"
ESCAPE = "\x1b"
BENCHMARKS = {
    "latency": f"latency -m noop -t 2 {SHORT}",
    "throughput": f"throughput -m noop {SHORT}",
    "ping": f"ping {SHORT}",
    "loops": "-t 5 latency -m noop-v1.0 -l 20 -w 1",
}


@pytest.fixture(scope="module")
def runs(module_command):
    """Each of the benchmarks, run once."""
    return {name: module_command().run(line) for name, line in BENCHMARKS.items()}


@pytest.fixture(params=BENCHMARKS)
def run(request, runs):
    return runs[request.param]


def test_a_run_succeeds(run):
    assert run.status == 0, run.stderr
    assert run.result["partial"] is False
    assert run.result["error"] is None
    passed = {check["name"] for check in run.benchmark["certificate"]["checks"] if check["passed"]}
    assert "accounted" in passed
    assert ("server unchanged" in passed) is (run.benchmark["model"] is not None)
    assert run.step["errors"] == {}
    assert run.step["requests"] == run.step["succeeded"] > 0


def test_the_result_directory_is_complete(run):
    names = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    assert {"result.json", "summary.csv", "requests.jtl", run.benchmark["runs"][0]["records"]} <= names
    assert {"server/config.properties", "server/mms_log.log", "server/output.log"} <= names
    assert str(run.folder.name) in run.stdout


def test_the_summary_leads_with_the_headline_and_fits_80_columns_without_escape_codes(run):
    lines = run.stdout.splitlines()
    latency = run.step["service_ms"]
    assert run.step["headline"] == "service"
    assert lines[0].removeprefix("INVALID ").startswith(run.benchmark["name"])
    p50, p99 = (f"{'' if latency[name]['ci95'] else '~'}{format_ms(latency[name]['value'])}" for name in ("p50", "p99"))
    assert f"p50 {p50}, p99 {p99}" in lines[0]
    assert ESCAPE not in run.stdout + run.stderr
    assert [line for line in lines if len(line) > 80 and not line.startswith("next ")] == []  # a command is one piece


def test_the_statistics_can_be_computed_from_the_records_alone(run):
    file = open_records(run.records)
    rows, step, one = file.memmap(), run.step, run.benchmark["runs"][0]
    assert len(rows) == step["requests"]
    assert int((rows["kind"] == 0).sum()) == step["succeeded"]
    start_ns, end_ns = (round(second * 1e9) for second in one["window_s"])
    ok = rows["kind"] == 0
    measured = rows[ok & (rows["scheduled"] >= start_ns) & (rows["scheduled"] < end_ns)]
    assert len(measured) == step["measured"]
    response_ms = (measured["end"] - measured["scheduled"]) / 1e6
    service_ms = (measured["end"] - measured["sent"]) / 1e6
    assert step["response_ms"]["mean"]["value"] == pytest.approx(response_ms.mean())
    assert step["response_ms"]["min"] == pytest.approx(response_ms.min())
    assert step["response_ms"]["max"] == pytest.approx(response_ms.max())
    assert step["service_ms"]["mean"]["value"] == pytest.approx(service_ms.mean())
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        around = np.quantile(response_ms, [share], method="lower"), np.quantile(response_ms, [share], method="higher")
        assert around[0] <= step["response_ms"][name]["value"] * (1 + 1e-9)
        assert step["response_ms"][name]["value"] <= around[1] * (1 + 1e-9)
    completed = ok & (rows["end"] >= start_ns) & (rows["end"] <= end_ns)
    rate = completed.sum() / (one["window_s"][1] - one["window_s"][0])
    assert step["throughput_per_s"]["value"] == pytest.approx(rate)


def test_the_clock_of_a_record_only_goes_forward(run):
    rows = open_records(run.records).memmap()
    for before, after in (("scheduled", "ready"), ("ready", "sent"), ("sent", "first_byte"), ("first_byte", "end")):
        assert (rows[before] <= rows[after]).all(), (before, after)


def test_requests_jtl_loads_in_pandas_with_jmeters_columns_and_types(run):
    table = pd.read_csv(run.folder / "requests.jtl")
    columns = (
        "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,"
        "sentBytes,grpThreads,allThreads,URL,Latency,IdleTime,Connect"
    )
    assert ",".join(table.columns) == columns
    whole = ["timeStamp", "elapsed", "responseCode", "bytes", "sentBytes", "allThreads", "Latency", "Connect"]
    assert all(pd.api.types.is_integer_dtype(table[name]) for name in whole)
    assert table["success"].dtype == bool
    assert len(table) == min(run.step["requests"], 100_000)
    assert table["success"].all()
    name, warmup = (
        run.step["name"],
        open_records(run.records).memmap()["scheduled"] < open_records(run.records).warmup_ns,
    )
    assert (table["label"] == f"{name} warm-up").tolist() == warmup.tolist()
    assert set(table["label"]) <= {name, f"{name} warm-up"}
    assert (table["responseCode"] == 200).all()
    assert table["bytes"].sum() == run.step["bytes_received"]
    assert table["allThreads"].max() == run.benchmark["runs"][0]["load"]["users"]
    started_ms = pd.Timestamp(run.result["started_at"]).timestamp() * 1000
    assert table["timeStamp"].between(started_ms, started_ms + 120_000).all()


def test_summary_csv_has_jmeters_columns_and_the_results_numbers(run):
    with (run.folder / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["Label"] == run.step["name"]
    assert int(row["# Samples"]) == run.step["measured"] + run.step["measured_failed"]
    assert float(row["Average"]) == pytest.approx(run.step["service_ms"]["mean"]["value"], abs=0.001)
    assert float(row["99% Line"]) == pytest.approx(run.step["service_ms"]["p99"]["value"], abs=0.001)
    assert float(row["Throughput"]) == pytest.approx(run.step["throughput_per_s"]["value"], abs=0.001)
    assert row["Error %"] == "0.00%"


def test_what_the_server_was_is_in_the_result(runs):
    server, one = runs["loops"].result["server"], runs["loops"].benchmark["runs"][0]
    assert (server["product"], server["version"], server["launcher"]) == ("Multi Model Server", "1.1.11", "managed")
    assert one["server"]["requested"]["workers"] == 1
    assert one["server"]["read_back"]["workers"] == 1
    assert runs["latency"].benchmark["runs"][0]["server"]["read_back"]["workers"] == default_workers()
    assert server["java"]
    assert runs["loops"].benchmark["backend"] in ("mxnet", "onnx")
    assert runs["loops"].benchmark["cold_start_ms"] > 0


def test_the_queue_holds_at_least_twice_the_threads(runs):
    assert runs["throughput"].benchmark["runs"][0]["load"]["users"] == 100
    assert runs["throughput"].result["server"]["job_queue_size"] == 200


def test_throughput_says_whether_it_saturated(runs):
    """Or that so few requests do not tell, where this machine was slow."""
    answers = {verdict["question"]: verdict["answer"] for verdict in runs["throughput"].benchmark["verdicts"]}
    assert answers["the load saturated the server"] in " ".join(runs["throughput"].stdout.split())
    assert "saturated" not in runs["latency"].stdout


def test_ping_serves_no_model(runs):
    assert runs["ping"].benchmark["model"] is None
    assert runs["ping"].benchmark["cold_start_ms"] is None
    assert "loading" not in runs["ping"].stderr


def test_loops_are_exact_and_all_of_them_are_measured(runs):
    step = runs["loops"].step
    assert step["requests"] == step["succeeded"] == step["measured"] == 5 * 20
    rows = open_records(runs["loops"].records).memmap()
    assert sorted(np.bincount(rows["user"]).tolist()) == [20] * 5
    assert runs["loops"].benchmark["model"] == "noop-v1.0"


def test_without_a_length_it_measures_for_a_minute_at_most(command):
    with command.started("latency -m noop -w 1 --think 0.005") as started:
        started.wait_for_line("measuring: 10 of at most 62 s")
        started.interrupt()
        run = started.end()
    assert run.status == 130


def test_without_a_length_it_measures_until_the_median_is_exact_and_p99_has_an_interval(command):
    """In a suite, where it may take 20 s and not a minute; of a user who pauses, which leaves others the machine."""
    entry = '[[benchmark]]\nname = "latency"\nmodel = "noop"\nworkers = 1\nthink = 0.005\n'
    (command.cwd / "mine.toml").write_text(entry)
    run = command.run("--suite mine.toml")
    assert run.status == 0
    one, p50 = run.benchmark["runs"][0], run.step["service_ms"]["p50"]
    assert run.step["measured"] >= 200, "400, of which at most a half can be warm-up"
    assert 2 <= one["warmup_s"] == one["window_s"][0]
    ended_s = one["window_s"][1] - 2
    assert 10 <= ended_s <= 22
    if ended_s < 19:  # asked of an interval that allows for several looks, and is wider than that of 95%
        low, high = p50["ci95"]
        assert (high - low) / 2 < 0.03 * p50["value"]
    assert "measuring: 10 of at most 22 s" in run.stderr


@pytest.mark.parametrize(
    ("words", "model"),
    [
        ("-m resnet-18 -w 1", "resnet-18"),
        ("-m lstm_ptb -w 1 --backend onnx", "lstm_ptb"),
        ("-m squeezenet", "squeezenet_v1.1"),
    ],
)
def test_every_model_of_the_zoo_is_measured(command, words, model):
    run = command.run(f"latency {words} -l 2 --options threads 3 --expect same")
    assert run.status == 0, run.stderr
    assert run.benchmark["model"] == model
    assert run.step["succeeded"] == 2 * 3
    if "onnx" in words:
        assert run.benchmark["backend"] == "onnx"


def test_an_input_that_the_model_refuses_is_said_with_what_the_server_says(command):
    (command.cwd / "bad.txt").write_text("no picture at all")
    run = command.run("latency -m squeezenet -i bad.txt -l 2 -w 1")
    assert run.status == 4
    assert "squeezenet" in run.error_line
    assert "refused the input" in run.error_line
    assert "bad.txt" in run.error_line
    assert "-i" in run.error_line
    assert run.result is None


def test_verbose_shows_commands_calls_and_the_servers_log_on_stderr_only(command):
    run = command.run("latency -v -l 1 -m noop -w 1")
    assert run.status == 0
    for shown in ("command: ", "multi-model-server", "POST ", "/models", "server: "):
        assert shown in run.stderr
        assert shown not in run.stdout
    assert run.step["requests"] == 1


def test_an_input_of_the_users_is_what_is_sent_and_json_is_the_result_alone_on_stdout_or_in_a_file(command):
    (command.cwd / "mine.txt").write_text("my own words " * 100)
    run = command.run("latency -m noop -i mine.txt -l 3 -w 1 --json - -o here")
    assert run.status == 0, run.stderr
    assert run.benchmark["options"]["inputs"] == ["mine.txt"]
    assert open_records(run.records).memmap()["bytes_sent"].min() > 1300
    assert json.loads(run.stdout) == run.result
    assert run.stdout == (command.cwd / "here" / "result.json").read_text()
    again = command.run("ping -t 2 -l 3 --json copy.json -o here --force")
    assert again.status == 0
    assert json.loads((command.cwd / "copy.json").read_text()) == again.result
    assert again.stdout.removeprefix("INVALID ").startswith("ping: ")


def test_a_json_file_that_cannot_be_written_is_refused_before_anything_is_measured(command):
    run = command.run("latency -m noop -l 3 --json no/such/folder/result.json")
    assert run.status == 2
    assert "no/such/folder/result.json" in run.error_line
    assert "starting" not in run.stderr


def test_an_output_folder_that_is_not_empty_needs_force(command):
    (command.cwd / "full").mkdir()
    (command.cwd / "full" / "precious").write_text("mine")
    run = command.run("latency -m noop -l 3 -o full")
    assert run.status == 2
    assert "full is not empty; give another -o, or --force" in run.error_line
    assert [path.name for path in (command.cwd / "full").iterdir()] == ["precious"]


@pytest.mark.parametrize("place", ["a-file", "a-file/below", "/proc/servemark"])
def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_is_started(command, place):
    (command.cwd / "a-file").write_text("")
    run = command.run(f"latency -m noop -l 3 -o {place}")
    assert run.status == 2
    assert place in run.error_line
    assert "give -o" in run.error_line
    assert "starting" not in run.stderr
