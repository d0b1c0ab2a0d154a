"""Reports of results made by hand: the terminal's words, the CSV files, the folder they are in, and the exit status."""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import pytest

from servemark.errors import OutputError, RecordingError
from servemark.report import csv as summary_csv
from servemark.report import jtl
from servemark.report.directory import ResultDirectory, check_not_written
from servemark.report.terminal import print_summary
from servemark.result import (
    INTERRUPTED,
    UNSTAMPED_CLOCK,
    AdaptiveLength,
    AskedOptions,
    BenchmarkResult,
    Certificate,
    Check,
    Disturbance,
    ErrorExample,
    EventSummary,
    Failure,
    GapSummary,
    Incident,
    LatencySummary,
    OutputTokens,
    Result,
    RunResult,
    Skipped,
    Spread,
    Statistic,
    StepSummary,
    Suite,
    SuiteEntry,
    Telemetry,
    TokenSummary,
    Verdict,
    schema_text,
    to_json,
)
from servemark.verdict import errors_within, exit_status, saturated

from .results import CLOSED, MACHINE, TOOL

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
NOTHING = Statistic(None, None, 6)


def latency(scale: float = 1.0) -> LatencySummary:
    def known(value: float, low: float, high: float) -> Statistic:
        return Statistic(value * scale, (low * scale, high * scale))

    return LatencySummary(
        mean=known(20.5, 20.1, 20.9),
        p50=known(20.0, 19.8, 20.2),
        p90=known(25.0, 24.5, 25.5),
        p95=known(27.0, 26.0, 28.0),
        p99=known(40.0, 35.0, 50.0),
        p99_9=Statistic(55.0 * scale, None, 3688),
        min=18.25 * scale,
        max=60.0 * scale,
        stddev=3.0 * scale,
    )


NO_LATENCY = LatencySummary(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, None, None, None)
STEP = StepSummary(
    name="predict",
    requests=500,
    succeeded=500,
    measured=450,
    errors={},
    error_examples=(),
    throughput_per_s=Statistic(48.77, (47.1, 50.2)),
    response_ms=latency(),
    service_ms=latency(0.9),
    client_queue_ms=latency(0.0),
    generator_lag_ms=latency(0.001),
    failed_response_ms=NO_LATENCY,
    bytes_sent=50_000,
    bytes_received=512_000,
    bytes_received_per_s=48.77 * 1024,
)
SOME_FAILED = replace(
    STEP,
    succeeded=480,
    measured=430,
    measured_failed=18,
    errors={"http_status:503": 15, "timeout": 5},
    error_examples=(
        ErrorExample("timeout", 3.5, "no answer in 1 s", ""),
        ErrorExample("http_status:503", 1.25, "the queue is full\n(503)\x1b[31m", "Prediction service is busy"),
    ),
    failed_response_ms=latency(0.1),
)
ALL_FAILED = replace(
    SOME_FAILED,
    succeeded=0,
    measured=0,
    measured_failed=450,
    errors={"connect": 500},
    error_examples=(ErrorExample("connect", 0.001, "connection refused", ""),),
    throughput_per_s=Statistic(0.0, None, 30),
    response_ms=NO_LATENCY,
    service_ms=NO_LATENCY,
    client_queue_ms=NO_LATENCY,
    generator_lag_ms=NO_LATENCY,
)
VALID = Certificate(
    True,
    (
        Check("accounted", True, "all there"),
        Check("clock (predict)", True, "no answer's time is in doubt"),
        Check("server unchanged", True, "alive"),
    ),
)
INVALID = Certificate(False, (Check("accounted", False, "500 requests were scheduled but 499 recorded"),))


TOKENS = TokenSummary(
    answers=450,
    streams=450,
    events=46_080,
    first_token_ms=latency(),
    first_said_ms=latency(2.0),
    time_per_output_token_ms=latency(0.5),
    first_event_told=450,
    between_content_ms=GapSummary(count=45_630, mean=10.0, p50=10.1, p90=10.2, p99=15.3, max=20.0),
    longest_gap_ms=latency(0.7),
    tail_ms=latency(0.01),
    output_tokens=OutputTokens(
        count=46_080,
        answers=450,
        per_s=Statistic(4993.8, (4900.0, 5100.0)),
        per_user_per_s=Statistic(100.0, (98.0, 102.0)),
        source="usage",
        per_request=Spread(mean=102.4, min=100, p50=102, max=110),
        per_event=1.0,
    ),
    finish_reasons={"stop": 400, "length": 50},
    without_end_mark=0,
    unread=0,
    cut=0,
    asked=450,
    short={"stop": 3},
)


def result(step: StepSummary = STEP, *, partial: bool = False, certificate: Certificate = VALID, **changes) -> Result:
    run = RunResult(
        trial=1,
        point={},
        server={"requested": {}, "read_back": {"workers": 2}},
        load=CLOSED,
        window_s=(2.0, 12.3),
        warmup_s=2.0,
        certificate=certificate,
        steps=(step,),
        telemetry=Telemetry(),
        records="records/latency.bin",
    )
    benchmark = BenchmarkResult(
        name="latency",
        model="resnet-18",
        backend="mxnet",
        options=AskedOptions(),
        cold_start_ms=101.5,
        partial=partial,
        steps=(step,),
        runs=(run,),
        certificate=certificate,
        verdicts=(errors_within(step, 0.01),),
    )
    return Result(
        id="x",
        started_at=STARTED.isoformat(),
        command=("servemark",),
        seed=0,
        partial=partial,
        tool=TOOL,
        environment=MACHINE,
        server={"product": "Multi Model Server", "version": "1.1.11", "launcher": "managed"},
        benchmarks=(replace(benchmark, **changes),),
        error=INTERRUPTED if partial else None,
    )


def printed(capsys, what: Result) -> str:
    print_summary(what, Path("servemark-results/x"))
    return capsys.readouterr().out


GOLDEN = """\
latency resnet-18: p50 20.0 ms, p99 40.0 ms
p50            20.0 ms (19.8 ms to 20.2 ms)
p99            40.0 ms (35.0 ms to 50.0 ms)
throughput     48.77/s (47.10 to 50.20)

Multi Model Server 1.1.11, managed; mxnet; 2 workers
1 thread, 10.3 s measured after 2 s of warm-up

ms     response    95% interval  service
mean      20.50  20.10 to 20.90    18.45
p50       20.00  19.80 to 20.20    18.00
p90       25.00  24.50 to 25.50    22.50
p95       27.00  26.00 to 28.00    24.30
p99       40.00  35.00 to 50.00    36.00
p99.9    ~55.00   - needs 3,688   ~49.50
min       18.25                    16.43
max       60.00                    54.00

requests       450 measured: 450 succeeded, 0 failed
with warm-up   500 sent: 500 succeeded, 0 failed
in the client  p99 0.000 ms waiting for a connection, 0.040 ms sending late
cold start     101.5 ms, the first prediction after registering
certificate    valid, 3 checks passed
~              too few requests for an interval: it may be far off
results        servemark-results/x
"""


def test_the_summary_of_a_good_run(capsys):
    assert printed(capsys, result()) == GOLDEN


def test_the_headline_of_a_closed_loop_is_the_service_time_beside_how_late_it_sent(capsys):
    text = printed(capsys, result(replace(STEP, headline="service")))
    lines = text.splitlines()
    assert lines[0] == "latency resnet-18: p50 18.0 ms, p99 36.0 ms"
    assert lines[1].split() == ["p50", "18.0", "ms", "(17.8", "ms", "to", "18.2", "ms)"]
    assert lines[8].split() == ["ms", "service", "95%", "interval", "sent", "late"]
    assert lines[10].split()[:2] == ["p50", "18.00"]


def test_what_the_longest_time_did_not_make_exact_is_said_with_the_aim(capsys):
    adapts = replace(CLOSED, duration_s=None, until=AdaptiveLength(400, 10.0, 10.0, precision=0.02))
    what = result()
    (benchmark,) = what.benchmarks
    runs = tuple(replace(run, load=adapts, window_s=(2.0, 12.0)) for run in benchmark.runs)
    p50 = Statistic(20.0, (19.0, 21.0))
    step = replace(STEP, response_ms=replace(STEP.response_ms, p50=p50), service_ms=replace(STEP.service_ms, p50=p50))
    text = " ".join(printed(capsys, replace(what, benchmarks=(replace(benchmark, runs=runs, steps=(step,)),))).split())
    assert "length 10 s, the most that it takes unasked, did not suffice: p50 is exact to 5.0%, aim 2.0%" in text
    assert "did not suffice" not in printed(capsys, what)


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        ("kernel", None),
        ("user", "answers have the time at which they were read, not that at which they came"),
        ("user, the kernel refused: no", "not that at which they came (the kernel refused: no)"),
        (UNSTAMPED_CLOCK, "not that at which they came (the kernel had none for most answers of a step, as where"),
        ("engine's own", "the engine's own, in whole milliseconds"),
    ],
)
def test_whose_clock_it_was_is_said_where_it_is_not_the_kernels(capsys, clock, words):
    whole = result()
    (benchmark,) = whole.benchmarks
    run = replace(benchmark.runs[0], load=replace(benchmark.runs[0].load, receive_clock=clock))
    text = " ".join(printed(capsys, result(runs=(run,))).split())
    assert ("clock" in text) is (words is not None)
    assert words is None if clock == "kernel" else words in text


def test_a_partial_run_says_so_before_anything_else(capsys):
    text = printed(capsys, result(partial=True))
    assert text == f"PARTIAL {GOLDEN}"


def test_an_invalid_run_says_so_first_and_why(capsys):
    lines = printed(capsys, result(certificate=INVALID)).splitlines()
    assert lines[0] == "INVALID latency resnet-18: p50 20.0 ms, p99 40.0 ms"
    assert "INVALID        accounted: 500 requests were scheduled but 499 recorded" in lines
    assert not any(line.startswith("certificate") for line in lines)


def test_what_disturbed_a_run_is_a_warning_beside_its_headline(capsys):
    reason = "34% of this machine's CPU time went to neither the server nor the generator"
    disturbed = replace(VALID, disturbances=(Disturbance("other load", reason, 0.34, 0.05, "share"),))
    text = printed(capsys, result(certificate=disturbed))
    assert text.splitlines()[0] == "latency resnet-18: p50 20.0 ms, p99 40.0 ms (other load)"
    assert "certificate    valid, 3 checks passed\n" in text
    assert f"warning other load: {reason}" in " ".join(text.split())
    assert exit_status(result(certificate=disturbed), allow_invalid=False) == 0


def test_failures_are_on_the_headline_with_the_first_of_them(capsys):
    text = printed(capsys, result(SOME_FAILED))
    headline = " ".join(text.split("p50   ")[0].split())
    assert headline == (
        "latency resnet-18: p50 20.0 ms, p99 40.0 ms; 4.00% of all 500 sent failed: "
        "15 http_status:503, 5 timeout; first at 1.250 s: the queue is full (503)\\x1b[31m"
    )
    assert "\x1b" not in text
    assert "requests       448 measured: 430 succeeded, 18 failed\n" in text
    assert "with warm-up   500 sent: 480 succeeded, 20 failed\n" in text
    assert "failures       took 2.00 ms at the median, 6.00 ms at most\n" in text
    assert "verdict        20 of all 500 sent failed (4.00%)\n" in text


def test_when_every_request_failed_that_is_the_headline_and_there_are_no_statistics(capsys):
    text = printed(capsys, result(ALL_FAILED))
    first = " ".join(text.split("throughput ")[0].split())
    assert first == ("latency resnet-18: every request failed: 500 connect; first at 0.001 s: connection refused")
    assert "p50" not in text
    assert "requests       450 measured: 0 succeeded, 450 failed\n" in text


def test_nothing_measured_is_said(capsys):
    warm_up = replace(ALL_FAILED, requests=3, succeeded=3, measured=0, errors={}, error_examples=())
    assert printed(capsys, result(warm_up, partial=True)).startswith(
        "PARTIAL latency resnet-18: nothing was measured\n"
    )
    nothing = replace(warm_up, requests=0, succeeded=0)
    first = " ".join(printed(capsys, result(nothing, partial=True)).split("\n\n")[0].split())
    assert first.startswith(
        "PARTIAL latency resnet-18: nothing was measured: it was interrupted before anything was sent"
    )


@pytest.mark.parametrize("step", [STEP, SOME_FAILED, ALL_FAILED])
@pytest.mark.parametrize("certificate", [VALID, INVALID])
def test_every_summary_fits_80_columns_whatever_the_figures(capsys, step, certificate):
    long_name = "a-model-with-a-name-that-somebody-has-made-much-too-long-for-any-terminal-v1.0"
    huge = replace(step, response_ms=latency(123_456.0), service_ms=latency(123_456.0))
    for what in (step, huge):
        answer = Verdict(
            "saturated?", "not saturated: raise -t (at least 1234 in flight, 99999 keep all workers busy)", "finding"
        )
        text = printed(capsys, result(what, partial=True, certificate=certificate, model=long_name, verdicts=(answer,)))
        assert [line for line in text.splitlines() if len(line) > 80] == []
        assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_what_a_user_or_a_server_says_is_cut_however_long_it_is(capsys):
    long = "x" * 100_000
    failed = replace(ALL_FAILED, error_examples=(ErrorExample("connect", 0.001, long, ""),))
    certificate = replace(INVALID, checks=(Check("accounted", False, long),))
    options = AskedOptions(method="GET", url=f"http://{long}/{long}")
    for what in (
        result(model=None, options=options),
        result(model=long, certificate=certificate),
        result(failed),
        result(failure=Failure(long, 4)),
        replace(
            result(),
            skipped=(Skipped("load", long),),
            suite=Suite("mine", (SuiteEntry("latency", "done", ""), SuiteEntry("load", "skipped", ""))),
        ),
    ):
        assert len(printed(capsys, what).splitlines()) < 60


def test_the_path_of_the_result_is_never_broken(capsys):
    path = Path("/a/" + "very/" * 30 + "long/path")
    print_summary(result(), path)
    assert f"results        {path}\n" in capsys.readouterr().out


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_summary_csv_is_jmeters_aggregate_report():
    out = io.StringIO()
    summary_csv.write(out, result(SOME_FAILED))
    (row,) = rows_of(out.getvalue())
    assert row == {
        "Label": "predict",
        "# Samples": "448",
        "Average": "20.500",
        "Median": "20.000",
        "90% Line": "25.000",
        "95% Line": "27.000",
        "99% Line": "40.000",
        "Min": "18.250",
        "Max": "60.000",
        "Error %": "4.02%",
        "Throughput": "48.770",
        "Received KB/sec": "48.770",
        "Std. Dev.": "3.000",
        "Not certified": "",
    }


def test_summary_csv_leaves_empty_what_is_not_known():
    out = io.StringIO()
    summary_csv.write(out, result(ALL_FAILED))
    (row,) = rows_of(out.getvalue())
    assert row["Average"] == row["99% Line"] == row["Std. Dev."] == ""
    assert row["Error %"] == "100.00%"


def test_a_row_of_requests_jtl(make_records):
    ms = 1_000_000
    file = make_records(
        2,
        warmup_ns=5 * ms,
        scheduled=[1 * ms, 7 * ms],
        ready=[1 * ms, 7 * ms],
        sent=[2 * ms, 8 * ms],
        first_byte=[5 * ms, -1],
        end=[6 * ms, 19 * ms],
        status=[200, 0],
        kind=[0, 3],
        user=[0, 1],
        flags=[1, 0],
        bytes_received=[123, 0],
        bytes_sent=[45, 45],
        connect_us=[1500, 0],
    )
    assert file.error_kinds[3] == "timeout"
    assert file.flags["warmup"] == 1
    out = io.StringIO()
    jtl.write(out, result(), [[file]])
    good, bad = rows_of(out.getvalue())
    assert good == {
        "timeStamp": "1700000000001",
        "elapsed": "5",
        "label": "predict warm-up",
        "responseCode": "200",
        "responseMessage": "OK",
        "threadName": "users 1-1",
        "dataType": "text",
        "success": "true",
        "failureMessage": "",
        "bytes": "123",
        "sentBytes": "45",
        "grpThreads": "2",
        "allThreads": "2",
        "URL": "null",
        "Latency": "4",
        "IdleTime": "0",
        "Connect": "1",
    }
    assert (bad["label"], bad["success"], bad["failureMessage"]) == ("predict", "false", "timeout")
    assert bad["responseCode"] == "Non HTTP response code: timeout"
    assert (bad["elapsed"], bad["Latency"], bad["threadName"]) == ("12", "0", "users 1-2")


RUN = result().benchmarks[0].runs[0]


def _of_runs(*runs: RunResult) -> Result:
    what = result()
    return replace(what, benchmarks=(replace(what.benchmarks[0], runs=runs),))


def _labels_of_requests(make_records, what: Result) -> list[str]:
    out = io.StringIO()
    runs = [run for benchmark in what.benchmarks for run in benchmark.runs]
    jtl.write(out, what, [[make_records(1, end=1)] for _ in runs])
    return [row["label"] for row in rows_of(out.getvalue())]


def _labels_of_summary(what: Result) -> list[str]:
    out = io.StringIO()
    summary_csv.write(out, what)
    return [row["Label"] for row in rows_of(out.getvalue())]


def test_requests_of_points_have_the_labels_that_their_rows_of_the_summary_have(make_records):
    what = _of_runs(*(replace(RUN, point={"threads": number}) for number in (1, 4)))
    assert _labels_of_requests(make_records, what) == ["predict threads=1", "predict threads=4"]
    assert _labels_of_summary(what) == ["predict threads=1", "predict threads=4"]


def test_requests_of_trials_are_told_apart_and_those_of_what_was_measured_again(make_records):
    what = _of_runs(RUN, replace(RUN, trial=2), replace(RUN, trial=3, repeat_of=2))
    assert _labels_of_requests(make_records, what) == ["predict trial=1", "predict trial=2", "predict trial=3"]
    assert _labels_of_requests(make_records, _of_runs(RUN)) == ["predict"]


def test_endpoints_and_sides_of_a_pair_are_told_apart(make_records):
    urls = ("http://a:1/one", "http://a:1/two", "http://b:2/two", "http://b:2/two")
    one = replace(result().benchmarks[0], name="http", model=None)
    benchmarks = tuple(replace(one, options=AskedOptions(url=url)) for url in urls)
    what = replace(result(), benchmarks=benchmarks)
    labels = [f"http {named}: predict" for named in ("a:1/one", "a:1/two", "b:2/two", "b:2/two (2)")]
    assert _labels_of_summary(what) == labels
    assert _labels_of_requests(make_records, what) == labels


def test_requests_jtl_ends_at_100_000_rows_over_all_runs(make_records):
    out = io.StringIO()
    jtl.write(out, _of_runs(RUN, RUN), [[make_records(60_000, end=1)] for _ in range(2)])
    assert len(out.getvalue().splitlines()) == 100_000 + 1


def create(wanted: Path | None, *, force: bool = False) -> ResultDirectory:
    return ResultDirectory.create(wanted, "latency-noop", STARTED, force=force)


def written(tmp_path: Path, make_records) -> ResultDirectory:
    directory = create(tmp_path / "out")
    make_records(3, end=1).path.rename(directory.new_record_path("latency"))
    directory.write(result())
    return directory


def test_a_result_directory_holds_every_report(tmp_path, make_records):
    directory = written(tmp_path, make_records)
    names = {path.name for path in directory.path.iterdir()}
    assert names == {"result.json", "summary.csv", "requests.jtl", "records", "server"}
    assert json.loads((directory.path / "result.json").read_text())["schema"] == "servemark/result/2"


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [create(None).path.name for _ in range(3)]
    first = "20260102T030405Z-latency-noop"
    assert names == [first, f"{first}-2", f"{first}-3"]


def test_a_folder_that_holds_something_needs_force(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError, match="is not empty; give another -o, or --force"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    create(tmp_path, force=True)
    assert (tmp_path / "mine").read_text() == "precious"


def test_what_an_earlier_result_recorded_does_not_stay_beside_another_but_what_is_not_its_own_does(
    tmp_path, make_records
):
    directory = written(tmp_path, make_records)
    records = directory.path / "records"
    for name in ("latency.events.bin", "latency.g2.bin", "killed.begun.json", "killed.bin", "killed.bodies.bin"):
        (records / name).write_text("")
    (records / "other.bin").write_text("mine")
    (directory.server_logs / "mms.log").write_text("said then")
    for name in ("report.html", "summary.md", "summary.txt", "mine.txt"):
        (directory.path / name).write_text("of then")
    for name in ("hgrm", "verdicts.xml"):  # a folder, and what has the name of a report and is none
        (directory.path / name).mkdir()
        (directory.path / name / "latency.hgrm").write_text("of then")
    directory.release()
    again = create(directory.path, force=True)
    assert [path.name for path in records.iterdir()] == ["other.bin"]
    kept = {"result.json", "summary.csv", "requests.jtl", "records", "server", "mine.txt", "verdicts.xml"}
    assert {path.name for path in directory.path.iterdir()} == kept
    assert again.discard(), "of this one there is nothing, whatever programs said then"
    assert (directory.path / "result.json").exists()
    (directory.server_logs / "mms.log").write_text("said now, and that is more")
    assert not again.discard()


def test_by_force_nothing_of_a_folder_that_holds_no_result_goes_but_the_page(tmp_path):
    for name in ("summary.txt", "summary.md", "report.html"):
        (tmp_path / name).write_text("mine")
    create(tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.txt", "summary.md", "records", "server"}


def test_two_runs_do_not_write_into_one_folder_at_once(tmp_path):
    first = create(tmp_path / "out")
    with pytest.raises(OutputError, match=r"another run writes into .*out; give another -o, or wait"):
        create(tmp_path / "out", force=True)
    with pytest.raises(OutputError, match=r"another run writes into"):
        ResultDirectory.resumed(tmp_path / "out")
    with pytest.raises(OutputError, match=r"a run is still writing into .*out; wait until it has ended"):
        check_not_written(tmp_path / "out")
    first.release()
    first.release()
    check_not_written(tmp_path / "out")
    check_not_written(tmp_path / "nowhere")
    last = create(tmp_path / "out", force=True)
    del last  # as where an error ends a run in the middle
    check_not_written(tmp_path / "out")


def test_an_empty_folder_needs_no_force(tmp_path):
    assert create(tmp_path).path == tmp_path


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused_with_the_next_step(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the result into .*file.*; give -o a folder"):
        create(tmp_path / place)


def test_a_report_that_cannot_be_written_leaves_the_last_one_and_nothing_half_written(
    tmp_path, make_records, monkeypatch
):
    directory = written(tmp_path, make_records)
    before = {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()}

    def full(out, _result):
        out.write("half a ")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summary_csv, "write", full)
    with pytest.raises(RecordingError, match=r"No space left on device; free some space") as caught:
        directory.write(result())
    assert caught.value.exit_status == 4
    assert {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()} == before


def test_what_is_not_a_number_is_never_written_as_one(tmp_path):
    directory = create(tmp_path)
    broken = replace(result(), environment=replace(MACHINE, memory_mib=float("nan")), benchmarks=())
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.write(broken)
    assert not (tmp_path / "result.json").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_file_name_that_is_no_utf8_is_in_the_result_as_it_is(tmp_path):
    directory = create(tmp_path)
    name = b"a\xff\xc3\xa4".decode("utf-8", "surrogateescape")
    directory.write(replace(result(), command=(name,), benchmarks=()))
    assert json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["command"] == [name]


FAILED_VERDICT = (Verdict("question", "answer", "missed"),)
FACTS = {  # in the order in which they decide
    130: {"partial": True},
    4: {"step": ALL_FAILED},
    3: {"certificate": INVALID},
    1: {"verdicts": FAILED_VERDICT},
}


@pytest.mark.parametrize(
    "statuses", [chosen for size in range(5) for chosen in itertools.combinations(FACTS, size)], ids=str
)
def test_the_exit_status_is_that_of_the_first_that_applies(statuses):
    facts = {"verdicts": (), **{key: value for status in statuses for key, value in FACTS[status].items()}}
    assert exit_status(result(**facts), allow_invalid=False) == (statuses[0] if statuses else 0)


def test_a_run_without_a_measured_success_failed_although_requests_succeeded(capsys):
    unmeasured = result(replace(ALL_FAILED, requests=4, succeeded=4, errors={}, error_examples=()), verdicts=())
    assert exit_status(unmeasured, allow_invalid=False) == 4
    assert exit_status(unmeasured, allow_invalid=True) == 4
    assert printed(capsys, unmeasured).startswith("latency resnet-18: nothing was measured: every answer took too long")


OF_A_SUITE = {
    70: {"failure": Failure("unexpected TypeError", 70), "partial": True},
    2: {"failure": Failure("cannot be had", 2), "partial": True},
    4: {"failure": Failure("the server did not start", 4), "partial": True, "steps": (), "runs": ()},
    3: {"certificate": INVALID},
    1: {"verdicts": FAILED_VERDICT},
    0: {"verdicts": ()},
}


@pytest.mark.parametrize(
    "statuses", [chosen for size in range(1, 4) for chosen in itertools.combinations(OF_A_SUITE, size)], ids=str
)
def test_of_a_suites_failures_the_first_that_applies_decides_whatever_their_order(statuses):
    (good,) = result().benchmarks
    for order in (statuses, statuses[::-1]):
        benchmarks = tuple(replace(good, **OF_A_SUITE[status]) for status in order)
        assert exit_status(replace(result(), benchmarks=benchmarks), allow_invalid=False) == statuses[0]


@pytest.mark.parametrize(("limit", "status"), [(0.99, 4), (1.0, 0)])
def test_every_request_may_fail_where_all_are_allowed_to(capsys, limit, status):
    what = result(ALL_FAILED, verdicts=(errors_within(ALL_FAILED, limit),))
    assert exit_status(what, allow_invalid=False) == status
    said = "every request failed: 500" if status else "every request failed, as --max-errors allows: 500 connect"
    assert said in printed(capsys, what)


def test_an_invalid_measurement_may_be_allowed():
    assert exit_status(result(certificate=INVALID), allow_invalid=True) == 0
    assert exit_status(result(certificate=INVALID, verdicts=FAILED_VERDICT), allow_invalid=True) == 1


@pytest.mark.parametrize(
    ("least", "needed", "held_back", "answer"),
    [
        (2, 2, False, "saturated: at least 2 in flight, 2 keep all workers busy"),
        (2, 2, True, "saturated: at least 2 in flight, 2 keep all workers busy"),
        (1, 2, False, "not saturated: raise -t (at least 1 in flight"),
        (1, 2, True, "undecided whether saturated: the generator held the load back (at least 1 in flight"),
        (1, None, True, "undecided: how many requests keep the server's workers busy is not known"),
    ],
)
def test_more_users_are_advised_only_where_they_would_be_more_load(least, needed, held_back, answer):
    assert saturated(least, needed, held_back=held_back).answer.startswith(answer)


def test_a_verdict_that_is_a_finding_does_not_fail():
    assert exit_status(result(verdicts=(Verdict("q", "not saturated", "finding"),)), allow_invalid=False) == 0


def test_whether_workers_were_busy_is_undecided_where_nobody_knows_how_many_requests_keep_them_so():
    # An MLServer's workers are counted, and each may have several requests at a time.
    words = "undecided: how many requests keep the server's workers busy is not known"
    assert (saturated(3, None).answer, saturated(3, None).outcome) == (words, "finding")
    assert saturated(3, 2).answer == "saturated: at least 3 in flight, 2 keep all workers busy"


@pytest.mark.parametrize(("limit", "outcome"), [(0.04, "met"), (0.0399, "missed"), (1.0, "met"), (0.0, "missed")])
def test_as_many_failures_as_allowed_pass(limit, outcome):
    assert errors_within(SOME_FAILED, limit).outcome == outcome


SOME = EventSummary(
    count=51_200,
    streams=450,
    per_request=Spread(mean=102.4, min=3, p50=100, max=400),
    events_per_s=Statistic(4993.8, (4823.0, 5140.5)),
    time_to_first_event_ms=replace(STEP.response_ms, p50=Statistic(1.25, (1.2, 1.31))),
    between_events_ms=GapSummary(count=50_750, mean=10.02, p50=10.0, p90=10.4, p99=15.3, max=1234.5),
)
LINES = """\
events         46,080 in 450 measured streams, 102.4 each (3 to 400)
event rate     4,994/s (4,823 to 5,140)
first event    p50 1.25 ms (1.20 ms to 1.31 ms), p99 40.0 ms
between events p50 ~10.0 ms, p90 ~10.4 ms, p99 ~15.3 ms, max 1.23 s, mean
               ~10.0 ms
"""


def test_a_run_that_streamed_shows_its_events_and_is_else_as_it_was(capsys):
    text = printed(capsys, result(replace(STEP, events=SOME)))
    assert text.replace(LINES, "") == GOLDEN
    assert max(map(len, text.splitlines())) <= 80
    assert "token" not in text


def test_streams_of_equal_length_and_of_few_events(capsys):
    few = replace(
        SOME,
        count=1,
        streams=1,
        per_request=Spread(1.0, 1, 1, 1),
        events_per_s=Statistic(0.1, None, 30),
        time_to_first_event_ms=replace(SOME.time_to_first_event_ms, p50=Statistic(3.5, None, 6)),
        between_events_ms=None,
    )
    text = printed(capsys, result(replace(STEP, events=few)))
    assert "events         1 in 1 measured stream, 1 each\n" in text
    assert "event rate     ~0.100/s (no interval below 30 requests)\n" in text
    assert "first event    p50 ~3.50 ms, p99" in text
    assert "between events" not in text


def test_several_steps_lead_with_the_figures_of_the_first_after_the_rate_of_all(capsys):
    what = result()
    slow = replace(STEP, name="slow", response_ms=latency(10.0), throughput_per_s=Statistic(2.0, (1.9, 2.1)))
    benchmark = replace(what.benchmarks[0], steps=(STEP, slow))
    lines = printed(capsys, replace(what, benchmarks=(benchmark,))).splitlines()
    assert lines[:5] == [
        "latency resnet-18: 50.77/s in all",
        "step           predict, the first of 2: length and comparisons go by it",
        "p50            20.0 ms (19.8 ms to 20.2 ms)",
        "p99            40.0 ms (35.0 ms to 50.0 ms)",
        "throughput     48.77/s (47.10 to 50.20)",
    ]


def test_several_points_lead_with_the_figures_of_the_best_which_is_named(capsys):
    what = result()
    (run,) = what.benchmarks[0].runs
    slow = replace(STEP, response_ms=latency(10.0), throughput_per_s=Statistic(2.0, (1.9, 2.1)))
    runs = tuple(replace(run, point={"threads": n}, steps=(step,)) for n, step in ((1, slow), (4, STEP), (8, slow)))
    benchmark = replace(what.benchmarks[0], steps=(), runs=runs)
    lines = printed(capsys, replace(what, benchmarks=(benchmark,))).splitlines()
    assert lines[:5] == [
        "latency resnet-18: at best 48.77/s, p99 40.0 ms (threads 4)",
        "point          threads 4, the one of 3 with the highest rate",
        "p50            20.0 ms (19.8 ms to 20.2 ms)",
        "p99            40.0 ms (35.0 ms to 50.0 ms)",
        "throughput     48.77/s (47.10 to 50.20)",
    ]


def test_what_happened_to_the_server_is_told_with_when(capsys):
    what = result()
    (run,) = what.benchmarks[0].runs
    told = tuple(
        Incident(at_s, f"worker {number} of m was started again") for number, at_s in enumerate((3.21, 4, 5, 6))
    )
    benchmark = replace(what.benchmarks[0], runs=(replace(run, incidents=told),))
    text = " ".join(printed(capsys, replace(what, benchmarks=(benchmark,))).split())
    assert "warning server: worker 0 of m was started again at 3.2 s, worker 1 of m" in text
    assert "at 5.0 s and 1 more" in text
    assert "server:" not in printed(capsys, what)


def test_several_steps_have_a_table_of_their_events(capsys):
    what = result()
    benchmark = replace(what.benchmarks[0], steps=(replace(STEP, name="chat", events=SOME), STEP))
    lines = printed(capsys, replace(what, benchmarks=(benchmark,))).splitlines()
    at = lines.index("events, ms   count   each  per s  first p50     p99  between p50     p99")
    assert lines[at + 1] == "chat        46,080  102.4  4,994      1.250  40.000       ~10.00  ~15.30"
    assert lines[at + 2] == ""
    assert max(map(len, lines)) <= 80


def test_several_points_have_a_table_of_their_events(capsys):
    what = result()
    (run,) = what.benchmarks[0].runs
    runs = tuple(replace(run, point={"threads": n}, steps=(replace(STEP, events=SOME),)) for n in (1, 4))
    benchmark = replace(what.benchmarks[0], steps=(), runs=runs)
    lines = printed(capsys, replace(what, benchmarks=(benchmark,))).splitlines()
    assert [line.split()[:2] for line in lines if "102.4" in line] == [["1", "46,080"], ["4", "46,080"]]


def test_several_points_have_a_table_of_their_tokens_and_what_their_answers_lacked(capsys):
    what = result()
    (run,) = what.benchmarks[0].runs
    plain = replace(TOKENS, first_said_ms=None, short={})
    steps = [(replace(STEP, tokens=tokens), n) for n, tokens in ((1, TOKENS), (4, plain))]
    runs = tuple(replace(run, point={"threads": n}, steps=(step,)) for step, n in steps)
    benchmark = replace(what.benchmarks[0], steps=(), runs=runs)
    text = printed(capsys, replace(what, benchmarks=(benchmark,)))
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "46,080", "4,994", "100.0", "20.00", "40.00", "40.00", "80.00", "10.00", "20.00"] in rows
    assert ["4", "46,080", "4,994", "100.0", "20.00", "40.00", "-", "-", "10.00", "20.00"] in rows
    assert "short answers  1: 3 of 450 have fewer tokens than were asked for (stop 3)" in text
    assert text.count("short answers") == 1


def test_several_steps_without_reasoning_have_a_table_of_their_tokens_that_fits(capsys):
    step = replace(STEP, tokens=replace(TOKENS, first_said_ms=None))
    benchmark = replace(result().benchmarks[0], steps=(replace(step, name="chat"), STEP))
    lines = printed(capsys, replace(result(), benchmarks=(benchmark,))).splitlines()
    at = lines.index("tokens, ms   count  per s  a user  first p50    p99  a token p50    p99")
    assert lines[at + 1].split() == ["chat", "46,080", "4,994", "100.0", "20.00", "40.00", "10.00", "20.00"]
    assert lines[at + 2] == ""
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("events", [None, SOME, replace(SOME, per_request=None, between_events_ms=None)])
def test_what_a_result_says_of_events_is_in_the_schema(events):
    schema = json.loads(schema_text())
    step = to_json(replace(STEP, events=events))
    jsonschema.Draft202012Validator({**schema["$defs"]["step"], "$defs": schema["$defs"]}).validate(step)
