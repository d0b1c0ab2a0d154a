"""The answer of a search in words: between what it lies, and what the server did there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servemark.assessment import assess_run
from servemark.assessment.capacity import capacities_of, certificate_of_search, recommended
from servemark.assessment.measured import Measured
from servemark.certificate.pauses import NO_PAUSES
from servemark.options.objectives import parse_objective
from servemark.report.capacity import answer, configurations
from servemark.report.layout import Fact
from servemark.result import Capacity, CapacityProbe, Certificate, Check, Estimate, ProbeShare, RunResult, Telemetry
from servemark.stats.capacity import Sought
from servemark.units import NS_PER_MS
from servemark.verdict import capacity_found

from .results import OPEN
from .test_generators import COUNTS
from .test_open_loop import _measured, _times

PROBE = CapacityProbe(168.0, "met", {"p99<30ms": ProbeShare(1000, 1.0, 500.0)}, False, True, 0.01, 15.0, 0)
FOUND = Capacity("rate", "p99<30ms", 168.0, 178.0, "decided", (PROBE,), Estimate(173.0, (168.0, 178.0)))
BETWEEN = "capacity 173/s (168 to 178): p99<30ms holds at 168/s and fails at 178/s; the limit is p99"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({}, ""),
        ({"workers_busy_share": 0.981}, " (the server's workers are busy 98%)"),
        ({"server_cpus": 1.94}, " (the server uses 1.9 CPUs)"),
        (
            {"workers_busy_share": 1.0, "server_cpus": 1.94, "machine_busy_share": 0.97},
            " (the server's workers are busy 100%, the server uses 1.9 CPUs, the machine is busy 97%)",
        ),
        ({"machine_busy_share": 0.4}, ""),
    ],
)
def test_what_the_server_did_stands_behind_what_limits_it_as_far_as_that_is_known(seen, words) -> None:
    assert answer(replace(FOUND, **seen)).plain == BETWEEN + words


def test_rates_of_a_fast_server_are_told_without_powers_of_ten() -> None:
    fast = replace(
        FOUND, rate_per_s=Estimate(12_345.6, (11_999.7, 12_700.2)), feasible_max=11_987, infeasible_min=12_586
    )
    assert answer(fast).plain.startswith(
        "capacity 12,346/s (12,000 to 12,700): p99<30ms holds at 11,987/s and fails at 12,586/s"
    )


def test_what_no_probe_was_shown_to_fail_is_at_least_what_holds_and_a_crossing_is_no_bound() -> None:
    open_above = replace(FOUND, infeasible_min=None, limiting=None, ending="budget")
    at_least = replace(open_above, rate_per_s=Estimate(168.0, None))
    assert answer(at_least).plain == "capacity at least 168/s: p99<30ms holds at 168/s"
    crossing = answer(open_above).plain
    assert crossing == "capacity 173/s (168 to 178): p99<30ms holds at 168/s and was not shown to fail at any"


def test_a_search_that_saw_nothing_says_so() -> None:
    nothing = replace(FOUND, probes=(), rate_per_s=None, feasible_max=None, infeasible_min=None, limiting=None)
    assert answer(nothing).plain == "capacity unknown: no probe saw what is asked"


def test_of_configurations_without_a_capacity_none_is_recommended() -> None:
    nothing = replace(FOUND, rate_per_s=None, feasible_max=None, infeasible_min=None)
    impossible = replace(nothing, infeasible_min=1.0, ending="impossible", configuration={"workers": 1})
    unknown = replace(nothing, ending="unmeasurable", configuration={"workers": 2})
    chosen = recommended((impossible, unknown))
    assert chosen == unknown
    assert capacity_found("p99<30ms", chosen).outcome == "undecided"
    *_, said, _end = configurations((impossible, unknown), chosen)
    assert isinstance(said, Fact)
    assert said.text.plain == "none, for none has a known capacity; the probes of workers 2:"
    assert recommended((impossible, replace(impossible, configuration={"workers": 2}))) == impossible
    assert (
        recommended((impossible, unknown, replace(FOUND, configuration={"workers": 4}))).configuration["workers"] == 4
    )


def test_nothing_vouches_for_a_search_that_ended_before_its_first_probe() -> None:
    passed = Certificate(True, (Check("accounted", True, "all of them"),))
    cut_off = RunResult(1, {}, {}, OPEN, (2.0, 3.0), 2.0, passed, (), Telemetry(), "")
    assert certificate_of_search([replace(FOUND, probes=())], [cut_off]) is None
    assert certificate_of_search([FOUND], [cut_off]) == passed


def _late(make_records, objective: str, *, is_probe: bool) -> Measured:
    """Of 400 requests eight left late, which are the slowest 2%: p95 is as it was, p99 is not."""
    times = _times([number / 100 for number in range(600)])
    times |= {name: list(times[name]) for name in ("sent", "first_byte", "end")}
    for number in range(220, 600, 50):
        for name in ("sent", "first_byte", "end"):
            times[name][number] += round(20 * NS_PER_MS)
    measured = _measured(make_records, "latency", 6.0, times, rate="100", duration_s=4.0)
    under_way_ns = 400 * 10 * NS_PER_MS
    counts = replace(COUNTS, sent=600, in_flight_ns=under_way_ns, pauses=NO_PAUSES, loopback_p50_ns=None)
    run = replace(measured.engine_run.generators[0], counts=counts)
    point = replace(measured.point, is_probe=is_probe, values={"rate": 100} if is_probe else {})
    return replace(
        measured,
        point=point,
        engine_run=replace(measured.engine_run, generators=(run,)),
        objective=parse_objective(objective),
    )


@pytest.mark.parametrize(
    ("objective", "is_probe", "valid"),
    [("p90<50ms", True, True), ("p97<50ms", True, False), ("p99<50ms", True, False), ("p90<50ms", False, False)],
)
def test_a_probe_is_judged_by_the_percentiles_next_to_those_of_its_objective(make_records, objective, is_probe, valid):
    measured = _late(make_records, objective, is_probe=is_probe)
    lag = next(check for check in assess_run(measured, 0.01).run.certificate.checks if check.name.endswith("(predict)"))
    assert lag.name == "generator lag (predict)"
    assert lag.passed == valid, lag.reason
    assert "p99 of the response by 20.0 ms" in lag.reason


@pytest.mark.parametrize(
    ("objective", "workers", "falls_behind", "valid"),
    [
        ("p90<50ms", 2, False, True),
        ("p90<50ms", 1, False, False),
        ("p90<50ms", 1, True, True),
        ("p99<50ms", 2, True, False),
        ("p99<50ms", 1, True, False),
    ],
)
def test_a_probe_that_falls_behind_may_lose_workers_and_is_invalid_by_what_the_generator_did(
    make_records, objective, workers, falls_behind, valid
):
    measured = _late(make_records, objective, is_probe=True)
    served = tuple(replace(model, read_back={"workers": 2}) for model in measured.served)
    after = {model.name: {"workers": workers} for model in served}
    measured = replace(measured, served=served, settings_after=after, falls_behind=falls_behind)
    sought = Sought({objective: measured.objective[0].least_share}, start=100.0)
    (found,) = capacities_of(sought, "rate", [measured], [assess_run(measured, 0.01)])
    (probe,) = found.probes
    assert (probe.falls_behind, probe.valid) == (falls_behind, valid)
