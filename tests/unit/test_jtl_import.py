"""``servemark report old.jtl``: a result of an old JMeter file, and every way in which such a file is none."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from servemark.cli import main
from servemark.engines.jmeter.old import read_old
from servemark.errors import UsageError
from servemark.records import open_records
from servemark.result import Result, schema_text

T0 = 1_500_000_000_000
HEADER = (
    "timeStamp,elapsed,label,responseCode,responseMessage,threadName,dataType,success,failureMessage,bytes,sentBytes,"
    "grpThreads,allThreads,URL,Latency,IdleTime,Connect"
)


def line(start_ms: int = 0, elapsed: int | str = 20, **changes: object) -> str:
    """A sample as JMeter 5 writes it; `changes` are by column."""
    row = {
        "timeStamp": T0 + start_ms,
        "elapsed": elapsed,
        "label": "Inference Request",
        "responseCode": 200,
        "responseMessage": "OK",
        "threadName": "Thread Group 1-1",
        "dataType": "text",
        "success": "true",
        "failureMessage": "",
        "bytes": 300,
        "sentBytes": 200,
        "grpThreads": 1,
        "allThreads": 1,
        "URL": "http://h/predictions/x",
        "Latency": 19,
        "IdleTime": 0,
        "Connect": 0,
        **changes,
    }
    return ",".join(map(str, row.values()))


def samples(count: int, **changes: object) -> list[str]:
    return [line(100 * number, 20 + number % 10, **changes) for number in range(count)]


@pytest.fixture
def jtl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``jtl(lines)``: a file old.jtl of these, in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(lines: list[str] | bytes) -> Path:
        content = lines if isinstance(lines, bytes) else ("\n".join(lines) + "\n").encode()
        (tmp_path / "old.jtl").write_bytes(content)
        return tmp_path / "old.jtl"

    return write


def imported(capsys, *words: str) -> tuple[Result, str]:
    """The result that was made, and what was printed."""
    assert main(["report", "old.jtl", "-o", "out", *words]) == 0
    document = json.loads(Path("out/result.json").read_text())
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(document)
    return Result.load("out"), capsys.readouterr().out


def test_a_result_of_an_old_file(capsys, jtl):
    jtl([HEADER, *samples(400)])
    result, text = imported(capsys, "-m", "resnet-18")
    (benchmark,), (run,) = result.benchmarks, result.benchmarks[0].runs
    (step,) = benchmark.steps
    assert (benchmark.name, benchmark.model, result.partial) == ("latency", "resnet-18", False)
    assert result.started_at == "2017-07-14T02:40:00+00:00"
    assert (result.tool.engine, result.environment.machine) == ("jmeter", "unknown")
    assert result.server["launcher"] == "imported from old.jtl"
    assert len(result.server["jtl"]["sha256"]) == 64
    assert (step.name, step.requests, step.measured, step.failed) == ("Inference Request", 400, 400, 0)
    assert (step.headline_ms.p50.value, step.headline_ms.max) == (24.0, 29.0)
    assert step.headline_ms.p99.ci95 is not None
    assert step.throughput_per_s.value == pytest.approx(400 / 39.929, rel=1e-3)
    assert (run.load.users, run.load.receive_clock) == (1, "engine's own")
    assert run.window_s == pytest.approx((0.0, 39.929))
    assert text.startswith("IMPORTED latency resnet-18: p50 24.0 ms, p99 29.0 ms\np50            24.0 ms (")
    assert "\n\nunknown server, imported from old.jtl\n" in text
    told = " ".join(text.split())
    assert "certificate none: read from old.jtl: nothing vouches for these figures" in told
    assert "valid," not in told
    assert main(["report", "out", "--format", "markdown", "-o", "comment.md"]) == 0
    assert "\nCertificate: none: read from old.jtl: nothing vouches for these" in Path("comment.md").read_text()
    capsys.readouterr()
    records = open_records("out/records/latency.bin")
    assert np.percentile(records.latency_ms(), 50, method="inverted_cdf") == 24.0
    assert len(Path("out/requests.jtl").read_text().splitlines()) == 401


def test_it_has_the_files_of_a_run_and_the_page_that_report_makes_again(capsys, jtl):
    jtl([HEADER, *samples(400)])
    imported(capsys)
    written = {path.name for path in Path("out").iterdir()}
    assert {"result.json", "summary.csv", "requests.jtl", "report.html", "records"} <= written
    page = Path("out/report.html").read_text()
    assert "IMPORTED" in page
    Path("out/report.html").unlink()
    assert main(["report", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == written
    assert Path("out/report.html").read_text() == page


def test_a_file_that_cannot_be_opened_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"^cannot read .*/gone\.jtl"):
        read_old(tmp_path / "gone.jtl", tmp_path / "ours.jtl", {})


def test_it_can_be_made_the_baseline(capsys, jtl, monkeypatch, tmp_path):
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "history.db"))
    jtl([HEADER, *samples(10)])
    imported(capsys)
    assert main(["history", "baseline", "old", "out"]) == 0
    assert main(["history", "show", "old"]) == 0
    assert "IMPORTED latency" in capsys.readouterr().out
    assert main(["history"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  IMPORTED, old")
    assert main(["history", "trend"]) == 0
    assert "1 thread; imported; unknown\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "lines",
    [
        samples(10),
        [HEADER.replace(",", ";"), *(sample.replace(",", ";") for sample in samples(10))],
        [HEADER.replace(",", "\t"), *(sample.replace(",", "\t") for sample in samples(10))],
        [
            "timeStamp,elapsed,label,responseCode,threadName,success",
            *(",".join(np.array(sample.split(","))[[0, 1, 2, 3, 5, 7]]) for sample in samples(10)),
        ],
        [HEADER, "", *samples(10), ""],
        [HEADER, *(f"{sample}\r" for sample in samples(10))],
    ],
    ids=["without a header", "semicolons", "tabs", "only what is needed", "empty lines", "of Windows"],
)
def test_jmeters_ways_to_write_it(capsys, jtl, lines):
    jtl(lines)
    result, _ = imported(capsys)
    (step,) = result.benchmarks[0].steps
    assert (step.requests, step.headline_ms.p50.value) == (10, 24.0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_it(capsys, jtl, encoding):
    jtl(("\n".join([HEADER, *samples(10)]) + "\n").encode(encoding))
    result, _ = imported(capsys)
    assert result.benchmarks[0].steps[0].requests == 10


def test_the_warm_up_of_our_own_files_is_left_out(capsys, jtl):
    """A warm-up of which nothing is left to measure by that name is a step like any."""
    warm_up = [line(10 * number, 90, label="predict warm-up", threadName="users 1-1") for number in range(100)]
    rows = [line(1000 + 10 * number, 20, label="predict", threadName="users 1-1") for number in range(200)]
    others = [line(1000, 30, label="ping warm-up", threadName="users 2-1")]
    jtl([HEADER, *warm_up, *rows, *others])
    result, text = imported(capsys)
    predict, ping = result.benchmarks[0].steps
    assert (predict.name, predict.requests, predict.headline_ms.max) == ("predict", 200, 20.0)
    assert predict.throughput_per_s.value == pytest.approx(100, rel=0.02)
    assert (ping.name, ping.requests) == ("ping warm-up", 1)
    assert "none: read from old.jtl, without the 100 samples of its warm-up: nothing" in " ".join(text.split())


def test_labels_are_steps_threads_are_users_and_failures_have_their_kind(capsys, jtl):
    rows = [HEADER]
    for number in range(40):
        user = number % 4 + 1
        rows.append(line(number * 10, threadName=f"Users 1-{user}", allThreads=5))
        failed = {"success": "false", "responseCode": 503, "responseMessage": '"busy, ""very"" busy\nnow"'}
        rows.append(line(number * 10 + 5, label="ping", threadName="Ping 2-1", **(failed if number == 3 else {})))
    rows.append(
        line(
            500,
            label="ping",
            threadName="main",
            success="false",
            responseCode="Non HTTP response code: java.net.ConnectException",
            responseMessage="refused",
        )
    )
    jtl(rows)
    result, text = imported(capsys, "--step", "Inference Request=predict")
    (benchmark,) = result.benchmarks
    predict, ping = benchmark.steps
    assert (benchmark.name, benchmark.options.threads) == ("throughput", 5)
    assert (predict.name, predict.requests, predict.failed) == ("predict", 40, 0)
    assert (ping.name, ping.requests, ping.errors) == ("ping", 41, {"http_status:503": 1, "connect": 1})
    assert [example.message for example in ping.error_examples] == ['busy, "very" busy\nnow', "refused"]
    records = open_records("out/records/throughput.bin")
    assert set(records["user"].tolist()) == {0, 1, 2, 3, 4, 5}
    assert "IMPORTED throughput" in text


def test_its_folder_is_like_a_runs(capsys, jtl, tmp_path):
    jtl([HEADER, *samples(10)])
    assert main(["report", "old.jtl"]) == 0
    (folder,) = (tmp_path / "servemark-results").iterdir()
    assert folder.name.endswith("Z-latency-old")
    assert main(["report", "old.jtl", "-o", str(folder)]) == 2
    assert "is not empty; give another -o" in capsys.readouterr().err
    assert main(["report", "old.jtl", "-o", str(folder), "--force"]) == 0
    assert main(["report", str(folder)]) == 0, "its reports can be made again"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "it is empty, or its first line is; give JMeter's CSV"),
        ([HEADER], "there is no sample in it"),
        (['<?xml version="1.0"?>', "<testResults>"], "it is XML; only JMeter's CSV is read"),
        (["hello"], "line 1 is neither a header that begins with timeStamp nor a sample with the 17 columns"),
        (["timeStamp,elapsed,label"], "line 1: the header has no column responseCode, threadName, success"),
        ([HEADER, line(), line()[:60]], "line 3 has 7 of 17 columns (was it cut off?): 1500000000000,20,Inference"),
        ([HEADER, line(), f"{line()},more"], "line 3 has 18 of 17 columns: 1500000000000"),
        ("\n".join([HEADER, line(), line()]).encode(), "line 3 has no end: it may be cut off"),
        ([HEADER, line(elapsed="fast")], "line 2: elapsed is 'fast', not a whole number"),
        ([HEADER, line(elapsed=-1)], "line 2: elapsed is '-1', not a whole number"),
        ([HEADER, line(elapsed="nan")], "line 2: elapsed is 'nan', not a whole number"),
        ([HEADER, line(elapsed=10**12)], "line 2: elapsed is '1000000000000', not a whole number up to 1,000,000,000"),
        ([HEADER, line(timeStamp="2017/07/14 02:40")], "line 2: timeStamp is '2017/07/14 02:40', not milliseconds"),
        ([HEADER, line(success="yes")], "line 2: success is 'yes', not true or false"),
        ([HEADER, line(responseCode=70000)], "line 2: responseCode is '70000', no status"),
        ([HEADER, line(Connect="x")], "line 2: Connect is 'x'"),
        ([HEADER, line(responseMessage='"two\nlines"'), line(elapsed="x")], "line 4: elapsed is 'x'"),
        ([HEADER, *(line(label=f"GET /{number}") for number in range(1001))], "it has more than 1,000 labels"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "line 1 is neither"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_whole_jtl_is_refused_with_the_line_and_leaves_nothing(capsys, jtl, tmp_path, content, said):
    jtl(content)
    assert main(["report", "old.jtl"]) == 4
    assert f"cannot make a result of old.jtl: {said}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old.jtl"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["old.jtl", "--step", "nothing=x"], "old.jtl has no label 'nothing'; choose from Inference Request"),
        (["old.jtl", "--step", "nothing"], "'nothing' is not LABEL=NAME"),
        (["old.jtl", "--benchmark", "latencies"], "invalid choice: 'latencies'"),
        ([".", "-m", "resnet"], "-m goes with a JTL: . is no file; leave it out"),
        (["older.jtl"], "there is no result in older.jtl: no such folder, or file"),
    ],
)
def test_usage_errors(capsys, jtl, words, said):
    jtl([HEADER, *samples(3)])
    assert main(["report", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_disk_that_is_full_leaves_no_folder(capsys, jtl, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    jtl([HEADER, *samples(10)])
    monkeypatch.setattr("servemark.engines.jmeter.jtl.write_records", full)
    assert main(["report", "old.jtl"]) == 4
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old.jtl"]
