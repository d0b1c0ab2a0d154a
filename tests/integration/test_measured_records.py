"""The records that the figures of a real run are of: a naive percentile of them is the reported one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadgen_servers import Server, read_request, serving

from servemark import cli, open_records
from servemark.stats.percentiles import REPORTED

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

_ANSWER, _BUSY = (
    b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % status for status in (b"200 OK", b"503 Service Unavailable")
)


def _at_times_busy(connection) -> None:
    """Every tenth answer of a connection is a failure."""
    number = 0
    while read_request(connection):
        number += 1
        connection.sendall(_BUSY if number % 10 == 0 else _ANSWER)


def _step_of_run(server: Server, folder: Path, words: str) -> dict[str, Any]:
    """The only step of ``servemark run http``, with half of the requests allowed to fail."""
    url = f"http://127.0.0.1:{server.port}/"
    status = cli.main(["run", "http", "--url", url, "-o", str(folder), "--max-errors", "50%", *words.split()])
    result = json.loads((folder / "result.json").read_text())
    assert status_but_for_the_machine(status, result) == 0
    (step,) = result["benchmarks"][0]["steps"]
    return step


@pytest.mark.parametrize(
    "load",
    [
        "-t 3 --duration 0.5 --warmup 0.3",
        "-t 3 -l 40",
        "--rate 400 --duration 0.5 --warmup 0.3 --max-connections 1",
        "--rate 400 --arrival poisson -l 100 --max-connections 2",
    ],
)
def test_a_naive_percentile_of_what_is_measured_is_the_reported_one(tmp_path: Path, load: str) -> None:
    with serving(_at_times_busy) as server:
        step = _step_of_run(server, tmp_path / "out", load)
    records = open_records(str(tmp_path / "out" / "records" / "http.bin"))
    measured = records.measured("request")
    begun = measured["scheduled"] if "rate" in load else measured["sent"]
    ours_ms = np.quantile((measured["end"] - begun) / 1e6, list(REPORTED.values()), method="inverted_cdf")
    headline = step[f"{step['headline']}_ms"]
    assert ours_ms.tolist() == [headline[name]["value"] for name in REPORTED]
    assert (records.latency_ms("request") == (measured["end"] - begun) / 1e6).all()
    assert len(measured) == step["measured"]
    failed = (records["kind"] != 0) & (records["scheduled"] >= records.warmup_ns)
    assert int(failed.sum()) == step["measured_failed"] > 0
    warm_up = len(records) - len(measured) - int(failed.sum())
    assert (warm_up > 0) is ("warmup" in load)


def test_a_row_of_the_summary_is_of_the_measured_time_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_at_times_busy) as server:
        step = _step_of_run(server, tmp_path / "out", "-t 3 --duration 0.5 --warmup 0.3")
    with (tmp_path / "out" / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    records = open_records(tmp_path / "out" / "records" / "http.bin")
    samples = int((records["scheduled"] >= records.warmup_ns).sum())
    assert int(row["# Samples"]) == samples < len(records)
    assert row["Error %"] == f"{step['measured_failed'] / samples:.2%}"
    printed = capsys.readouterr().out
    assert f"requests       {samples} measured: {step['measured']} succeeded, " in printed
    assert f"with warm-up   {len(records)} sent: " in printed
