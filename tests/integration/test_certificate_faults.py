"""Faults of the generator, each made by the real engine over real sockets, and each found by the certificate."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from loadgen_servers import plan_for, read_request, run_plan, serving

from servemark import _loadgen, cli, runner
from servemark.engines.native import loopback
from servemark.engines.native.engine import NativeEngine
from servemark.environments.cache import cache_dir
from servemark.result import schema_text
from servemark.units import NS_PER_MS, NS_PER_S, NS_PER_US
from servemark.workload.engine_plan import EngineArrivals, EngineFault, EnginePlan, EngineRateSegment

from ..validity import failed_checks, skip_where_too_busy

pytestmark = pytest.mark.seconds

INVALID, TRIES = 3, 3
_BODY = b'{"status": "Healthy!"}'
_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
#: So long does the server take: 5% of it is more than a busy machine delays the generator by, with so few requests that
#: no percentile above p95 is looked at.
_SERVICE_S = 0.1
_CLOSED = ("-t", "8", "-l", "15")
_OPEN = ("--rate", "80", "--duration", "1.5", "--warmup", "0.2", "--arrival", "poisson")


def _answer(connection: socket.socket) -> None:
    while read_request(connection):
        time.sleep(_SERVICE_S)
        connection.sendall(_HEALTHY)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of a server that says it is healthy, after a while."""
    with serving(_answer) as served:
        yield served.port


@pytest.fixture
def measure(server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Measures as the command line does, with an engine that makes a fault: exit status, certificate, words printed."""

    def run(load: tuple[str, ...], fault: EngineFault | None, *options: str) -> tuple[int, dict, str]:
        class Faulty(NativeEngine):
            def execute(self, job):
                return super().execute(replace(job, compiled=replace(job.compiled, fault=fault)))

        monkeypatch.setattr(runner.invocation, "engine_of", lambda *_: Faulty())
        words = ["run", "ping", "--mms", f"127.0.0.1:{server}", *load, "-o", str(tmp_path / "result"), *options]
        status = cli.main(words)
        result = json.loads((tmp_path / "result" / "result.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, json.loads(schema_text()))
        return status, result["benchmarks"][0]["certificate"], capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("load", "checks"),
    [(_CLOSED, {"accounted", "local resources"}), (_OPEN, {"accounted", "schedule", "local resources"})],
    ids=["closed", "open"],
)
def test_without_a_fault_the_run_is_valid(measure, load: tuple[str, ...], checks: set[str]) -> None:
    for _ in range(TRIES):
        status, certificate, printed = measure(load, None, "--force")
        if status != INVALID:
            break
    skip_where_too_busy(failed_checks([certificate]))
    assert status == 0
    passed = [check["name"] for check in certificate["checks"] if check["passed"] is True]
    # Those of the machine say nothing where all of its CPUs are busy.
    assert checks <= set(passed)
    assert f"certificate    valid, {len(passed)} checks passed\n" in printed
    assert "INVALID" not in printed


@pytest.mark.parametrize(
    ("load", "fault", "reasons"),
    [
        (
            _CLOSED,
            EngineFault("late_wake_up", 150 * NS_PER_MS),
            {"generator-limited": r"^users waited for the generator for [\d.]+% of their time, so that the rate of "},
        ),
        (
            _CLOSED,
            EngineFault("slow_parse", 30 * NS_PER_MS),
            {"generator-limited": r"^users waited for the generator for [\d.]+% of their time, so that the rate of "},
        ),
        (
            _CLOSED,
            EngineFault("lost_record", 7),
            {
                "accounted": "^120 requests were scheduled but 103 recorded$",
                "in flight": r"records say 1\d\.\d\d% less than the generator's own count, limit 5%$",
            },
        ),
        (
            _OPEN,
            EngineFault("late_wake_up", 150 * NS_PER_MS),
            {"generator lag (ping)": r"^generator lag moves p\d\d of the response by [\d.]+ ms, limit [\d.]+ ms$"},
        ),
        (
            _OPEN,
            EngineFault("slow_parse", 15 * NS_PER_MS),
            {"generator lag (ping)": r"^generator lag moves p\d\d of the response by [\d.]+ ms, limit [\d.]+ ms$"},
        ),
        (
            _OPEN,
            EngineFault("skipped_arrival", 5),
            {"schedule": r"^\d+ arrivals of ping were begun, not the 1\d\d of its arrival process$"},
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, EngineFault) else "open" if value is _OPEN else "",
)
def test_each_fault_makes_the_run_invalid(measure, load, fault: EngineFault, reasons: dict[str, str]) -> None:
    status, certificate, printed = measure(load, fault)
    assert status == 3
    assert not certificate["valid"]
    assert printed.startswith("INVALID ping: ")
    assert "certificate    valid" not in printed
    failed = failed_checks([certificate])
    for check, words in reasons.items():
        assert re.search(words, failed[check]), failed
        assert f"INVALID        {check}: " in printed


def test_an_objective_that_is_missed_by_the_generators_lag_alone_is_named(measure) -> None:
    slo = ("--slo", "p90<130ms,service.p90<130ms")
    for _ in range(TRIES):
        status, certificate, printed = measure(_OPEN, EngineFault("late_wake_up", 40 * NS_PER_MS), "--force", *slo)
        assert status == 3
        if "generator lag (p90<130ms)" in failed_checks([certificate]):
            break
    else:
        # The server, too, took 30 ms more than its 100.
        assert "service.p90<130ms met" not in printed
        skip_where_too_busy(failed_checks([certificate]))
    reason = failed_checks([certificate])["generator lag (p90<130ms)"]
    words = (
        r"^\d+ of the \d+ requests that missed p90<130ms did so only by the generator's lag, without which it is not "
    )
    assert re.search(words + "missed$", reason)
    assert "generator lag (service.p90<130ms)" not in printed


def test_an_invalid_run_may_be_allowed_and_stays_marked(measure) -> None:
    status, certificate, printed = measure(_CLOSED, EngineFault("lost_record", 7), "--allow-invalid")
    assert status == 0
    assert not certificate["valid"]
    assert printed.startswith("INVALID ping: ")


def test_asking_late_for_a_connection_is_the_generators_lag_and_no_waiting_for_a_connection(tmp_path: Path) -> None:
    arrivals = EngineArrivals("constant", 0.0, (EngineRateSegment(100.0, 100.0, 0),), (), 10, 100, 0)
    with serving(_answer) as served:
        plan = plan_for(served.port)
        group = replace(plan.groups[0], users=0, arrivals=arrivals)
        late = EngineFault("late_wake_up", 80 * NS_PER_MS)
        ran = run_plan(replace(plan, groups=(group,), fault=late), tmp_path / "records")
    assert ran.rows["sent"][9] - ran.rows["ready"][9] >= 80 * NS_PER_MS


def test_the_engine_refuses_faults_that_it_does_not_know(tmp_path: Path) -> None:
    for fault, message in [
        (EngineFault("lost_recrod", 7), 'there is no fault "lost_recrod"'),  # type: ignore[arg-type]
        (EngineFault("lost_record", 0), "a fault needs an amount above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            _loadgen.start(replace(plan_for(1, loops=1), fault=fault), str(tmp_path / "records"))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("load", [{"loops": 20}, {"duration_s": 0.15, "warmup_s": 0.05}])
def test_the_engines_own_count_of_requests_under_way_is_that_of_the_records(tmp_path: Path, threads, load) -> None:
    with _loadgen.Responder() as responder:
        ran = run_plan(plan_for(responder.port, users=4, threads=threads, **load), tmp_path / "records")
    start_ns = ran.file.warmup_ns
    end_ns = ran.rows["read"].max() if "loops" in load else ran.outcome.scheduling_ended_ns
    clipped = ran.rows["read"].clip(start_ns, end_ns) - ran.rows["sent"].clip(start_ns, end_ns)
    assert ran.outcome.in_flight_ns == clipped.sum() > 0
    assert ran.outcome.sent == len(ran.rows)


def test_requests_that_could_not_be_sent_are_not_counted_as_sent(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ran = run_plan(plan_for(unused.getsockname()[1], loops=3), tmp_path / "records")
    assert ran.kinds == ["connect"] * 3
    assert (ran.outcome.sent, ran.outcome.in_flight_ns) == (0, 0)


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not count it")
def test_waiting_for_a_cpu_is_counted_while_the_threads_work(tmp_path: Path) -> None:
    with serving(_answer) as served:
        ran = run_plan(plan_for(served.port, users=2, loops=3), tmp_path / "records")
    assert ran.outcome.run_queue_waits >= 3
    assert 0 <= ran.outcome.run_queue_delay_ns < ran.outcome.run_queue_waits * 1000 * NS_PER_MS


def test_a_responder_answers_until_it_is_stopped() -> None:
    responder = _loadgen.Responder()
    with socket.create_connection(("127.0.0.1", responder.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        received = b""
        while received.count(b"\r\n\r\nok") < 2:
            received += client.recv(1000)
        responder.stop()
        assert client.recv(1000) == b""
    responder.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", responder.port))


class TestSelfTest:
    """Its figure is kept as long as it stands to reason."""

    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def attempts(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Nanoseconds that the next attempts measure; more of them fail."""
        figures: list[int] = []
        monkeypatch.setattr(loopback, "_measured_ns", lambda _fault, _reads_clock: [figures.pop(0)])
        return figures

    def test_is_quick_and_measures_something(self) -> None:
        before_s = time.process_time()
        figure_ns = loopback.measure_loopback()
        assert time.process_time() - before_s < 1.0
        assert figure_ns is not None
        assert 1 * NS_PER_US < figure_ns < 50 * NS_PER_MS

    def test_is_made_once_a_machine(self, attempts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        attempts += [20_000, 30_000]
        assert [loopback.measure_loopback(), loopback.measure_loopback()] == [20_000, 20_000]
        monkeypatch.setattr("os.cpu_count", lambda: 1000)
        assert loopback.measure_loopback() == 30_000

    def test_is_made_by_the_clock_that_the_run_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clocks: list[str] = []
        plan = loopback._plan

        def noted(*words: Any) -> EnginePlan:
            made = plan(*words)
            clocks.append(made.receive_clock)
            return made

        monkeypatch.setattr(loopback, "_plan", noted)
        monkeypatch.setattr(loopback, "_BELIEVED_NS", NS_PER_S)
        for reads_clock in (False, True, True):
            assert loopback.measure_loopback(reads_clock=reads_clock) is not None
        assert clocks == ["auto", "user"]

    def test_a_bad_figure_is_measured_again_before_it_is_believed(self, attempts: list[int]) -> None:
        attempts += [90_000, 80_000, 70_000, 60_000, 40_000, 1]
        assert loopback.measure_loopback() == 70_000
        assert loopback.measure_loopback() == 40_000
        assert loopback.measure_loopback() == 40_000

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": "another", "p50_ns": 3}', "\xff"])
    def test_a_cache_that_says_nothing_is_no_obstacle(self, attempts: list[int], content: str) -> None:
        attempts += [20_000]
        cache_dir().mkdir()
        (cache_dir() / "loopback.json").write_bytes(content.encode("latin-1"))
        assert loopback.measure_loopback() == 20_000

    def test_a_cache_that_cannot_be_written_is_no_obstacle(self, attempts: list[int]) -> None:
        attempts += [20_000, 30_000]
        cache_dir().write_text("in the way", encoding="utf-8")
        assert [loopback.measure_loopback(), loopback.measure_loopback()] == [20_000, 30_000]

    def test_without_sockets_there_is_no_figure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> list[int]:
            raise OSError("too many open files")

        monkeypatch.setattr(loopback, "_measured_ns", refuse)
        assert loopback.measure_loopback() is None

    def test_a_fault_leaves_the_cache_alone(self) -> None:
        figure_ns = loopback.measure_loopback(EngineFault("slow_parse", 2 * NS_PER_MS))
        assert figure_ns is not None
        assert not cache_dir().exists()
