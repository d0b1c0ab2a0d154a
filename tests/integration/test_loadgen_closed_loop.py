"""The closed loop: exact counts, users that keep to their times, and runs that end when they are told to."""

from __future__ import annotations

import collections
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loadgen_servers import (
    GET,
    MS,
    OK,
    Pause,
    S,
    answering,
    answering_once,
    finish,
    plan_for,
    read_request,
    request_of,
    run_plan,
    serving,
    silent,
)

from servemark import _loadgen
from servemark.workload.address import Address
from servemark.workload.engine_plan import EngineGroup, EnginePatch, EnginePlan, EngineStep


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_loops_mean_exactly_users_times_loops_times_steps(tmp_path: Path, threads: int) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=4, loops=25, steps=3, threads=threads), tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert len(ran.rows) == 4 * 25 * 3 == ran.progress.measured_succeeded
    assert collections.Counter(ran.rows["user"]) == dict.fromkeys(range(4), 75)
    for user in range(4):
        own = ran.rows[ran.rows["user"] == user]
        assert own["step"].tolist() == [0, 1, 2] * 25
        assert len(np.unique(own["connection"])) == 1
        assert (own["scheduled"][1:] == own["end"][:-1]).all()
    assert server.accepted == 4
    assert not any(ran.flagged("opened"))
    assert (ran.rows["connect_us"] > 0).sum() == 4
    assert ran.outcome.scheduling_ended_ns == ran.rows["end"].max()
    assert not ran.outcome.interrupted
    assert ran.outcome.generator_cpu_ns > 0
    assert ran.outcome.write_error is None
    assert abs(ran.outcome.started_unix_ns - time.time_ns()) < 60 * S


def test_the_file_describes_itself(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=2, loops=3, steps=2, warmup_s=1.5), tmp_path / "r")
    file = ran.file
    assert file.step_names == ("step-0", "step-1")
    assert file.error_kinds == _loadgen.ERROR_KINDS
    assert file.flags == _loadgen.RECORD_FLAGS
    assert file.dtype.itemsize == _loadgen.RECORD_ROW_BYTES == 112
    assert file.dtype.names == tuple(name for name, _, _ in _loadgen.RECORD_COLUMNS)
    assert file.started_unix_ns == ran.outcome.started_unix_ns
    assert file.warmup_ns == 1.5 * S
    assert (ran.rows["bytes_sent"] == len(GET)).all()
    assert (ran.rows["bytes_received"] == len(OK)).all()
    assert (ran.rows["status"] == 200).all()


def test_a_duration_bounds_what_is_scheduled(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=3, duration_s=0.3, threads=2), tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert ran.rows["scheduled"].max() < 300 * MS
    assert ran.outcome.scheduling_ended_ns == 300 * MS
    assert not ran.outcome.interrupted


def test_what_was_scheduled_inside_the_duration_is_awaited(tmp_path: Path) -> None:
    def slow(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.3)
            connection.sendall(OK)

    with serving(slow) as server:
        ran = run_plan(plan_for(server.port, users=2, duration_s=0.1), tmp_path / "r")
    assert ran.kinds == ["ok", "ok"]
    assert ran.rows["end"].min() >= 300 * MS


def test_users_think_between_an_answer_and_their_next_request(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=3, loops=4, think_s=0.05), tmp_path / "r")
    assert len(ran.rows) == 12
    for user in range(3):
        own = ran.rows[ran.rows["user"] == user]
        assert (own["scheduled"][1:] == own["end"][:-1] + 50 * MS).all()
        assert (own["sent"] >= own["scheduled"]).all()


def test_users_start_along_the_ramp(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=4, loops=1, ramp_s=0.2), tmp_path / "r")
    by_user = {int(row["user"]): int(row["scheduled"]) for row in ran.rows}
    assert by_user == {0: 0, 1: 50 * MS, 2: 100 * MS, 3: 150 * MS}


def test_a_failed_step_does_not_end_the_loop(tmp_path: Path) -> None:
    with serving(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")) as server:
        ran = run_plan(plan_for(server.port, users=2, loops=3, steps=2), tmp_path / "r")
    assert ran.kinds == ["http_status"] * 12
    assert ran.progress.failed == 12
    assert [(e.kind, e.status, e.step, e.message, e.body) for e in ran.outcome.examples] == [
        ("http_status", 503, 0, "status 503", b"busy"),
        ("http_status", 503, 1, "status 503", b"busy"),
    ]


def test_records_scheduled_in_the_warm_up_are_flagged(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, duration_s=0.3, warmup_s=0.1), tmp_path / "r")
    assert ran.flagged("warmup") == (ran.rows["scheduled"] < 100 * MS).tolist()
    assert ran.progress.measured_succeeded == (ran.rows["scheduled"] >= 100 * MS).sum()


def test_groups_run_together_and_number_their_users_in_order(tmp_path: Path) -> None:
    with serving(answering(OK)) as one, serving(answering(OK)) as other:
        plan = EnginePlan(
            addresses=(Address("a", "127.0.0.1", one.port), Address("b", "127.0.0.1", other.port)),
            steps=(EngineStep("first", 0, (request_of(GET),)), EngineStep("second", 1, (request_of(GET),))),
            groups=(
                EngineGroup(steps=(0,), users=2, loops=5, duration_ns=0, ramp_ns=0, think_ns=0),
                EngineGroup(steps=(1, 0), users=3, loops=4, duration_ns=0, ramp_ns=0, think_ns=0),
            ),
            warmup_ns=0,
            timeout_ns=5 * S,
            connect_timeout_ns=5 * S,
            threads=2,
        )
        ran = run_plan(plan, tmp_path / "r")
        assert (one.accepted, other.accepted) == (5, 3)
    counts = collections.Counter(zip(ran.rows["group"], ran.rows["user"], ran.rows["step"], strict=True))
    expected = {(0, user, 0): 5 for user in (0, 1)}
    expected |= {(1, user, step): 4 for user in (2, 3, 4) for step in (0, 1)}
    assert counts == expected


def test_requests_carry_their_user_and_number_and_are_drawn_by_seed(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def note(connection: socket.socket) -> None:
        while request := read_request(connection):
            seen.append(request.split()[1])
            connection.sendall(OK)

    wires = tuple(b"GET /%d/%s/%s HTTP/1.1\r\n\r\n" % (kind, b"0" * 10, b"0" * 20) for kind in range(4))
    patches = (EnginePatch("target", 3, 10, "user"), EnginePatch("target", 14, 20, "seq"))

    def inputs(seed: int, path: Path) -> list[int]:
        seen.clear()
        with serving(note) as server:
            plan = plan_for(server.port, users=3, loops=20, wires=wires, patches=patches, seed=seed, threads=2)
            rows = run_plan(plan, path).rows
        asked = sorted(b"/%d/%010d/%020d" % (row["input"], row["user"], row["seq"]) for row in rows)
        assert sorted(seen) == asked
        return [int(row["input"]) for row in np.sort(rows, order=["user", "seq"])]

    first = inputs(1, tmp_path / "a")
    assert set(first) == {0, 1, 2, 3}
    assert inputs(1, tmp_path / "b") == first
    assert inputs(2, tmp_path / "c") != first


def test_ipv6(tmp_path: Path) -> None:
    with serving(answering(OK), ip="::1") as server:
        ran = run_plan(plan_for(server.port, users=2, loops=2, ip="::1"), tmp_path / "r")
    assert ran.kinds == ["ok"] * 4


def test_more_users_than_are_connected_at_once(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, users=600, loops=1, threads=2), tmp_path / "r")
        assert server.accepted == 600
    assert ran.kinds == ["ok"] * 600
    assert not any(ran.flagged("opened"))


def test_an_idle_connection_that_the_server_closed_is_replaced_without_a_failure(tmp_path: Path) -> None:
    pause = Pause()
    with serving(pause.behind(answering_once(OK))) as server:
        ran = pause.run(plan_for(server.port, loops=4), tmp_path / "r")
    assert ran.kinds == ["ok"] * 4
    assert ran.flagged("reconnected") == ran.flagged("opened") == [False, True, True, True]
    assert len(np.unique(ran.rows["connection"])) == 4
    assert (ran.rows["connect_us"] > 0).all()


def test_stop_at_ends_scheduling_and_awaits_what_is_in_flight(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        run = _loadgen.start(plan_for(server.port, users=4, duration_s=30, threads=2), str(tmp_path / "r"))
        while run.progress().succeeded < 100:
            assert not run.wait(0.01)
        took_effect_ns = run.stop_at(0)
        assert run.stop_at(25 * S) == took_effect_ns
        ran = finish(run, tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert ran.rows["scheduled"].max() < took_effect_ns == ran.outcome.scheduling_ended_ns
    assert not ran.outcome.interrupted


@pytest.mark.parametrize("first_drain_s", [0.0, 0.2, 60.0])
def test_stop_cancels_what_does_not_answer(tmp_path: Path, first_drain_s: float) -> None:
    with serving(silent) as server:
        plan = plan_for(server.port, users=3, duration_s=60, timeout_s=60, threads=2)
        run = _loadgen.start(plan, str(tmp_path / "r"))
        while run.progress().in_flight < 3:
            assert not run.wait(0.01)
        stopped = time.monotonic()
        run.stop(first_drain_s)
        if first_drain_s > 1:
            assert not run.wait(0.1)
            stopped = time.monotonic()
            run.stop(0)
        ran = finish(run, tmp_path / "r")
        took_s = time.monotonic() - stopped
    assert took_s < 20
    assert ran.kinds == ["cancelled"] * 3
    assert (ran.rows["sent"] >= 0).all()
    assert ran.outcome.interrupted
    assert ran.outcome.scheduling_ended_ns < ran.rows["end"].min()


def test_a_stop_that_cuts_nothing_off_leaves_only_successes(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        run = _loadgen.start(plan_for(server.port, users=2, duration_s=60), str(tmp_path / "r"))
        while run.progress().succeeded < 10:
            assert not run.wait(0.01)
        run.stop(5)
        ran = finish(run, tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert ran.outcome.interrupted


@pytest.mark.parametrize("threads", [1, 2])
def test_stop_before_the_start_leaves_no_record(tmp_path: Path, threads: int) -> None:
    # A full listen backlog: the kernel answers no further SYN, and connects hang.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        plan = plan_for(port, users=20, loops=5, connect_timeout_s=30, threads=threads)
        run = _loadgen.start(plan, str(tmp_path / "r"))
        assert not run.wait(0.2)
        assert run.progress().elapsed_ns == 0
        stopped = time.monotonic()
        run.stop(30)
        ran = finish(run, tmp_path / "r")
        assert time.monotonic() - stopped < 20
    assert len(ran.rows) == 0
    assert ran.outcome.interrupted
    assert ran.outcome.scheduling_ended_ns == 0


def test_connections_open_before_the_first_request_is_due(tmp_path: Path) -> None:
    arrived = threading.Event()

    def slow_to_read(connection: socket.socket) -> None:
        arrived.set()
        answering(OK)(connection)

    with serving(slow_to_read) as server:
        ran = run_plan(plan_for(server.port, loops=1), tmp_path / "r")
    assert arrived.is_set()
    assert ran.rows["scheduled"].tolist() == [0]
    assert ran.flagged("opened") == [False]


def test_finish_may_be_asked_again(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        run = _loadgen.start(plan_for(server.port, loops=2), str(tmp_path / "r"))
        assert run.finish().records == run.finish().records == 2


def test_a_run_that_is_dropped_ends(tmp_path: Path) -> None:
    with serving(silent) as server:
        run = _loadgen.start(plan_for(server.port, users=2, duration_s=60), str(tmp_path / "r"))
        dropped = time.monotonic()
        del run
        assert time.monotonic() - dropped < 20


def test_plans_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    plan = plan_for(1, loops=1)
    bad = [
        replace(plan, threads=0),
        replace(plan, groups=()),
        replace(plan, steps=()),
        replace(plan, groups=(replace(plan.groups[0], loops=0),)),
        replace(plan, addresses=(Address("x", "not an address", 1),)),
        plan_for(1, loops=1, patches=(EnginePatch("body", 0, 1, "seq"),)),
        plan_for(1, loops=1, patches=(EnginePatch("target", 0, 1000, "seq"),)),
        plan_for(1, loops=1, patches=(EnginePatch("target", 0, 1, "weather"),)),
        plan_for(1, loops=1, patches=(EnginePatch("head", 0, 1, "seq"),)),  # type: ignore[arg-type]
        plan_for(1, loops=1, wires=(b"GET /\n HTTP/1.1\r\n\r\n",)),
        plan_for(1, loops=1, wires=(b"GET / HTTP/1.1\r\nX: a\nb\r\n\r\n",)),
    ]
    for one in bad:
        with pytest.raises(ValueError, match=r".+"):
            _loadgen.start(one, str(tmp_path / "r"))
    with pytest.raises(FileNotFoundError):
        _loadgen.start(plan, str(tmp_path / "no" / "folder" / "r"))
