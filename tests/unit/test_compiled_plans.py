"""What a plan becomes for the engine: ends of groups, and which successes count."""

from __future__ import annotations

import pytest

from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import EnginePlan, ReceiveClock
from servemark.workload.load import ClosedLoad, Load, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step

S = 1_000_000_000
BACKGROUND = Group(
    Scenario((Step("predict", (Request("GET", "/"),)),)), ClosedLoad(users=2, duration_s=1), background=True
)


def _group(load: Load, *names: str) -> Group:
    return Group(Scenario(tuple(Step(name, (Request("GET", "/"),)) for name in names or ("ask",))), load)


def _compiled(*groups: Group) -> EnginePlan:
    address = Address("127.0.0.1", "127.0.0.1", 8080)
    return compile_plan(Plan(groups), {"inference": address}, timeout_s=1, connect_timeout_s=1, seed=0)


LOOPS, FOR_3_S = ClosedLoad(users=1, loops=9), ClosedLoad(users=1, duration_s=2, warmup_s=1)
UP_TO_5_S = ClosedLoad(users=1, until=Until(max_s=5, longest_s=5))


@pytest.mark.parametrize(
    ("loads", "duration_s"),
    [((LOOPS,), 0), ((FOR_3_S,), 3), ((FOR_3_S, UP_TO_5_S), 5), ((LOOPS, FOR_3_S), 0), ((FOR_3_S, LOOPS), 0)],
)
def test_a_background_has_the_time_of_the_others_if_all_have_one(
    loads: tuple[ClosedLoad, ...], duration_s: int
) -> None:
    compiled = _compiled(BACKGROUND, *map(_group, loads))
    assert (compiled.groups[0].loops, compiled.groups[0].duration_ns) == (0, duration_s * S)


def test_the_successes_that_count_are_those_of_the_headlines_step_in_the_foreground() -> None:
    mixed = _group(LOOPS, "predict", "check", "predict")
    compiled = _compiled(BACKGROUND, mixed, _group(LOOPS, "check", "predict"))
    names = [step.name for step in compiled.steps]
    assert names == ["predict", "predict", "check", "predict", "check", "predict"]
    assert [step.is_headline for step in compiled.steps] == [False, True, False, True, False, True]


@pytest.mark.parametrize(
    ("clock", "unix_socket", "reads_clock"),
    [("auto", None, False), ("kernel", None, False), ("user", None, True), ("auto", "/run/s", True)],
)
def test_answers_have_the_time_of_reading_where_that_is_asked_for_or_there_is_no_other(
    clock: ReceiveClock, unix_socket: str | None, reads_clock: bool
) -> None:
    address = Address("127.0.0.1", "127.0.0.1", 8080, unix_socket=unix_socket)
    plan = Plan((_group(LOOPS),))
    sent = compile_plan(plan, {"inference": address}, timeout_s=1, connect_timeout_s=1, seed=0, receive_clock=clock)
    assert sent.reads_clock is reads_clock
