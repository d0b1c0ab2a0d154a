"""Steps that expect a status, repeat until a body says so, are mixed by weight, go on in the background."""

from __future__ import annotations

import itertools
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from loadgen_servers import MS, OK, answering, plan_for, read_request, run_plan, serving

from servemark.workload.engine_plan import EngineGroup, EngineStep, EngineUntil


def _counting(connection: socket.socket) -> None:
    """Answer the n-th request of a connection with a body of n times READY, in two pieces."""
    for number in itertools.count(1):
        if not read_request(connection):
            return
        body = b"READY " * number
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:3]))
        connection.sendall(body[3:])


def _with_step(plan, **changes):
    return replace(plan, steps=(replace(plan.steps[0], **changes), *plan.steps[1:]))


@pytest.mark.parametrize(("expected", "kinds"), [(None, ["ok"]), (200, ["ok"]), (210, ["unexpected_status"])])
def test_a_step_may_expect_one_status(tmp_path: Path, expected: int | None, kinds: list[str]) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=1), expect_status=expected), tmp_path / "r")
    assert ran.kinds == kinds
    assert [example.message for example in ran.outcome.examples] == ([] if kinds == ["ok"] else ["status 200, not 210"])


def test_a_status_that_is_expected_may_be_an_error(tmp_path: Path) -> None:
    with serving(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=1), expect_status=404), tmp_path / "r")
    assert ran.kinds == ["ok"]


def test_a_step_is_repeated_until_the_body_says_so(tmp_path: Path) -> None:
    until = EngineUntil(b"READY", 3, interval_ns=20 * MS, limit_ns=10_000 * MS)
    with serving(_counting) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=1, steps=2), until=until), tmp_path / "r")
    assert ran.kinds == ["ok"] * 4
    assert ran.rows["step"].tolist() == [0, 0, 0, 1]
    pauses = ran.rows["scheduled"][1:3] - ran.rows["end"][:2]
    assert (pauses == 20 * MS).all()


def test_a_step_that_is_repeated_for_too_long_fails_and_its_user_goes_on(tmp_path: Path) -> None:
    limit_ns = 60 * MS
    until = EngineUntil(b"never", 1, interval_ns=5 * MS, limit_ns=limit_ns)
    with serving(answering(OK)) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=1, steps=2), until=until), tmp_path / "r")
    repeated = len(ran.rows) - 2
    assert ran.kinds == ["ok"] * repeated + ["application", "ok"]
    assert ran.rows["step"].tolist() == [0] * (repeated + 1) + [1]
    # What is read within the limit is repeated, and what is read behind it is not.
    assert (ran.rows["end"][:repeated] < limit_ns).all()
    assert ran.rows["sent"][-1] >= limit_ns
    (example,) = ran.outcome.examples
    assert "the body does not hold" in example.message


def test_a_body_too_long_to_be_kept_is_not_judged_as_if_it_were_whole(tmp_path: Path) -> None:
    """It has the text once more behind what is kept."""
    body = b"READY" + b"." * (300 << 10) + b"READY"
    until = EngineUntil(b"READY", 1, interval_ns=MS, limit_ns=10_000 * MS)
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=1, steps=2), until=until), tmp_path / "r")
    assert ran.kinds == ["application", "ok"]
    (example,) = ran.outcome.examples
    assert example.message == 'the body has 307210 bytes, and "READY" is counted in up to 256 KiB'


def test_an_error_is_not_repeated(tmp_path: Path) -> None:
    until = EngineUntil(b"READY", 1, interval_ns=MS, limit_ns=1000 * MS)
    with serving(answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")) as server:
        ran = run_plan(_with_step(plan_for(server.port, loops=2), until=until), tmp_path / "r")
    assert ran.kinds == ["http_status"] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_mix_sends_each_step_by_its_weight(tmp_path: Path, threads: int) -> None:
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, users=4, loops=500, steps=3, threads=threads)
        plan = replace(plan, groups=(replace(plan.groups[0], weights=(2, 1, 1)),))
        ran = run_plan(plan, tmp_path / "r")
        again = run_plan(plan, tmp_path / "again")
    assert len(ran.rows) == 2000
    share = [(ran.rows["step"] == step).mean() for step in range(3)]
    assert share == pytest.approx([0.5, 0.25, 0.25], abs=0.06)
    for user in range(4):
        first, second = (rows[rows["user"] == user]["step"].tolist() for rows in (ran.rows, again.rows))
        assert first == second


@pytest.mark.parametrize("threads", [1, 3])
def test_the_background_ends_with_the_last_loop_of_the_others(tmp_path: Path, threads: int) -> None:
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, users=2, loops=20, think_s=0.005, threads=threads)
        background = EngineGroup((1,), users=3, loops=0, duration_ns=0, ramp_ns=0, think_ns=MS, background=True)
        steps = (*plan.steps, EngineStep("background", 0, plan.steps[0].requests))
        ran = run_plan(replace(plan, steps=steps, groups=(*plan.groups, background)), tmp_path / "r")
    front, back = (ran.rows[ran.rows["group"] == group] for group in (0, 1))
    assert len(front) == 40
    assert len(back) > 3
    assert back["scheduled"].min() < front["end"].min()
    assert back["scheduled"].max() < ran.outcome.scheduling_ended_ns
    # That is when the last answer was read, by a thread that may not have run before.
    late_ns = ran.outcome.scheduling_ended_ns - front["end"].max()
    assert 0 <= late_ns < 100 * MS + max(ran.outcome.paused_ns)
    assert not ran.outcome.interrupted


def test_successes_that_count_are_those_of_the_headlines_steps(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, users=2, loops=10, steps=3)
        steps = tuple(replace(step, is_headline=number == 1) for number, step in enumerate(plan.steps))
        background = EngineGroup((2,), users=1, loops=0, duration_ns=0, ramp_ns=0, think_ns=0, background=True)
        ran = run_plan(replace(plan, steps=steps, groups=(*plan.groups, background)), tmp_path / "r")
    assert ran.progress.measured_succeeded == 20
    assert ran.progress.succeeded >= 60


def test_a_background_of_nothing_is_refused(tmp_path: Path) -> None:
    plan = plan_for(1, loops=1)
    alone = replace(plan, groups=(replace(plan.groups[0], background=True),))
    with pytest.raises(ValueError, match="in the background of nothing"):
        run_plan(alone, tmp_path / "r")
