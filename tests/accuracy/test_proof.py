"""How a proof is told: by parts, of which some can be proven again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hogs import ALWAYS_BUSY
from judging import equal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import injected, prove
from bench.alarms import Ended, Tally, _examples, _judge
from bench.kept import Kept
from bench.machine import Machine
from bench.proof import Section, page, part_text, parts_of

MACHINE = Machine("a processor", 2, 8, "6.1", "a system", "0.1.0", 0.5, 0.0, 0.0)


def part(name: str, figure: float) -> str:
    """A part of one figure, which ought to be 3."""
    return part_text(
        name, [Section(f"The title of {name}", "`a command`", [equal("a figure", figure, 3)])], MACHINE, Kept()
    )


def test_a_part_is_proven_again_and_the_others_stay() -> None:
    first = page({"one": part("one", 3), "two-b": part("two-b", 4)}, "# Intro\n")
    assert "Result: **FAILED**: The title of two-b.\n" in first
    known = parts_of(first)
    assert list(known) == ["one", "two-b"]
    again = page({**known, "two-b": part("two-b", 3)}, "# Intro\n")
    assert "Result: all 2 figures are within their bounds.\n" in again
    assert parts_of(again)["one"] == known["one"] == part("one", 3)


def test_each_part_says_what_it_was_proven_on() -> None:
    """Parts are proven again by themselves, on whatever machine that is."""
    on = " on a processor, 2 CPUs, 8 GiB, a system, Linux 6.1, servemark 0.1.0; 0.5 processes ran before"
    assert on in part("one", 3)
    assert "GiB" not in prove.intro()
    for name, text in parts_of(prove.PROOF.read_text(encoding="utf-8")).items():
        assert " GiB, " in text, name


def test_the_committed_proof_has_parts_that_can_be_proven_again() -> None:
    parts = parts_of(prove.PROOF.read_text(encoding="utf-8"))
    assert parts
    assert set(parts) <= set(prove._PARTS)


def test_each_fault_of_the_driver_has_a_case() -> None:
    assert not injected.unmade_faults()


def ended(status: int | None, *failed: str, result: bool = True, trials: tuple[int, ...] = (1,)) -> Ended:
    """A run with these failed checks, of points that were measured for the so manieth time."""
    checks = [{"name": name, "passed": False, "reason": f"{name} is wrong"} for name in failed]
    benchmark = {"certificate": {"checks": checks}, "runs": [{"trial": trial} for trial in trials]}
    return Ended(status, {"benchmarks": [benchmark]} if result else None, "last words")


@pytest.mark.parametrize(("alarms", "passed"), [(0, True), (1, True), (2, False)])
def test_one_false_alarm_in_forty_is_allowed(alarms: int, passed: bool) -> None:
    quiet, beside = Tally("latency", None), Tally("latency", ALWAYS_BUSY)
    for number in range(20):
        quiet.add(ended(3, "run-queue delay") if number < alarms else ended(0))
        beside.add(ended(0))
    opened, of_new = Tally("open", ALWAYS_BUSY), Tally("open of a server that has just started", None)
    for apart in (opened, of_new):
        apart.add(ended(3, "generator lag (predict)"))
    tallies = [quiet, beside, Tally("open", None), opened, of_new]
    first, *others = _judge(tallies, "open", of_new.command)
    assert first.what == "INVALID of 40: `latency`"
    assert first.figure == alarms
    assert first.passed is passed
    assert all(finding.passed for finding in others)
    of_new.add(ended(3, "accounted"))
    assert not all(finding.passed for finding in _judge(tallies, "open", of_new.command))


def test_a_false_alarm_is_told_with_its_reason() -> None:
    tally = Tally("latency", None)
    tally.add(ended(3, "clock (predict)"))
    assert list(_examples([tally, Tally("latency", ALWAYS_BUSY)])) == [
        "\nFor instance:\n",
        "- `latency`, clock (predict): clock (predict) is wrong",
    ]
    assert not list(_examples([Tally("latency", None)]))


def test_points_that_were_measured_once_more_are_counted_beside_the_alarms() -> None:
    tally = Tally("concurrent_inference", ALWAYS_BUSY)
    tally.add(ended(0, trials=(1, 1, 2)))
    tally.add(ended(3, "accounted", trials=(1, 1, 2, 2)))
    assert (tally.runs, tally.invalid, tally.repeated) == (2, 1, 3)


def test_a_run_that_did_not_end_is_a_problem_and_no_alarm() -> None:
    tally = Tally("latency", None)
    tally.add(ended(4, result=False))
    tally.add(ended(None))
    assert tally.invalid == 0
    assert tally.problems == ["exit status 4: last words", "exit status None: last words"]
