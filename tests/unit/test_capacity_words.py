"""The answer of a search in words: between what it lies, and what the server did there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servemark.assessment.capacity import certificate_of_search
from servemark.report.capacity import answer
from servemark.result import Capacity, CapacityProbe, Certificate, Check, Estimate, ProbeShare, RunResult, Telemetry

from .results import OPEN

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


def test_nothing_vouches_for_a_search_that_ended_before_its_first_probe() -> None:
    passed = Certificate(True, (Check("accounted", True, "all of them"),))
    cut_off = RunResult(1, {}, {}, OPEN, (2.0, 3.0), 2.0, passed, (), Telemetry(), "")
    assert certificate_of_search([replace(FOUND, probes=())], [cut_off]) is None
    assert certificate_of_search([FOUND], [cut_off]) == passed
