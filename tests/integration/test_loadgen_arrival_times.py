"""Whose clock a response's time is of: the kernel's, which no delay of the generator's moves, or that of reading it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loadgen_servers import MS, OK, STREAM_CHUNKED, plan_for, read_request, run_plan, serving

from servemark.units import NS_PER_MS
from servemark.workload.engine_plan import EngineFault, ReceiveClock

_SERVICE_S = 0.03


def _after_a_while(connection) -> None:
    while read_request(connection):
        time.sleep(_SERVICE_S)
        connection.sendall(OK)


def test_a_response_that_is_read_late_has_the_time_at_which_it_came(tmp_path: Path) -> None:
    """Eight answers come together, and the thread takes 20 ms for each."""
    fault = EngineFault("slow_parse", 20 * NS_PER_MS)
    with serving(_after_a_while) as served:
        plan = replace(plan_for(served.port, users=8, loops=4), fault=fault)
        ran = run_plan(plan, tmp_path / "kernel")
        late = run_plan(replace(plan, receive_clock="user"), tmp_path / "user")
    assert ran.outcome.receive_clock == "kernel"
    assert ran.flagged("clock_read") == [False] * 32
    assert np.median(ran.rows["read"] - ran.rows["end"]) > 20 * MS
    assert late.outcome.receive_clock == "user"
    assert late.flagged("clock_read") == [True] * 32
    assert (late.rows["read"] == late.rows["end"]).all()
    # One that lies behind seven others is read 140 ms later; every test machine answers sooner than that.
    service, of_reading = (np.median(one.rows["end"] - one.rows["sent"]) for one in (ran, late))
    assert service < of_reading - 20 * MS


def test_a_user_of_a_closed_loop_is_due_when_its_answer_came_and_ready_when_that_was_known(tmp_path: Path) -> None:
    with serving(_after_a_while) as served:
        ran = run_plan(plan_for(served.port, users=3, loops=5, think_s=0.01), tmp_path / "r")
    assert ran.flagged("closed_loop") == [True] * 15
    for user in range(3):
        own = ran.rows[ran.rows["user"] == user]
        assert (own["scheduled"][1:] == own["end"][:-1] + 10 * MS).all()
        assert (own["ready"][1:] >= own["read"][:-1]).all()
    assert (ran.rows["end"] <= ran.rows["read"]).all()


def test_an_event_has_the_time_of_arrival_of_the_read_that_brought_it(tmp_path: Path) -> None:
    def two_events(connection) -> None:
        while read_request(connection):
            connection.sendall(STREAM_CHUNKED + b"9\r\ndata: 1\n\n\r\n")
            time.sleep(_SERVICE_S)
            connection.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    fault = EngineFault("slow_parse", 20 * NS_PER_MS)
    with serving(two_events) as served:
        ran = run_plan(replace(plan_for(served.port, users=8, loops=3), fault=fault), tmp_path / "r")
    assert ran.rows["events"].tolist() == [2] * 24
    assert (ran.rows["first_byte"] <= ran.rows["first_event"]).all()
    assert (ran.rows["last_event"] == ran.rows["end"]).all()
    assert np.median(ran.rows["read"] - ran.rows["end"]) > 20 * MS


@pytest.mark.parametrize("users", [1, 8])
def test_a_clock_that_is_set_is_noticed_and_moves_no_time(tmp_path: Path, users: int) -> None:
    """The wall clock, by which the kernel stamps, is set ahead by an hour after half a second."""
    fault = EngineFault("clock_step", 3600 * 1000 * NS_PER_MS)
    with serving(_after_a_while) as served:
        plan = replace(plan_for(served.port, users=users, duration_s=1.2), fault=fault)
        ran = run_plan(plan, tmp_path / "r")
    rows, flagged = ran.rows, np.array(ran.flagged("clock_read"))
    assert ran.outcome.clock_steps == 1
    assert not flagged[rows["read"] < 450 * MS].any()
    # What is begun after the step is noticed is timed by the clock alone.
    begun = int(rows["sent"][flagged].min()) + int(_SERVICE_S * 1000) * MS
    assert flagged[(rows["sent"] > max(begun, 600 * MS)) & (rows["read"] < 1400 * MS)].all()
    assert flagged.any()
    assert (rows["end"] <= rows["read"]).all()
    assert (rows["end"] - rows["sent"] >= int(_SERVICE_S * 1000) * MS).all()


@pytest.mark.parametrize("clock", ["auto", "kernel", "user"])
def test_a_body_that_ends_with_the_connection_has_the_time_at_which_that_was_read(
    tmp_path: Path, clock: ReceiveClock
) -> None:
    """An end of a connection is no data, and has no stamp."""

    def until_close(connection) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nok")

    with serving(until_close) as served:
        ran = run_plan(replace(plan_for(served.port, loops=1), receive_clock=clock), tmp_path / "r")
    assert ran.kinds == ["ok"]
    assert ran.flagged("clock_read") == [True]


def test_what_comes_before_the_deadline_is_no_timeout_however_late_it_is_read(tmp_path: Path) -> None:
    """The thread takes 300 ms for each of three answers that came together, and allows 400."""
    with serving(_after_a_while) as served:
        plan = plan_for(served.port, users=3, loops=1, timeout_s=0.4)
        ran = run_plan(replace(plan, fault=EngineFault("slow_parse", 300 * NS_PER_MS)), tmp_path / "r")
    assert ran.kinds == ["ok"] * 3
    assert (ran.rows["read"] - ran.rows["sent"]).max() > 400 * MS
