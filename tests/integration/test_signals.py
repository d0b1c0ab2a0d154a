"""Signals that end a measurement, those that are ignored from the start, and what is told of one that was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
from loadgen_servers import OK, Serve, answering, serving

from servemark.cli import main
from servemark.interrupts import INTERRUPTS
from servemark.records import open_records
from servemark.result import from_json, schema_text, to_json

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

LIMIT_S = 60.0
#: The header of the records; behind it they are.
HEADER_BYTES = 4096
AT_ONCE = answering(OK)


@contextmanager
def measuring(
    folder: Path, *words: str, ignored: tuple[signal.Signals, ...] = (), serve: Serve = AT_ONCE
) -> Iterator[subprocess.Popen[bytes]]:
    """``servemark run http`` in `folder`, when its first records are on disk, of a server that does `serve`."""

    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    with serving(serve) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "servemark", "run", "http", "--url", f"http://127.0.0.1:{server.port}/", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "stderr").open("wb"),
            start_new_session=True,
            preexec_fn=ignore,
        )
        try:
            give_up_s = time.monotonic() + LIMIT_S
            while not any(path.stat().st_size > HEADER_BYTES for path in folder.rglob("records/*.bin")):
                assert process.poll() is None, (folder / "stderr").read_text()
                assert time.monotonic() < give_up_s
                time.sleep(0.02)
            yield process
        finally:
            process.kill()
            process.wait()


def read(folder: Path) -> dict:
    result = json.loads((folder / "result.json").read_text())
    jsonschema.validate(result, json.loads(schema_text()))
    return result


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_closed_terminal_and_a_quit_end_a_measurement_and_keep_it(tmp_path, number):
    with measuring(tmp_path, "-t", "2", "--duration", "30", "--warmup", "0", "-o", "out") as process:
        process.send_signal(number)
        assert process.wait(timeout=LIMIT_S) == 130
    result = read(tmp_path / "out")
    (benchmark,) = result["benchmarks"]
    assert (result["partial"], result["error"]) == (True, "interrupted")
    assert (
        0 < benchmark["steps"][0]["requests"] == open_records(tmp_path / "out" / benchmark["runs"][0]["records"]).rows
    )
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["http.bin"]


def test_signals_that_are_ignored_from_the_start_end_nothing(tmp_path):
    words = ("-t", "2", "--duration", "1", "--warmup", "0", "-o", "out")
    with measuring(tmp_path, *words, ignored=(*INTERRUPTS, signal.SIGPIPE)) as process:
        for number in (*INTERRUPTS, signal.SIGPIPE):
            process.send_signal(number)
        status = process.wait(timeout=LIMIT_S)
    result = read(tmp_path / "out")
    assert status_but_for_the_machine(status, result) == 0
    assert result["partial"] is False
    assert result["benchmarks"][0]["runs"][0]["window_s"] == [0.0, 1.0]


@pytest.mark.parametrize("load", [("-t", "2"), ("--rate", "500")], ids=["closed", "open"])
def test_reports_of_a_run_that_was_killed_are_made_from_its_records(tmp_path, capsys, load):
    folder = tmp_path / "servemark-results" / "latest"
    with measuring(tmp_path, *load, "--duration", "30", "--warmup", "0") as process:
        for words in ([], ["--format", "markdown"], ["--format", "text", "-o", "-"]):
            assert main(["report", str(folder), *words]) == 2, "as long as it measures nothing is made of it"
            assert f"a run is still writing into {folder}; wait until it has ended" in capsys.readouterr().err
        process.kill()
        process.wait()
    assert read(folder)["benchmarks"] == []
    assert main(["report", str(folder)]) == 0
    result = read(folder)
    records = open_records(folder / "records" / "http.bin")
    (benchmark,), rows, ended_ns = result["benchmarks"], records.rows, records.span_ns()[1]
    (step,), (run,) = benchmark["steps"], benchmark["runs"]
    assert (result["partial"], benchmark["partial"]) == (True, True)
    assert "killed" in result["error"]
    assert result["server"]["product"] == "HTTP endpoint"
    assert step["requests"] == step["measured"] == rows > 0
    assert benchmark["options"]["url"].startswith("http://127.0.0.1:")
    assert run["load"]["kind"] == ("open" if "--rate" in load else "closed")
    assert run["window_s"][0] == 0.0
    assert 0 < run["window_s"][1] == ended_ns / 1e9 < 30
    assert run["certificate"]["valid"] is False
    assert len((folder / "requests.jtl").read_text().splitlines()) == rows + 1
    assert (folder / "summary.csv").read_text().splitlines()[1].startswith(f"request,{rows},")
    assert capsys.readouterr().out.startswith("PARTIAL INVALID http 127.0.0.1")

    before = (folder / "result.json").read_bytes()
    assert main(["report", str(folder)]) == 0, "once is enough"
    assert (folder / "result.json").read_bytes() == before


def test_a_killed_point_joins_those_that_were_measured(tmp_path, capsys):
    with serving(answering(OK)) as server:
        words = ["run", "http", "--url", f"http://127.0.0.1:{server.port}/", "-t", "2", "-l", "50"]
        status = main([*words, "-o", str(tmp_path / "out")])
    folder = tmp_path / "out"
    whole = read(folder)
    assert status_but_for_the_machine(status, whole) == 0
    # As if a second point had been killed: its records are there, and what was known of it.
    (folder / "records" / "http-2.bin").write_bytes((folder / "records" / "http.bin").read_bytes())
    benchmark = whole["benchmarks"][0]
    second = {**benchmark["runs"][0], "steps": [], "records": "records/http-2.bin"}
    begun = {"server": whole["server"], "benchmark": {**benchmark, "runs": [*benchmark["runs"], second]}}
    (folder / "records" / "http-2.begun.json").write_text(json.dumps(begun))
    assert main(["report", str(folder)]) == 0
    (benchmark,) = read(folder)["benchmarks"]
    assert [run["records"] for run in benchmark["runs"]] == ["records/http.bin", "records/http-2.bin"]
    assert [run["certificate"]["valid"] for run in benchmark["runs"]][1] is False
    assert len((folder / "requests.jtl").read_text().splitlines()) == 201


def test_what_is_no_result_is_said(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "there is no result in" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    (tmp_path / "result.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 4
    (tmp_path / "result.json").write_text('{"schema": "something/1"}')
    assert main(["report", str(tmp_path)]) == 4
    assert "it is no servemark/result/2" in capsys.readouterr().err


def test_a_result_reads_back_as_it_was_written(tmp_path):
    with serving(answering(OK)) as server:
        main(["run", "http", "--url", f"http://127.0.0.1:{server.port}/", "-l", "40", "-t", "2", "-o", str(tmp_path)])
    result = read(tmp_path)
    assert to_json(from_json(result)) == result
