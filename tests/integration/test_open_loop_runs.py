"""Whole runs of an open loop, from the request to the written result, against a real server that is no model server.

It answers health checks as Multi Model Server does, which is all that ``ping --mms`` asks for.
"""

from __future__ import annotations

import csv
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
from loadgen_servers import read_request, serving

from servemark import open_records
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.report.terminal import print_summary
from servemark.result import BenchmarkResult, schema_text
from servemark.runner import Listener, perform
from servemark.units import NS_PER_MS, NS_PER_S

pytestmark = pytest.mark.seconds

BODY = b'{"status": "Healthy!"}'
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
PAUSE_S = 0.4


class Health:
    """A server of health checks: `most` is how many connections it had at once, `before` is called before an answer."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.before = before
        self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            while read_request(connection):
                self.before()
                connection.sendall(HEALTHY)
        finally:
            with self._lock:
                self._now -= 1


class Run:
    """A finished run of ping: its benchmark as written, its records in the order of their schedule, and its folder."""

    def __init__(self, folder: Path, benchmark: BenchmarkResult, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.benchmark = folder, benchmark
        self.result = json.loads((folder / "result.json").read_text())
        jsonschema.Draft202012Validator(json.loads(schema_text())).validate(self.result)
        self.load = self.result["benchmarks"][0]["runs"][0]["load"]
        self.analysis = self.result["benchmarks"][0]["analysis"]
        (self.step,) = benchmark.steps
        self.records = open_records(folder / "records" / "ping.bin")
        self.rows = self.records.memmap()
        self.scheduled = sorted(self.rows["scheduled"].tolist())
        self.checks = {check.name: check.passed for check in benchmark.certificate.checks}


@contextmanager
def ping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Run]]:
    """Calls of it run ping against one server, each into a folder of its own; `before` as in ``Health``."""
    number = iter(range(100))

    def run(before: Callable[[], None] = lambda: None, **options: object) -> Run:
        health = Health(before)
        with serving(health) as server:
            words = {"server": f"127.0.0.1:{server.port}", "dialect": "sagemaker", **options}
            request = RunRequest.of("ping", output=tmp_path / f"out-{next(number)}", **words)
            performed = perform((request,), Listener())
        print_summary(performed.result, performed.folder)
        finished = Run(performed.folder, performed.result.benchmarks[0], capsys)
        finished.most_connections = health.most
        finished.printed = capsys.readouterr().out
        return finished

    yield run


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Run]]:
    with ping(tmp_path, capsys) as call:
        yield call


def test_an_exact_number_of_arrivals_is_sent_recorded_and_reported(run):
    one = run(rate=300, arrival="poisson", loops=90, seed=5, max_connections=20)
    assert (one.step.requests, one.step.succeeded, one.step.measured) == (90, 90, 90)
    assert one.checks["accounted"]
    assert (one.load["kind"], one.load["process"], one.load["requests"]) == ("open", "poisson", 90)
    (row,) = csv.DictReader((one.folder / "summary.csv").open())
    assert (row["Label"], row["# Samples"], row["Error %"]) == ("ping", "90", "0.00%")
    samples = list(csv.DictReader((one.folder / "requests.jtl").open()))
    assert len(samples) == 90
    threads = {sample["threadName"] for sample in samples}
    assert all(thread.startswith("connections 1-") for thread in threads)
    assert len(threads) <= int(samples[0]["allThreads"])
    assert "open loop, 300/s poisson, at most 20 connections" in one.printed
    assert "saturated" not in one.printed


def test_the_same_seed_gives_the_same_schedule_and_another_another(run):
    asked = {"rate": 1000, "arrival": "gamma:2", "loops": 100}
    first, again, other = run(**asked, seed=5), run(**asked, seed=5), run(**asked, seed=6)
    assert first.scheduled == again.scheduled != other.scheduled


def test_a_constant_rate_is_offered_exactly_for_the_time_asked(run):
    one = run(rate=100, duration_s=1.0, warmup_s=0.5)
    assert one.scheduled == [number * 10 * NS_PER_MS for number in range(150)]
    assert one.load["offered_per_s"] == pytest.approx(100.0)
    assert one.benchmark.runs[0].window_s == (0.5, 1.5)
    assert one.step.requests == 150
    assert one.step.measured == 100


def test_a_length_that_adapts_ends_at_400_successes(run, monkeypatch):
    import servemark.benchmarks
    from servemark.workload.load import Until

    monkeypatch.setattr(servemark.benchmarks, "ADAPTIVE", Until(successes=100, min_s=0.2, max_s=30.0))
    one = run(rate=400, warmup_s=0.0)
    assert 100 <= one.step.measured < 1000


def test_each_step_of_a_profile_has_its_stage(run):
    one = run(rate="40,80/0.5s", warmup_s=0.25)
    slow, fast = one.analysis["stages"]
    assert (slow["start_s"], slow["end_s"], fast["end_s"]) == (0.25, 0.75, 1.25)
    assert (slow["requests"], fast["requests"]) == (20, 40)
    assert (slow["offered_per_s"], fast["offered_per_s"]) == (40.0, 80.0)
    assert slow["failed"] == fast["failed"] == 0
    assert "offered/s" in one.printed


def test_a_ramp_offers_ever_more(run):
    one = run(rate="20..180/1s", warmup_s=0.0)
    offered = [stage["requests"] for stage in one.analysis["stages"]]
    assert len(offered) == 10
    assert offered == sorted(offered)
    assert sum(offered) == pytest.approx(100, abs=1)


def test_a_trace_is_sent_at_its_times_to_the_nanosecond(run, tmp_path):
    trace = tmp_path / "times.txt"
    trace.write_text("100.0\n100.000001\n100.000001\n100.25\n100.300000001\n")
    one = run(arrival=f"trace:{trace}")
    assert one.scheduled == [0, 1000, 1000, NS_PER_S // 4, 300_000_001]
    assert one.load["trace"]["times"] == 5
    assert one.checks["accounted"]
    cut = run(arrival=f"trace:{trace}", duration_s=0.28)
    assert cut.scheduled == [0, 1000, 1000, NS_PER_S // 4]
    twice_as_fast = run(arrival=f"trace:{trace}", rate=4 / 0.150_000_000_5)
    assert twice_as_fast.scheduled[-1] == pytest.approx(150_000_000, abs=1)
    assert run(arrival=f"trace:{trace}", loops=2).scheduled == [0, 1000]
    warm = run(arrival=f"trace:{trace}", warmup_s=0.1)
    assert (warm.step.requests, warm.step.measured) == (5, 2)
    with pytest.raises(UsageError, match="--duration is longer than the trace"):
        run(arrival=f"trace:{trace}", duration_s=1.0)


def test_a_server_that_stands_still_is_in_the_percentiles_as_long_as_it_was(run):
    answered, lock = iter(range(10_000)), threading.Lock()

    def before() -> None:
        with lock:  # one at a time, and the 50th of them takes long
            if next(answered) == 50:
                time.sleep(PAUSE_S)

    one = run(before, rate=200, loops=200, max_connections=4)
    response, queue = one.step.response_ms, one.step.client_queue_ms
    assert one.most_connections <= 5, "those of the load, and that of the first look"
    assert response.p99.value > 0.85 * PAUSE_S * 1000, "80 of 200 came while it stood still"
    assert response.p90.value > 0.6 * PAUSE_S * 1000
    assert queue.p99.value > 0.8 * PAUSE_S * 1000, "of which most waited for a connection"
    assert one.step.service_ms.p90.value < response.p90.value
    assert "; waiting for a connection: p99" in " ".join(one.printed.splitlines()[:2])


def test_more_than_a_server_can_do_is_told_as_offered_and_achieved(run):
    lock = threading.Lock()

    def before() -> None:
        with lock:
            time.sleep(0.02)  # at most 50/s

    one = run(before, rate=150, duration_s=1.0, warmup_s=0.0, max_connections=8)
    assert one.step.requests == 150
    assert one.load["offered_per_s"] == pytest.approx(150.0)
    assert one.step.throughput_per_s.value <= 51
    assert "offered        150.0/s; achieved" in one.printed
    assert one.checks["accounted"], "the backlog was sent and awaited"
