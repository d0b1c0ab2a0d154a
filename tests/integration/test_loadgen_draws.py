"""What is sent is drawn for each user and loop, or arrival: neither the responses nor the threads move it."""

from __future__ import annotations

import itertools
import random
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadgen_servers import MS, OK, plan_for, read_request, run_plan, serving

from servemark.engines.jmeter.draws import draw, draw_weighted
from servemark.workload.engine_plan import EngineArrivals, EngineGroup, EnginePlan, EngineRateSegment, EngineUntil

USERS, LOOPS, STEPS, POOL, SEED = 6, 25, 3, 9, 77
WIRES = tuple(b"GET /%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(POOL))


def _at_random(connection: socket.socket) -> None:
    """Answer each request after up to 3 ms, so that the order of the ends is another each time."""
    while read_request(connection):
        time.sleep(random.uniform(0, 0.003))
        connection.sendall(OK)


def _sent(plan: EnginePlan, path: Path) -> dict[int, list[tuple[int, int]]]:
    """By user, the step and the input of each of its requests in turn."""
    with serving(_at_random) as server:
        address = replace(plan.addresses[0], port=server.port)
        ran = run_plan(replace(plan, addresses=(address,)), path)
    assert set(ran.kinds) == {"ok"}
    rows: Any = np.sort(ran.rows, order=["user", "scheduled"])
    return {
        int(user): [(int(row["step"]), int(row["input"])) for row in own]
        for user, own in itertools.groupby(rows, key=lambda row: row["user"])
    }


def _closed(**changes: Any) -> EnginePlan:
    return plan_for(1, users=USERS, loops=LOOPS, steps=STEPS, wires=WIRES, seed=SEED, **changes)


def _mixed(**changes: Any) -> EnginePlan:
    plan = _closed(**changes)
    return replace(plan, groups=(replace(plan.groups[0], weights=(3, 2, 1)),))


def _open(**changes: Any) -> EnginePlan:
    evenly = (EngineRateSegment(2000.0, 2000.0, 0),)
    arrivals = EngineArrivals("constant", 1.0, evenly, (), count=200, max_connections=20, stream=0)
    return plan_for(1, steps=STEPS, wires=WIRES, seed=SEED, arrivals=arrivals, **changes)


@pytest.mark.parametrize("make", [_closed, _mixed, _open])
def test_the_same_user_sends_the_same_whatever_the_responses_take(make: Any, tmp_path: Path) -> None:
    first = _sent(make(threads=1), tmp_path / "one")
    assert _sent(make(threads=2), tmp_path / "two") == first
    assert _sent(make(threads=3), tmp_path / "three") == first
    assert _sent(replace(make(threads=2), seed=SEED + 1), tmp_path / "other") != first


def test_both_engines_draw_alike(tmp_path: Path) -> None:
    def drawn(step: int, user: int, loop: int) -> tuple[int, int]:
        return step, draw(SEED, POOL, step=step, position=step, user=user, loop=loop)

    loops, steps, users = range(LOOPS), range(STEPS), range(USERS)
    assert _sent(_closed(threads=2), tmp_path / "closed") == {
        user: [drawn(step, user, loop) for loop in loops for step in steps] for user in users
    }
    assert _sent(_mixed(threads=2), tmp_path / "mixed") == {
        user: [drawn(draw_weighted(SEED, user, loop, (3, 2, 1)), user, loop) for loop in loops] for user in users
    }
    assert _sent(_open(threads=2), tmp_path / "open") == {
        number: [drawn(step, number, 0) for step in steps] for number in range(200)
    }


def test_a_step_that_is_repeated_sends_its_input_again(tmp_path: Path) -> None:
    plan = _closed(threads=2)
    never = EngineUntil(b"never", 1, interval_ns=MS, limit_ns=15 * MS)
    repeated = replace(plan, steps=(replace(plan.steps[0], until=never), *plan.steps[1:]))
    with serving(_at_random) as server:
        address = replace(plan.addresses[0], port=server.port)
        ran = run_plan(replace(repeated, addresses=(address,)), tmp_path / "r")
    once = _sent(plan, tmp_path / "once")
    assert len(ran.rows) > USERS * LOOPS * STEPS
    for user in range(USERS):
        own = np.sort(ran.rows[ran.rows["user"] == user], order="scheduled")
        sent = [(int(row["step"]), int(row["input"])) for row in own]
        assert [one for one, _ in itertools.groupby(sent)] == once[user]


def test_a_step_that_a_group_names_twice_is_drawn_twice(tmp_path: Path) -> None:
    plan = _closed()
    group: EngineGroup = replace(plan.groups[0], steps=(0, 0))
    sent = _sent(replace(plan, groups=(group,)), tmp_path / "r")
    assert any(own[0::2] != own[1::2] for own in sent.values())
