"""A real Apache JMeter does what the native engine does, and the plugins' tools read what it wrote."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from jmeter_runs import POST, find_home, plan_of, run_jmeter, run_native
from jmeter_server import Came, TimedServer, timed_server

from servemark.cli import main
from servemark.engines import ProgressReport
from servemark.engines.jmeter import perfmon, tools
from servemark.engines.jmeter.draws import draw
from servemark.environments.jmeter import JMeterHome
from servemark.workload.address import Address
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, Request, Scenario, Step

from ..short_java import short_lived_java

pytestmark = pytest.mark.slow

#: How long an answer takes, where it is longer than what a busy machine has JMeter wait for a CPU.
_LONG_S = 0.06


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> JMeterHome:
    found = find_home()
    return replace(found, java=short_lived_java(found.java, tmp_path_factory.mktemp("java")))


def _what_came(server: TimedServer) -> Counter[tuple[object, ...]]:
    def seen(came: Came) -> tuple[object, ...]:
        return came.method, came.path, came.body, came.header("content-type"), came.header("user-agent")

    return Counter(map(seen, server.came))


def _aggregate(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return {row["Label"]: row for row in csv.DictReader(lines)}


def test_both_engines_send_the_same_and_measure_the_same(home: JMeterHome, tmp_path: Path) -> None:
    """Counts exactly, medians of what the server took, or a wait for a CPU more; a pool of inputs, drawn alike."""
    pool = (POST, Request("POST", "/predictions/noop", (("Content-Type", "application/json"),), b'{"n": "1\\n"}'))
    pool += (Request("GET", "/ping"), Request("PUT", "/p?q=%20", (("Content-Type", "text/plain"),), "é\n${x}".encode()))
    plan = plan_of(ClosedLoad(users=4, loops=50), Step("predict", pool))
    with timed_server(latency_s=_LONG_S) as for_native, timed_server(latency_s=_LONG_S) as for_jmeter:
        native_ran = run_native(plan, for_native.address, tmp_path, seed=7)
        jmeter_ran = run_jmeter(home, plan, for_jmeter.address, tmp_path, seed=7)
    assert jmeter_ran.kinds == native_ran.kinds == {"ok": 200}
    assert _what_came(for_jmeter) == _what_came(for_native)
    for user in range(4):
        own = [np.sort(ran.rows[ran.rows["user"] == user], order="scheduled") for ran in (native_ran, jmeter_ran)]
        drawn = [draw(7, 4, step=0, position=0, user=user, loop=loop) for loop in range(50)]
        assert own[0]["input"].tolist() == own[1]["input"].tolist() == drawn
    assert len(for_jmeter.connections) == len(for_native.connections) == 4, "a user keeps its connection"
    for ran, server in ((jmeter_ran, for_jmeter), (native_ran, for_native)):
        took_ms = np.median(server.took_s) * 1000
        assert max(_LONG_S * 1000, took_ms - 1) <= ran.median_ms < 2 * took_ms, "JMeter has whole milliseconds"
    assert set(jmeter_ran.rows["user"]) == set(range(4))
    assert jmeter_ran.run.generator_cpu_s > 0


def test_errors_are_counted_alike(home: JMeterHome, tmp_path: Path) -> None:
    """A server that answers 503 to every tenth request, and once 302."""

    def answer(number: int) -> tuple[int, bytes]:
        return (302, b"") if number == 5 else (503, b"queue <full> & more\n") if number % 10 == 9 else (200, b"ok")

    plan = plan_of(ClosedLoad(users=2, loops=50))
    with timed_server(answer) as for_native, timed_server(answer) as for_jmeter:
        ran = [run_native(plan, for_native.address, tmp_path), run_jmeter(home, plan, for_jmeter.address, tmp_path)]
    for one in ran:
        assert one.kinds == {"ok": 89, "http_status": 11}
        assert Counter(one.rows["status"].tolist()) == {200: 89, 503: 10, 302: 1}
        bodies = {example.kind: example.body for example in one.run.examples[0]}
        assert bodies == {"http_status:503": "queue <full> & more\n", "http_status:302": ""}


def test_a_refused_connection_is_of_the_same_kind(home: JMeterHome, tmp_path: Path) -> None:
    with timed_server() as server:
        nobody = server.address
    plan = plan_of(ClosedLoad(users=1, loops=3))
    ran = [run_native(plan, nobody, tmp_path), run_jmeter(home, plan, nobody, tmp_path)]
    for one in ran:
        assert one.kinds == {"connect": 3}
        assert set(one.rows["sent"]) == {-1}
        assert "refused" in one.run.examples[0][0].message.lower()


def test_groups_steps_numbers_and_think_time(home: JMeterHome, tmp_path: Path) -> None:
    load = Step("load", (Request("POST", f"/models?name=noop-{USER_MARK}", numbered=True),))
    check = Step(
        "check", (Request("POST", "/c", (("Content-Type", "text/plain"),), f"{SEQ_MARK}\\${{user}}".encode(), True),)
    )
    plan = Plan(
        (
            Group(Scenario((load, check)), ClosedLoad(users=3, loops=2)),
            Group(Scenario((load,)), ClosedLoad(users=2, loops=4, think_s=0.1)),
        )
    )
    with timed_server() as server:
        ran = run_jmeter(home, plan, server.address, tmp_path)
    names = Counter(came.path for came in server.came if came.path.startswith("/models"))
    assert names == {f"/models?name=noop-{user:010d}": 2 if user < 3 else 4 for user in range(5)}
    bodies = [came.body.decode() for came in server.came if came.path == "/c"]
    assert len(set(bodies)) == 6
    assert all(body[:20].isdigit() and body[20:] == "\\${user}" for body in bodies)
    assert Counter(ran.rows["step"].tolist()) == {0: 6, 1: 6, 2: 8}
    assert Counter(zip(ran.rows["group"].tolist(), ran.rows["user"].tolist(), strict=True)) == {
        **{(0, user): 4 for user in range(3)},
        **{(1, user): 4 for user in (3, 4)},
    }
    for user in (3, 4):
        mine = np.sort(ran.rows[ran.rows["user"] == user], order="scheduled")
        pauses = mine["scheduled"][1:] - mine["end"][:-1]
        assert (pauses >= 99_000_000).all()


def test_time_ends_a_run_and_the_warm_up_is_marked_and_left_out_by_the_filter(home: JMeterHome, tmp_path: Path) -> None:
    plan = plan_of(ClosedLoad(users=2, duration_s=3, warmup_s=1))
    for number in range(3):  # JMeter's clock starts before its first request; where it starts slowly its time is over.
        folder = tmp_path / str(number)
        folder.mkdir()
        with timed_server() as server:
            ran = run_jmeter(home, plan, server.address, folder)
            assert len(server.came) == len(ran.rows)
        if not (ran.run.stop_reason or "").startswith("JMeter ended early"):
            break
    assert not ran.run.interrupted
    assert ran.rows["scheduled"].max() <= ran.run.scheduling_ended_ns <= 4e9
    warm = ran.rows["flags"] & ran.file.flags["warmup"] != 0
    assert (ran.rows["scheduled"][warm] < 1e9).all()
    assert (ran.rows["scheduled"][~warm] >= 1e9).all()
    filtered = tmp_path / "filtered.jtl"
    tools.filter_results(home, folder / "jmeter" / "results.jtl", filtered, labels=["predict"], warmup_s=1)
    measured = int((~warm).sum())
    assert 0 < measured < len(ran.rows)
    with filtered.open() as lines:
        assert len(lines.readlines()) - 1 == measured


def test_an_adaptive_run_ends_when_enough_has_succeeded(home: JMeterHome, tmp_path: Path) -> None:
    plan = plan_of(ClosedLoad(users=2, until=Until(successes=50, min_s=1, max_s=30)))
    with timed_server() as server:
        ran = run_jmeter(home, plan, server.address, tmp_path)
        assert len(server.came) == len(ran.rows)
    assert ran.kinds["ok"] >= 50
    assert ran.run.scheduling_ended_ns < 15e9
    assert not ran.run.interrupted


def test_a_certificate_that_signed_itself_is_taken(home: JMeterHome, tmp_path: Path) -> None:
    plan = plan_of(ClosedLoad(users=2, loops=10))
    with timed_server(tls_folder=tmp_path) as server:
        ran = run_jmeter(home, plan, server.address, tmp_path)
        assert len(server.connections) == 2
    assert ran.kinds == {"ok": 20}


@pytest.mark.parametrize("host", ["localhost", "a-name-that-nobody-resolves.test"])
def test_a_host_name_reaches_the_address_that_was_found(host: str, home: JMeterHome, tmp_path: Path) -> None:
    with timed_server() as server:
        address = Address(host, "127.0.0.1", server.address.port)
        ran = run_jmeter(home, plan_of(ClosedLoad(users=1, loops=2)), address, tmp_path)
        assert {came.header("host") for came in server.came} == {address.authority}
    assert ran.kinds == {"ok": 2}


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_java(home: JMeterHome, tmp_path: Path) -> None:
    """One user waits for an answer that does not come in time: it is cancelled a second after Ctrl-C."""
    hit = []

    def watch(progress: ProgressReport, _words: str) -> None:
        if progress.succeeded >= 20 and not hit:
            hit.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    over = threading.Event()

    def answer(number: int) -> tuple[int, bytes]:
        if number == 10:
            over.wait(60)
        return 200, b"ok"

    with timed_server(answer) as server:
        ran = run_jmeter(home, plan_of(ClosedLoad(users=2, duration_s=60)), server.address, tmp_path, watch=watch)
        assert time.monotonic() - hit[0] < 40
        over.set()
    assert ran.run.interrupted
    assert ran.kinds["ok"] >= 20
    assert set(ran.kinds) <= {"ok", "cancelled"}


def test_the_original_reports_hold_the_right_counts(home: JMeterHome, tmp_path: Path) -> None:
    steps = (Step("predict", (POST,)), Step("check", (Request("GET", "/"),)))
    plan = plan_of(ClosedLoad(users=2, loops=20), *steps)
    folder = tmp_path / "jmeter"
    folder.mkdir()
    with (
        timed_server(lambda n: (503, b"no") if n % 10 == 9 else (200, b"ok")) as server,
        perfmon.ResourceSampler(os.getpid(), folder / "perfmon.jtl", every_s=0.5),
    ):
        run_jmeter(home, plan, server.address, tmp_path)
    results = folder / "results.jtl"
    tools.write_reports(home, results, folder, labels=["predict"], warmup_s=0, resources=folder / "perfmon.jtl")
    filtered = _aggregate(folder / "aggregate.csv")
    assert {label: row["# Samples"] for label, row in filtered.items()} == {"predict": "40", "TOTAL": "40"}
    with results.open(newline="") as lines:
        took_ms = sorted(int(row["elapsed"]) for row in csv.DictReader(lines) if row["label"] == "predict")
    assert took_ms[18] <= float(filtered["predict"]["Median"]) <= took_ms[21]
    assert _aggregate(folder / "synthesis.csv")["predict"]["# Samples"] == "40"
    with (folder / "filtered.jtl").open(newline="") as lines:
        assert {row["label"] for row in csv.DictReader(lines)} == {"predict"}
    dashboard = json.loads((folder / "dashboard" / "statistics.json").read_text())
    assert dashboard["Total"]["sampleCount"] == 80
    assert dashboard["Total"]["errorCount"] == 8
    assert dashboard["check"]["sampleCount"] == 40
    assert (folder / "dashboard" / "index.html").stat().st_size > 1000
    assert (folder / "perfmon.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "perfmon.csv").open(newline="") as lines:
        drawn = list(csv.DictReader(lines))
    assert {perfmon.CPU, perfmon.MEMORY, perfmon.DISK} < set(drawn[0])
    megabytes = psutil.Process().memory_info().rss / 2**20
    assert 10 < float(drawn[0][perfmon.MEMORY]) < megabytes + 2000

    threads = range(1, 8)
    nothing = tools.MergedRun(tmp_path / "missing.jtl", "nothing: ")
    above = tmp_path / "above"
    above.mkdir()
    tools.merge_results(home, [*(tools.MergedRun(results, f"{n} threads: ") for n in threads), nothing], above)
    merged = _aggregate(above / "merged.csv")
    labels = [f"{n} threads: {step}" for n in threads for step in ("predict", "check")]
    assert {label: row["# Samples"] for label, row in merged.items()} == {**dict.fromkeys(labels, "40"), "TOTAL": "560"}
    together = json.loads((above / "dashboard" / "statistics.json").read_text())
    assert {label: row["sampleCount"] for label, row in together.items()} == {**dict.fromkeys(labels, 40), "Total": 560}
    assert not list(tmp_path.glob("**/jmeter.log.*"))


def test_any_endpoint_is_sent_a_token_that_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JMeter has the token from a pipe; what the server says back is masked in JMeter's own files, too."""
    find_home()
    secret = "s3cr3t \\3 ${x}-with-a-tail"
    monkeypatch.setenv("TOKEN", secret)

    def say(came: Came) -> tuple[int, bytes]:
        return 500, f"you sent {came.header('authorization')} to {came.header('host')}".encode()

    with timed_server(say=say) as server:
        place = f"127.0.0.1:{server.address.port}"
        words = ["run", "http", "--url", "http://models.example:81/x?y=1", "--connect-to", place]
        words += ["-H", "Authorization: Bearer $TOKEN", "-H", "X-Api-Key: another-one", "--engine", "jmeter"]
        assert main([*words, "-v", "-l", "2", "-t", "1", "-o", str(tmp_path / "result")]) == 4
    assert [came.header("authorization") for came in server.came] == [f"Bearer {secret}"] * 2
    assert [came.header("x-api-key") for came in server.came] == ["another-one"] * 2
    assert {came.header("host") for came in server.came} == {"models.example:81"}
    printed = capsys.readouterr()
    written = [path for path in (tmp_path / "result").rglob("*") if path.is_file()]
    texts = [printed.out.encode(), printed.err.encode(), *(path.read_bytes() for path in written)]
    assert not [text for text in texts if b"with-a-tail" in text or b"another-one" in text or b"s3cr3t" in text]
    (failures,) = [path for path in written if path.name == "failures.xml"]
    assert b"you sent *** to models.example:81" in failures.read_bytes()
