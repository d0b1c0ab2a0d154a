"""``--slo`` from the command line to the verdicts, the exit status and JUnit's XML, against servers on sockets."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from loadgen_servers import OK, answering, serving, streaming

from servemark import open_records
from servemark.cli import main
from servemark.result import schema_text

from ..validity import TOO_BUSY, failed_checks, skip_where_too_busy, status_but_for_the_machine

pytestmark = pytest.mark.seconds

Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``servemark run http``: the exit status, the result, and what was printed."""

    def call(port: int, slo: str, *words: str) -> tuple[int, dict[str, Any], str]:
        folder, junit = tmp_path / "result", tmp_path / "verdicts.xml"
        asked = ["run", "http", f"http://127.0.0.1:{port}/", "-o", str(folder), "--force", "--slo", slo, *words]
        status = main([*asked, "--junit", str(junit)])
        result = json.loads((folder / "result.json").read_text())
        jsonschema.validate(result, json.loads(schema_text()))
        printed = capsys.readouterr()
        return status_but_for_the_machine(status, result), result, printed.out + printed.err

    return call


def verdicts_of(result: dict[str, Any]) -> dict[str, str]:
    found = result["benchmarks"][0]["verdicts"]
    return {one["objective"]: one["outcome"] for one in found if one.get("objective")}


def until_decided(run: Run, *words: Any) -> tuple[int, dict[str, Any], str]:
    """Runs it again, twice at most, where its requests depended on each other for too long: the machine paused."""
    for _ in range(3):
        status, result, printed = run(*words)
        if "undecided" not in verdicts_of(result).values():
            break
    return status, result, printed


def failing(every: int) -> Callable[[socket.socket], None]:
    """Answer each request at once, each such one of a connection with 503."""

    def serve(connection: socket.socket) -> None:
        number = 0
        while connection.recv(65536):
            number += 1
            status = b"503 Busy" if number % every == 0 else b"200 OK"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")

    return serve


def test_an_objective_that_is_met_is_the_first_line_and_exit_0(run: Run, tmp_path: Path) -> None:
    with serving(after(0.002)) as server:
        status, result, printed = until_decided(run, server.port, "p50<5s, errors<1%", "-t", "2", "-l", "300")
    assert status == 0
    assert verdicts_of(result) == {"p50<5s": "met", "errors<1%": "met"}
    assert "SLO met: p50<5s, errors<1%\n" in printed
    step = result["benchmarks"][0]["steps"][0]
    assert step["goodput_per_s"]["value"] == pytest.approx(step["throughput_per_s"]["value"], rel=0.01)
    suite = ElementTree.parse(tmp_path / "verdicts.xml").getroot().find("testsuite")
    assert suite is not None
    errors = str(int(not result["benchmarks"][0]["certificate"]["valid"]))
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", errors, "0")
    assert [case.get("name") for case in suite.iter("testcase")][-1] == "objective errors<1%"


def test_one_that_is_missed_is_exit_1_and_a_failure_of_its_case(run: Run, tmp_path: Path) -> None:
    with serving(after(0.03)) as server:
        status, result, printed = run(server.port, "p99<10ms,errors<50%", "-t", "2", "-l", "10")
    assert status == 1
    assert verdicts_of(result) == {"p99<10ms": "missed", "errors<50%": "met"}
    assert "SLO missed: 0.000% of 20 requests within 10.0 ms" in printed
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "verdicts.xml").iter("testcase")}
    assert cases["objective p99<10ms"].find("failure") is not None
    assert cases["objective errors<50%"].find("failure") is None


def test_too_few_requests_leave_it_undecided_and_say_how_many_would_decide(run: Run) -> None:
    with serving(answering(OK)) as server:
        status, result, printed = run(server.port, "p99<5s", "-t", "1", "-l", "50")
    assert status == 0
    assert verdicts_of(result) == {"p99<5s": "undecided"}
    needed = {int(one.replace(",", "")) for one in re.findall(r"([\d,]+) requests would decide", printed)}
    assert min(needed) >= 299


def test_a_rate_is_judged_by_its_interval(run: Run) -> None:
    with serving(after(0.002)) as server:
        status, result, _ = run(server.port, "rate>1/s,rate>1000000/s", "-t", "2", "--duration", "4", "--warmup", "0")
    found, rate = verdicts_of(result), result["benchmarks"][0]["steps"][0]["throughput_per_s"]
    told = {"rate>1/s": "met", "rate>1000000/s": "missed"} if rate["ci95"] else dict.fromkeys(found, "undecided")
    assert found == told
    assert status == int(rate["ci95"] is not None)


def test_all_trials_count_together(run: Run) -> None:
    with serving(answering(OK)) as server:
        status, result, printed = run(server.port, "errors<1%", "-t", "1", "-l", "200", "--trials", "2")
    skip_where_too_busy(failed_checks(one["certificate"] for one in result["benchmarks"][0]["runs"]))
    assert status == 0
    assert verdicts_of(result) == {"errors<1%": "met"}, "of 299 requests without one that failed"
    assert "of 400 requests failed" in printed


def test_a_request_that_fails_is_not_within_any_time(run: Run) -> None:
    with serving(failing(10)) as server:
        status, result, _ = run(server.port, "p95<5s,errors<20%", "-t", "1", "-l", "500", "--max-errors", "50%")
    assert status == 1
    assert verdicts_of(result) == {"p95<5s": "missed", "errors<20%": "met"}
    step = result["benchmarks"][0]["steps"][0]
    assert step["goodput_per_s"]["value"] == pytest.approx(step["throughput_per_s"]["value"], rel=0.01)


def test_events_have_objectives_and_goodput_is_within_all_of_them(run: Run, tmp_path: Path) -> None:
    slo = "first_event.p50<5s,between_events.p50<5s,p50<1us"
    with serving(streaming(4, 0.005, first_s=0.01)) as server:
        status, result, _ = until_decided(run, server.port, slo, "-t", "4", "-l", "100")
    assert status == 1
    assert verdicts_of(result) == {"first_event.p50<5s": "met", "between_events.p50<5s": "met", "p50<1us": "missed"}
    assert result["benchmarks"][0]["steps"][0]["goodput_per_s"]["value"] == 0
    assert len(open_records(tmp_path / "result" / "records" / "http.bin")) == 400


def test_a_statistic_that_the_run_lacks_is_exit_2_and_nothing_is_lost(run: Run) -> None:
    with serving(answering(OK)) as server:
        status, result, printed = run(server.port, "first_event.p99<1s,errors<50%", "-t", "1", "-l", "20")
    assert status == 2
    assert "no response streamed" in " ".join(printed.split())
    assert result["benchmarks"][0]["steps"][0]["measured"] == 20
    assert verdicts_of(result) == {"errors<50%": "met"}


def test_a_step_that_is_not_there_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(answering(OK)) as server:
        words = ["run", "http", f"http://127.0.0.1:{server.port}/", "-o", str(tmp_path / "out"), "-l", "5"]
        assert main([*words, "--slo", "predict.p99<1s"]) == 2
    assert "http has no step 'predict'; choose from request" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_malformed_objective_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "http", "http://127.0.0.1:9/", "--slo", "p99<50ms,p95<x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == ["  p99<50ms,p95<x", "               ^"]


def test_junit_goes_to_a_file_that_is_tried_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "http", "http://127.0.0.1:9/", "-o", str(tmp_path / "out")]
    assert main([*words, "--junit", str(tmp_path / "none" / "verdicts.xml")]) == 2
    assert "verdicts.xml" in capsys.readouterr().err
    assert main([*words, "--junit", "-"]) == 2
    assert not (tmp_path / "out").exists()


def after(delay_s: float) -> Callable[[socket.socket], None]:
    """Answer each request so much later."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            time.sleep(delay_s)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return serve


def slow_at_first(slow_s: float) -> Callable[[socket.socket], None]:
    """Answer after 20 ms for so long from the first request on, then after 2 to 8 ms.

    So far apart are these that a machine which gets a little slower later on makes few more of them slower than the
    median, by which a warm-up is found: of answers that are all alike it could make all.
    """
    first_s: list[float] = []

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            first_s.append(time.monotonic())
            time.sleep(0.02 if first_s[-1] - first_s[0] < slow_s else random.uniform(0.002, 0.008))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return serve


#: What a server answers after 8 ms is here within this, on a machine that does not keep it waiting.
_FAST_MS = 12
_MOST_TRIES = 3


def _measured_slow_at_first(folder: Path, slow_s: float) -> bool:
    """Measure a server that is slow for so long; whether the machine let it be fast then, all the time alike.

    That is in nine answers of ten, with medians close together of all tenths of them: a machine that others slow down
    later on has no steady time for which a beginning could be cut.
    """
    with serving(slow_at_first(slow_s)) as server:
        words = ["run", "http", f"http://127.0.0.1:{server.port}/", "-o", str(folder), "-t", "4", "--duration", "6"]
        main([*words, "--allow-invalid", "--force"])
    rows = open_records(folder / "records" / "http.bin").memmap()
    fast = np.sort(rows[rows["sent"] > (slow_s + 0.3) * 1e9], order="sent")
    took_ms = (fast["end"] - fast["sent"]) / 1e6
    medians = np.array([np.median(part) for part in np.array_split(took_ms, 10)])
    return bool(np.mean(took_ms < _FAST_MS) > 0.9 and np.ptp(medians) < 0.4 * np.median(took_ms))


def test_what_is_left_of_a_warm_up_is_found_and_cut_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    if not any(_measured_slow_at_first(folder, 4.0) for _ in range(_MOST_TRIES)):
        pytest.skip(TOO_BUSY)
    result = json.loads((folder / "result.json").read_text())
    (found,) = result["benchmarks"][0]["runs"]
    assert 3.7 < found["warmup_s"] == found["window_s"][0] < 5
    assert found["load"]["warmup_s"] == 2.0
    step = found["steps"][0]
    assert step["service_ms"]["p50"]["value"] < _FAST_MS
    file = open_records(folder / "records" / "http.bin")
    assert len(file.measured()) == step["measured"]
    labels = [line.split(",")[2] for line in (folder / "requests.jtl").read_text().splitlines()[1:]]
    assert labels.count("request") == step["measured"] + step["measured_failed"]


def test_a_warm_up_that_is_given_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    with serving(slow_at_first(1.5)) as server:
        words = ["run", "http", f"http://127.0.0.1:{server.port}/", "-o", str(folder), "-t", "4", "--duration", "3"]
        main([*words, "--warmup", "0.5", "--allow-invalid"])
    (found,) = json.loads((folder / "result.json").read_text())["benchmarks"][0]["runs"]
    assert found["warmup_s"] == 0.5


def test_the_load_goes_on_through_the_end_of_the_warm_up(tmp_path: Path) -> None:
    """No user waits at the end of the warm-up: requests are under way across it, of 0.3 s, whoever needs the CPUs."""
    folder = tmp_path / "result"
    with serving(after(0.3)) as server:
        words = ["run", "http", f"http://127.0.0.1:{server.port}/", "-o", str(folder), "-t", "8", "--duration", "1"]
        main([*words, "--warmup", "1", "--allow-invalid"])
    rows = open_records(folder / "records" / "http.bin").memmap()
    warmup_ns = 1_000_000_000
    across = (rows["sent"] < warmup_ns) & (rows["end"] >= warmup_ns)
    assert across.sum() >= 3, "all of the eight, where nobody else needs the CPUs"
