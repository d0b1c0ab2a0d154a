"""The search for capacity: what it probes, and what it answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from servemark.result import CapacityProbe, ProbeShare
from servemark.stats.capacity import Found, Probe, Search, Sought
from servemark.stats.crossing import Observation, crossing_of
from servemark.stats.dependence import effective_share
from servemark.stats.isotonic import rising

_SOUGHT = Sought({"p90<50ms": 0.9})


def _seen(probe: Probe, missed_share: float, **changes: object) -> CapacityProbe:
    requests = max(1, round(probe.load * probe.seconds))
    shares = {"p90<50ms": ProbeShare(requests, missed_share * requests, requests)}
    seen = CapacityProbe(probe.load, "undecided", shares, False, True, 0.01, probe.seconds + 2, 0, probe.fresh)
    return replace(seen, **changes)


def _searched(sought: Sought, missed_share, most: int = 200) -> tuple[Found, Search]:
    """What is found of a server of which `missed_share` of a load misses the objective, each request by itself."""
    search = Search(sought)
    for _ in range(most):
        step = search.next()
        if isinstance(step, Found):
            return step, search
        search = search.after(_seen(step, missed_share(step.load)))
    raise AssertionError("it does not end")


def test_a_fit_that_never_falls_pools_what_does() -> None:
    assert rising([1, 3, 2, 4], [1, 1, 1, 1]) == [1, 2.5, 2.5, 4]
    assert rising([3, 1], [1, 3]) == [1.5, 1.5]
    assert rising([], []) == []


def test_the_crossing_is_between_what_is_below_and_above() -> None:
    seen = [Observation(load, 0.1 * (load / 70) ** 6, 2_000) for load in (60, 66, 74, 80)]
    crossing = crossing_of(seen, 0.1)
    assert crossing is not None
    assert crossing.ci90 is not None
    assert crossing.load == pytest.approx(70, rel=0.02)
    assert crossing.ci90[0] < 70 < crossing.ci90[1]
    assert crossing_of(seen[:2], 0.1) is None
    assert crossing_of(seen[2:], 0.1) is None
    assert crossing_of([], 0.1) is None


def test_what_falls_behind_is_beyond_whatever_share_was_seen() -> None:
    seen = [Observation(50, 0.0, 500), Observation(100, 0.0, 500, falls_behind=True)]
    crossing = crossing_of(seen, 0.1)
    assert crossing is not None
    assert 50 < crossing.load < 100
    assert crossing.ci90 is None


#: Of a queue whose share passes a hundredth at 70: far below it a request in 300 misses anyway.
_NEAR_70 = [Observation(load, 0.003 + 0.007 * (load / 70) ** 20, 2_000) for load in (64, 67, 70, 73, 76)]


@pytest.mark.parametrize(
    "by_chance",
    [
        [Observation(1, 1 / 6, 6), Observation(7, 0.0, 60), Observation(28, 0.009, 180)],
        [Observation(20, 0.007, 140), Observation(39, 3 / 280, 280)],
    ],
    ids=["at the least load", "in the middle"],
)
def test_a_miss_too_many_at_a_load_that_was_seen_for_a_moment_does_not_lead_away_from_the_crossing(by_chance) -> None:
    crossing = crossing_of([*by_chance, *_NEAR_70], 0.01)
    assert crossing is not None
    assert crossing.load == pytest.approx(70, rel=0.02)
    assert crossing.ci90 is not None


def test_a_share_that_falls_by_chance_near_the_crossing_is_known_to_rise() -> None:
    seen = [Observation(66, 0.0115, 2_000), Observation(70, 0.0095, 2_000), Observation(74, 0.0110, 2_000)]
    crossing = crossing_of([Observation(40, 0.001, 2_000), *seen, Observation(100, 0.9, 2_000)], 0.01)
    assert crossing is not None
    assert crossing.load == pytest.approx(69, rel=0.03)


def test_few_observations_make_a_wide_interval_by_students_t() -> None:
    seen = [Observation(load, 0.1 * (load / 70) ** 6, 2_000) for load in (66, 74)]
    few, many = crossing_of(seen, 0.1), crossing_of([replace(one, n=200) for one in seen for _ in range(10)], 0.1)
    assert few is not None
    assert many is not None
    assert few.ci90 is not None
    assert many.ci90 is not None
    assert few.load == pytest.approx(many.load, rel=0.01)
    assert few.ci90[1] - few.ci90[0] > 3 * (many.ci90[1] - many.ci90[0])


def test_a_probe_that_looks_for_the_neighbourhood_lasts_a_third_of_one_that_looks_for_the_answer() -> None:
    _, search = _searched(_SOUGHT, lambda load: min(1.0, 0.1 * (load / 70) ** 6))
    lasted = [(probe.load, probe.took_s - 2) for probe in search.probes]
    assert lasted[:5] == [(load, pytest.approx(5.0)) for load in (1.0, 20.0, 40.0, 80.0, 56.57)]
    assert lasted[5][1] == 15.0
    whole = Search(replace(_SOUGHT, whole=True)).after(_seen(Probe(1.0, 5.0), 0.0))
    assert whole.next() == Probe(2.0, 15.0)


def test_the_capacity_is_found_between_what_holds_and_what_fails() -> None:
    found, search = _searched(_SOUGHT, lambda load: min(1.0, 0.1 * (load / 70) ** 6))
    assert found.ending == "decided"
    assert found.limiting == "p90<50ms"
    assert found.feasible_max < 70 < found.infeasible_min
    assert found.infeasible_min / found.feasible_max < 1.13
    assert found.estimate.value == pytest.approx(70, rel=0.03)
    assert search.spent_s <= 600
    assert [probe.load for probe in search.probes][:2] == [1.0, 20.0]


@pytest.mark.parametrize(
    ("seen", "bounds", "value"),
    [
        ([(60, 15, 0.105), (64, 15, 0.108), (70, 60, 0.088), (80, 10, 0.25)], (70, 80), 70),
        ([(58, 15, 0.04), (62, 60, 0.113), (66, 15, 0.09), (70, 15, 0.09), (76, 5, 0.1)], (58, 62), 62),
    ],
)
def test_the_capacity_is_no_load_that_fails_and_none_below_one_that_holds(seen, bounds, value) -> None:
    search = Search(_SOUGHT, tuple(_seen(Probe(load, seconds), share) for load, seconds, share in seen))
    found = search.found("budget")
    assert (found.feasible_max, found.infeasible_min) == bounds
    assert found.estimate.value == value
    assert found.estimate.ci90[0] <= value <= found.estimate.ci90[1]


def test_an_objective_that_the_lowest_load_misses_is_impossible() -> None:
    found, search = _searched(_SOUGHT, lambda _load: 0.9)
    assert found.ending == "impossible"
    assert found.feasible_max is None
    assert min(probe.load for probe in search.probes) * 0.01 < 0.1


def test_misses_that_decide_nothing_at_the_lowest_load_are_measured_again() -> None:
    """Of 750 requests, worth 100, those that missed it are worth three."""
    text = "p99<5ms"
    search = Search(Sought({text: 0.99}, start=100.0))
    first = search.next()
    assert isinstance(first, Probe)
    search = search.after(_seen(first, 0.0, conditions={text: ProbeShare(750, 24, 100)}, response_s=0.0004))
    assert search.outcome_at(100.0) == "undecided"
    assert search.next() == Probe(100.0, 30.0)


def test_a_server_that_falls_behind_at_the_lowest_load_has_to_do_so_again() -> None:
    search = Search(replace(_SOUGHT, start=100.0))
    for outcome in ("undecided", "missed"):
        step = search.next()
        assert isinstance(step, Probe)
        assert step.load == 100.0
        search = search.after(_seen(step, 0.5, falls_behind=True, response_s=0.0004))
        assert search.outcome_at(100.0) == outcome
    found = search.next()
    assert isinstance(found, Found)
    assert (found.ending, found.infeasible_min) == ("impossible", 100.0)


def _of_stall(step: Probe, stall_s: float, seconds: float) -> ProbeShare:
    """Of a server that answers nothing for `stall_s` and everything else in time, in a probe of so many seconds."""
    batches = np.arange(2_000)
    counts = np.full(2_000, step.load * seconds / 2_000)
    missed = np.where((batches >= 1_000) & (batches < 1_000 + 2_000 * stall_s / seconds), counts, 0.0)
    worth = effective_share(missed, counts).times
    return ProbeShare(round(counts.sum()), float(missed.sum()), worth)


@pytest.mark.parametrize("falls_behind", [True, False])
@pytest.mark.parametrize("start", [1.0, 250.0])
def test_one_stall_of_a_server_far_below_its_capacity_fixes_no_bound(falls_behind: bool, start: float) -> None:
    """It is capable of 700/s; at the first rate beyond 100 it answers nothing for 3 s, which may end that probe."""
    text = "p99<5ms"
    search, stalled = Search(Sought({text: 0.99}, start=start)), None
    while isinstance(step := search.next(), Probe):
        requests = round(step.load * step.seconds)
        share = ProbeShare(requests, min(1.0, 0.01 * (step.load / 700) ** 8) * requests, requests)
        seen = _seen(step, 0.0, conditions={text: share}, response_s=0.0008)
        if stalled is None and step.load > 100:
            stalled = step.load
            share = _of_stall(step, 3.0, 10.0 if falls_behind else step.seconds)
            seen = replace(seen, conditions={text: share}, falls_behind=falls_behind)
        search = search.after(seen)
    assert stalled == 250.0
    assert step.ending == "decided"
    assert step.estimate.value == pytest.approx(700, rel=0.03)
    assert step.feasible_max < 700 < step.infeasible_min


def test_what_falls_behind_is_no_miss_until_it_does_so_again() -> None:
    met = _seen(Probe(100.0, 15.0), 0.0)
    behind = _seen(Probe(120.0, 15.0), 0.5, falls_behind=True)
    search = Search(_SOUGHT, (met, behind))
    assert search.outcome_at(120.0) == "undecided"
    assert search.found("budget").infeasible_min is None
    assert search.next() == Probe(120.0, 30.0)
    again = search.after(behind)
    assert again.outcome_at(120.0) == "missed"
    assert again.found("budget").infeasible_min == 120.0


def test_what_never_fails_ends_where_no_more_can_be_sent() -> None:
    found, search = _searched(replace(_SOUGHT, budget_s=1e9), lambda _load: 0.0)
    assert found.ending == "unmeasurable"
    assert found.infeasible_min is None
    assert found.feasible_max == max(probe.load for probe in search.probes)
    assert found.estimate.value == found.feasible_max


def test_a_budget_that_is_spent_gives_what_is_known() -> None:
    found, search = _searched(replace(_SOUGHT, budget_s=60), lambda load: min(1.0, 0.1 * (load / 70) ** 6))
    assert found.ending == "budget"
    assert search.spent_s <= 62


def test_users_are_whole_and_the_most_that_hold_are_the_answer() -> None:
    sought = replace(_SOUGHT, whole=True)
    found, search = _searched(sought, lambda users: 0.02 if users <= 5 else 0.4)
    assert (found.feasible_max, found.infeasible_min, found.estimate.value) == (5, 6, 5)
    assert found.estimate.ci90 == (5, 6)
    assert all(probe.load == int(probe.load) for probe in search.probes)
    impossible, _ = _searched(sought, lambda _users: 0.9)
    assert impossible.ending == "impossible"


@pytest.mark.parametrize("most", [*range(1, 40), 57, 58, 100, 333, 1_000])
def test_any_number_of_users_is_found_by_few_probes(most: int) -> None:
    found, search = _searched(replace(_SOUGHT, whole=True), lambda users: 0.02 if users <= most else 0.4)
    assert found.ending == "decided"
    assert found.feasible_max <= most < found.infeasible_min
    assert found.infeasible_min <= max(found.feasible_max + 1, 1.13 * found.feasible_max)
    assert len(search.probes) <= 14


def test_what_holds_is_confirmed_on_a_fresh_server() -> None:
    found, search = _searched(replace(_SOUGHT, confirms=True), lambda load: min(1.0, 0.1 * (load / 70) ** 6))
    (fresh,) = [probe for probe in search.probes if probe.fresh]
    assert fresh.load == found.feasible_max
    assert found.confirmed is True


def test_a_load_that_a_fresh_server_misses_does_not_hold_however_often_a_warm_one_met_it() -> None:
    """All together meet it: of the fresh server's 153 requests 24 missed it, of the warm one's 998 only 34."""
    warm = _seen(Probe(66.5, 15.0), 0.034)
    fresh = _seen(Probe(66.5, 2.3, fresh=True), 0.16)
    beyond = _seen(Probe(73.0, 15.0), 0.15)
    search = Search(replace(_SOUGHT, confirms=True), (warm, beyond, fresh))
    assert Search(_SOUGHT, (warm, beyond, replace(fresh, fresh=False))).outcome_at(66.5) == "met"
    assert search.outcome_at(66.5) == "missed"
    lower = search.next()
    assert isinstance(lower, Probe)
    assert lower.load < 66.5
    holds = _seen(Probe(62.0, 15.0), 0.03)
    assert search.after(holds).found("budget").confirmed is None
    confirmed = search.after(holds).after(replace(holds, fresh=True)).found("budget")
    assert (confirmed.feasible_max, confirmed.infeasible_min, confirmed.confirmed) == (62.0, 66.5, True)


def test_an_invalid_probe_is_made_once_more_and_then_left_out() -> None:
    search = Search(_SOUGHT)
    first = search.next()
    assert isinstance(first, Probe)
    search = search.after(_seen(first, 0.0))
    second = search.next()
    assert isinstance(second, Probe)
    search = search.after(_seen(second, 0.0, valid=False))
    again = search.next()
    assert isinstance(again, Probe)
    assert again.load == second.load
    search = search.after(_seen(again, 0.0, valid=False))
    for _ in range(100):
        step = search.next()
        if isinstance(step, Found):
            break
        assert step.load < second.load
        search = search.after(_seen(step, 0.0))
    assert isinstance(step, Found)
    assert step.infeasible_min is None


def test_a_first_probe_without_a_response_costs_one_probe_more() -> None:
    search = Search(_SOUGHT).after(_seen(Probe(1.0, 1.0), 0.0, response_s=None))
    second = search.next()
    assert isinstance(second, Probe)
    assert second.load == 2.0
    third = search.after(_seen(second, 0.0)).next()
    assert isinstance(third, Probe)
    assert third.load == 20.0


def test_a_load_that_was_seen_before_is_not_left_out() -> None:
    search = Search(replace(_SOUGHT, budget_s=200))
    for number in range(200):
        step = search.next()
        if isinstance(step, Found):
            break
        seen = _seen(step, min(1.0, 0.1 * (step.load / 70) ** 6), valid=number < 6)
        search = search.after(seen)
    assert isinstance(step, Found)
    assert step.ending == "budget"
    assert step.infeasible_min is not None


def test_lucky_short_probes_do_not_decide_alone() -> None:
    """Where requests at loads near by depend on each other, those of a probe that saw nothing of it do, too."""
    lucky = CapacityProbe(70, "undecided", {"p99": ProbeShare(1_000, 1, 1_000)}, False, True, 0.01, 17, 0)
    beside = CapacityProbe(75, "undecided", {"p99": ProbeShare(1_000, 30, 15)}, False, True, 0.01, 17, 1)
    sought = Sought({"p99": 0.99})
    assert Search(sought, (lucky,)).outcome_at(70) == "met"
    assert Search(sought, (lucky, beside)).outcome_at(70) == "undecided"
