"""The open loop: arrivals come by their schedule, bit for bit, whatever becomes of those before."""

from __future__ import annotations

import collections
import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from servemark.workload.engine_plan import (
    EngineArrivals,
    EngineGroup,
    EnginePlan,
    EngineRateSegment,
    EngineStep,
    EngineUntil,
)
from servemark.workload.load import ProcessName


def arriving(
    *rates_per_s: float,
    process: ProcessName = "constant",
    cv: float = 1.0,
    count: int = 0,
    max_connections: int = 100,
    times_ns: tuple[int, ...] = (),
    stream: int = 0,
) -> EngineArrivals:
    """Arrivals at one rate without end."""
    profile = tuple(EngineRateSegment(rate, rate, 0) for rate in rates_per_s)
    return EngineArrivals(process, cv, profile, times_ns, count, max_connections, stream)


def schedule(arrivals: EngineArrivals, seed: int, first: int, count: int) -> Any:
    """The times of arrivals as an array."""
    return np.frombuffer(_loadgen.schedule(arrivals, seed, first, count), dtype="<i8")


PROCESSES = (
    arriving(2000, count=400),
    arriving(2000, count=400, process="poisson", stream=3),
    arriving(2000, count=400, process="gamma", cv=2.0),
    arriving(process="trace", times_ns=tuple(i * i * 1000 for i in range(400))),
)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("arrivals", PROCESSES, ids=[arrivals.process for arrivals in PROCESSES])
def test_what_is_scheduled_is_the_schedule_bit_for_bit(tmp_path: Path, arrivals: EngineArrivals, threads: int) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, arrivals=arrivals, threads=threads, seed=7), tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    rows = np.sort(ran.rows, order="user")
    assert rows["user"].tolist() == list(range(400))
    assert (rows["scheduled"] == schedule(arrivals, 7, 0, 1000)).all()
    assert (rows["seq"] % threads == rows["user"] % threads).all()
    assert ran.outcome.scheduling_ended_ns == rows["end"].max()
    assert ran.outcome.reduced_connections == 0


def test_a_slow_server_does_not_slow_arrivals(tmp_path: Path) -> None:
    def slow(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.2)
            connection.sendall(OK)

    with serving(slow) as server:
        plan = plan_for(server.port, arrivals=arriving(200), duration_s=0.5, threads=2)
        ran = run_plan(plan, tmp_path / "r")
    assert ran.kinds == ["ok"] * 100
    assert sorted(ran.rows["scheduled"]) == [i * 5 * MS for i in range(100)]
    assert ran.outcome.scheduling_ended_ns == 500 * MS
    assert 10 < server.accepted <= 100
    assert ran.rows["end"].max() < 3 * S


def test_a_profile_is_followed_and_ends(tmp_path: Path) -> None:
    ramp = (EngineRateSegment(0, 1000, S // 5), EngineRateSegment(500, 500, S // 10))
    arrivals = replace(arriving(1), profile=ramp)
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, arrivals=arrivals, duration_s=5), tmp_path / "r")
    times = sorted(ran.rows["scheduled"])
    assert len(times) == 100 + 50
    assert times == schedule(arrivals, 0, 0, 1000).tolist()
    assert times[100:102] == [200 * MS, 202 * MS]
    assert ran.outcome.scheduling_ended_ns == 5 * S


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (1, 3), (2, 5)])
def test_connections_grow_to_their_limit_and_no_further(tmp_path: Path, threads: int, most: int) -> None:
    def slow(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.02)
            connection.sendall(OK)

    with serving(slow) as server:
        arrivals = arriving(1000, count=60, max_connections=most)
        ran = run_plan(plan_for(server.port, arrivals=arrivals, threads=threads), tmp_path / "r")
    assert ran.kinds == ["ok"] * 60
    assert server.accepted == most == len(np.unique(ran.rows["connection"]))
    waited = ran.rows["ready"] - ran.rows["scheduled"]
    # 60 requests of 20 ms on `most` connections, all due within 60 ms.
    assert waited.max() > (60 // most * 20 - 100) * MS
    for connection in np.unique(ran.rows["connection"]):
        own = np.sort(ran.rows[ran.rows["connection"] == connection], order="sent")
        assert (own["ready"][1:] == np.maximum(own["scheduled"][1:], own["end"][:-1])).all()
    for thread in range(threads):  # what waits is sent in the order in which it came
        own = np.sort(ran.rows[ran.rows["user"] % threads == thread], order="scheduled")
        assert (np.diff(own["sent"]) > 0).all()


def test_connections_that_rest_are_used_before_others_are_opened(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(plan_for(server.port, arrivals=arriving(50, count=4), steps=5), tmp_path / "r")
        # Who arrives before another has gone needs one more.
        assert server.accepted <= 4
    assert len(ran.rows) == 20
    assert not ran.flagged("opened")[0]


def test_a_connection_that_the_server_closed_at_rest_is_replaced_without_a_failure(tmp_path: Path) -> None:
    pause = Pause()
    with serving(pause.behind(answering_once(OK))) as server:
        plan = plan_for(server.port, arrivals=arriving(50, count=2), steps=10, threads=2)
        ran = pause.run(plan, tmp_path / "r")
        assert server.accepted == 20
    assert ran.kinds == ["ok"] * 20
    assert sum(ran.flagged("reconnected")) == 18


def test_the_responses_of_a_stall_are_those_that_users_would_have_had(tmp_path: Path) -> None:
    stalled, go_on = threading.Event(), threading.Event()
    answered = itertools.count()

    def stalling(connection: socket.socket) -> None:
        while read_request(connection):
            if next(answered) == 60:
                stalled.set()
            if stalled.is_set():
                go_on.wait(10)
            connection.sendall(OK)

    with serving(stalling) as server:
        plan = plan_for(server.port, arrivals=arriving(200, count=160, max_connections=4))
        run = _loadgen.start(plan, str(tmp_path / "r"))
        assert stalled.wait(10)
        # 60, whatever the other connections still bring: each may have been about to answer.
        while run.progress().in_flight < 64:
            assert not run.wait(0.005)
        stall_ended_ns = run.progress().elapsed_ns
        go_on.set()
        ran = finish(run, tmp_path / "r")
    assert ran.kinds == ["ok"] * 160
    assert sorted(ran.rows["scheduled"]) == [i * 5 * MS for i in range(160)]
    during = ran.rows[(ran.rows["scheduled"] < stall_ended_ns) & (ran.rows["end"] > stall_ended_ns)]
    # At least those that were in flight: the first of them has waited for 59 intervals, each later one for one less.
    assert len(during) >= 60
    response = np.sort(during["end"] - during["scheduled"])[::-1]
    assert (response[:60] >= np.arange(59, -1, -1) * 5 * MS).all()
    # Only as many as there are connections were under way; to the others the stall was a wait for one.
    assert (during["ready"] < stall_ended_ns).sum() <= 4


def test_the_steps_of_an_arrival_follow_one_another(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, arrivals=arriving(400, count=40), steps=3, threads=2)
        ran = run_plan(plan, tmp_path / "r")
    assert collections.Counter(ran.rows["step"]) == {0: 40, 1: 40, 2: 40}
    for user in range(40):
        own = np.sort(ran.rows[ran.rows["user"] == user], order="step")
        assert own["scheduled"][0] == user * 2_500_000
        assert (own["scheduled"][1:] == own["end"][:-1]).all()


def test_a_step_is_repeated_until_its_body_says_so(tmp_path: Path) -> None:
    asked = itertools.count()

    def soon_ready(connection: socket.socket) -> None:
        while read_request(connection):
            body = b"READY" if next(asked) >= 3 else b"-----"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)

    with serving(soon_ready) as server:
        plan = plan_for(server.port, arrivals=arriving(100, count=1), steps=2)
        until = EngineUntil(b"READY", 1, interval_ns=10 * MS, limit_ns=5 * S)
        ran = run_plan(replace(plan, steps=(replace(plan.steps[0], until=until), plan.steps[1])), tmp_path / "r")
    assert ran.rows["step"].tolist() == [0, 0, 0, 0, 1]
    assert set(ran.rows["user"]) == {0}
    repeated = ran.rows[:4]
    assert (repeated["scheduled"][1:] == repeated["end"][:-1] + 10 * MS).all()


def test_a_mix_draws_each_arrivals_step_whatever_the_threads(tmp_path: Path) -> None:
    def drawn(threads: int, seed: int) -> list[int]:
        with serving(answering(OK)) as server:
            plan = plan_for(server.port, arrivals=arriving(4000, count=400), steps=2, threads=threads, seed=seed)
            plan = replace(plan, groups=(replace(plan.groups[0], weights=(3, 1)),))
            rows = np.sort(run_plan(plan, tmp_path / f"{threads}-{seed}").rows, order="user")
        assert rows["user"].tolist() == list(range(400))
        return [int(step) for step in rows["step"]]

    first = drawn(1, 5)
    assert drawn(3, 5) == first != drawn(1, 6)
    assert 250 < first.count(0) < 350


def _beside(port: int, closed: EngineGroup, arrivals: EngineArrivals) -> EnginePlan:
    plan = plan_for(port, arrivals=arrivals)
    return replace(
        plan,
        steps=(*plan.steps, EngineStep("closed", 0, (request_of(GET),))),
        groups=(*plan.groups, replace(closed, steps=(1,))),
    )


def test_a_background_goes_on_until_the_last_arrival_is_done(tmp_path: Path) -> None:
    background = EngineGroup((1,), users=2, loops=0, duration_ns=0, ramp_ns=0, think_ns=MS, background=True)
    for threads in (1, 2):
        with serving(answering(OK)) as server:
            plan = replace(_beside(server.port, background, arriving(200, count=41)), threads=threads)
            ran = run_plan(plan, tmp_path / f"{threads}")
        opened, closed = (ran.rows[ran.rows["group"] == group] for group in (0, 1))
        assert len(opened) == 41
        assert len(closed) >= 4
        assert closed["scheduled"].max() < ran.outcome.scheduling_ended_ns
        assert closed["end"].max() > 180 * MS
        assert set(closed["user"]) == {0, 1}


def test_users_of_a_closed_loop_do_not_wait_for_connections_of_an_open_one(tmp_path: Path) -> None:
    def slow(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.02)
            connection.sendall(OK)

    closed = EngineGroup((1,), users=2, loops=10, duration_ns=0, ramp_ns=0, think_ns=0)
    with serving(slow) as server:
        plan = _beside(server.port, closed, arriving(500, count=30, max_connections=1))
        ran = run_plan(plan, tmp_path / "r")
        assert server.accepted == 3
    of_closed = ran.rows[ran.rows["group"] == 1]
    assert len(of_closed) == 20
    assert (of_closed["flags"] & ran.file.flags["opened"] == 0).all()


def test_stop_at_ends_arrivals_and_awaits_those_that_came(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        arrivals = arriving(1000)
        run = _loadgen.start(plan_for(server.port, arrivals=arrivals, duration_s=30, threads=2), str(tmp_path / "r"))
        while run.progress().succeeded < 100:
            assert not run.wait(0.01)
        took_effect_ns = run.stop_at(0)
        ran = finish(run, tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    assert len(ran.rows) == (schedule(arrivals, 0, 0, 30_000) < took_effect_ns).sum()
    assert ran.outcome.scheduling_ended_ns == took_effect_ns
    assert not ran.outcome.interrupted


def test_stop_cancels_what_waits_for_a_connection_too(tmp_path: Path) -> None:
    with serving(silent) as server:
        arrivals = arriving(1000, max_connections=2)
        run = _loadgen.start(plan_for(server.port, arrivals=arrivals, duration_s=60), str(tmp_path / "r"))
        while run.progress().in_flight < 50:
            assert not run.wait(0.01)
        run.stop(0.1)
        ran = finish(run, tmp_path / "r")
    assert set(ran.kinds) == {"cancelled"}
    assert ran.outcome.interrupted
    assert (ran.rows["sent"] >= 0).sum() == 2
    assert len(ran.rows) == (schedule(arrivals, 0, 0, 60_000) < ran.outcome.scheduling_ended_ns).sum()


def test_a_server_that_refuses_fails_every_arrival_in_time(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        ran = run_plan(plan_for(bound.getsockname()[1], arrivals=arriving(500, count=50)), tmp_path / "r")
    assert ran.kinds == ["connect"] * 50
    assert sorted(ran.rows["scheduled"]) == [i * 2 * MS for i in range(50)]


_FEW_DESCRIPTORS = """
import json, pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from test_loadgen_open_loop import arriving, plan_for, run_plan
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
plan = plan_for(int(sys.argv[2]), arrivals=arriving(2000, count=400, max_connections=1000), timeout_s=20)
ran = run_plan(plan, pathlib.Path(sys.argv[3]))
print(json.dumps([ran.outcome.reduced_connections, sorted(set(ran.kinds))]))
"""


def test_a_lack_of_descriptors_reduces_the_connections_and_is_told(tmp_path: Path) -> None:
    def slow(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.4)
            connection.sendall(OK)

    with serving(slow) as server:
        words = (str(Path(__file__).parent), str(server.port), str(tmp_path / "r"))
        command = [sys.executable, "-c", _FEW_DESCRIPTORS, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        reduced, kinds = json.loads(done.stdout)
        assert server.accepted == reduced
    assert 100 < reduced < 200
    assert kinds == ["ok"]


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        (arriving(0, count=5), "nothing would arrive"),
        (arriving(-1, count=5), "not -1"),
        (arriving(10), "would never end"),
        (arriving(10, process="gamma", cv=0, count=5), "coefficient of variation"),
        (arriving(10, count=5, max_connections=1), "each of 2 threads"),
        (arriving(process="trace"), "without a time"),
        (arriving(process="trace", times_ns=(5, 3)), "must rise"),
        (arriving(10, process="weekly", count=5), 'not "weekly"'),  # type: ignore[arg-type]
    ],
)
def test_arrivals_that_cannot_be_are_refused(tmp_path: Path, arrivals: EngineArrivals, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _loadgen.start(plan_for(1, arrivals=arrivals, threads=2), str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()
