"""Whole runs against an endpoint that streams, from the request to the written result and what is printed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from loadgen_servers import OK, STREAM_CHUNKED, Server, answering, chunk, hang_up, saying, serving, streaming

from servemark import _loadgen, cli, open_events, open_records
from servemark.event_files import events_path, gaps_path, read_gaps
from servemark.result import schema_text

from ..validity import status_but_for_the_machine


def run_http(server: Server, folder: Path, words: str) -> tuple[int, dict[str, Any]]:
    """The exit status of ``servemark run http``, however punctual a busy machine was, and its result."""
    url = f"http://127.0.0.1:{server.port}/generate"
    status = cli.main(["run", "http", "--url", url, "-o", str(folder), *words.split()])
    result = json.loads((folder / "result.json").read_text())
    status = status_but_for_the_machine(status, result)
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(result)
    return status, result


def events_of(result: dict[str, Any]) -> dict[str, Any]:
    (step,) = result["benchmarks"][0]["steps"]
    return step["events"]


def test_a_run_over_streams_reports_and_keeps_their_events(tmp_path, capsys):
    with serving(streaming(5, 0.01, first_s=0.02)) as server:
        status, result = run_http(server, tmp_path / "out", "-t 4 -l 10 --record-events")
    assert status == 0
    events = events_of(result)
    assert (events["count"], events["streams"]) == (200, 40)
    assert events["per_request"] == {"mean": 5.0, "min": 5, "p50": 5, "max": 5}
    assert events["between_events_ms"]["count"] == 160
    path = tmp_path / "out" / "records" / "http.bin"
    rows = open_records(path).memmap()
    to_first_ms = np.sort(rows["first_event"] - rows["sent"]) / 1e6
    assert events["time_to_first_event_ms"]["p50"]["value"] == to_first_ms[19]
    assert events["time_to_first_event_ms"]["min"] >= 20
    start_s, end_s = result["benchmarks"][0]["runs"][0]["window_s"]
    assert events["events_per_s"]["value"] == pytest.approx(200 / (end_s - start_s))
    ((histogram,),) = read_gaps(gaps_path(path)).values()
    found = _loadgen.histogram_statistics([histogram], [0.5])
    assert events["between_events_ms"]["p50"] == found.quantiles[0] / 1e6
    recorded = open_events(events_path(path))
    assert sorted(set(recorded["seq"])) == sorted(rows["seq"])
    assert np.bincount(recorded["index"]).tolist() == [40] * 5
    printed = capsys.readouterr().out
    assert "events         200 in 40 measured streams, 5 each\n" in printed
    for label in ("event rate", "first event", "between events"):
        assert f"\n{label:15}" in printed
    assert max(map(len, printed.splitlines()[:-2])) <= 80
    assert "token" not in printed


def test_what_jmeter_reads_of_a_stream_is_a_response_like_any_other(tmp_path):
    with serving(streaming(3, 0.02)) as server:
        run_http(server, tmp_path / "out", "-t 1 -l 2")
    rows = open_records(tmp_path / "out" / "records" / "http.bin").memmap()
    with (tmp_path / "out" / "requests.jtl").open() as file:
        samples = list(csv.DictReader(file))
    latencies = [(row["first_byte"] - row["sent"]) // 1_000_000 for row in rows]
    assert [int(sample["Latency"]) for sample in samples] == latencies
    assert not events_path(tmp_path / "out" / "records" / "http.bin").exists()


def test_a_run_without_streams_has_nothing_of_events_and_nothing_of_an_older_run(tmp_path, capsys):
    folder = tmp_path / "out"
    with serving(streaming(2, 0.001)) as server:
        run_http(server, folder, "-t 1 -l 2 --record-events")
    beside = [events_path(folder / "records" / "http.bin"), gaps_path(folder / "records" / "http.bin")]
    assert all(path.exists() for path in beside)
    capsys.readouterr()
    with serving(answering(OK)) as server:
        status, result = run_http(server, folder, "-t 1 -l 2 --force")
    assert status == 0
    assert events_of(result) is None
    assert not any(path.exists() for path in beside)
    assert "event" not in capsys.readouterr().out


def test_an_open_loop_streams_too(tmp_path):
    with serving(streaming(4, 0.005)) as server:
        _, result = run_http(server, tmp_path / "out", "--rate 50 --duration 1 --warmup 0")
    assert events_of(result)["count"] == 4 * 50
    assert events_of(result)["streams"] == 50


def test_streams_that_are_cut_off_fail_with_the_events_that_they_had(tmp_path, capsys):
    event = chunk(b"data: 1\n\n")
    with serving(saying(STREAM_CHUNKED + event, event, then=hang_up)) as server:
        status, result = run_http(server, tmp_path / "out", "-t 2 -l 3")
    assert status == 4
    (step,) = result["benchmarks"][0]["steps"]
    assert step["errors"] == {"closed_early": 6}
    assert (step["events"]["count"], step["events"]["streams"]) == (12, 0)
    assert step["events"]["between_events_ms"]["count"] == 6
    assert "events         none of a measured stream; 12 events in all that was sent\n" in capsys.readouterr().out
