"""``servemark ab``: whose turn it is, what is compared by block, and what is refused before anything starts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bench.simulated import in_turns
from servemark.assessment.calibration import calibration_of
from servemark.assessment.pair import compare_pair
from servemark.cli.ab import parse_ab
from servemark.errors import UsageError
from servemark.report.calibration import calibration_lines
from servemark.report.comparison import answer_in_words
from servemark.result import ERRORS, Certificate, Check, Comparison, Result, RunResult, comparison_text, schema_text
from servemark.runner.listener import Listener
from servemark.runner.pair import PairRequest, order_of
from servemark.stats.comparison import LEVEL, POWER, shift_of_sets

INVALID = Certificate(False, (Check("accounted", False, "lost"),))


def _in_turns(seed: int, blocks: int, slower: float = 0.0, *, drift: float = 0.0) -> Result:
    return in_turns(np.random.default_rng(seed), blocks, slower, drift=drift)


def _compared(result: Result) -> Comparison:
    return compare_pair(result, ("A", "B"), 0.02)


def _failing(result: Result, share: float, runs: range) -> Result:
    """With B failing that share of its requests in these of its runs."""
    ours, theirs = result.benchmarks

    def changed(run: RunResult) -> RunResult:
        (step,) = run.steps
        failed = round(share * step.requests)
        return replace(run, steps=(replace(step, errors={"timeout": failed}, measured=step.requests - failed),))

    found = tuple(changed(run) if place in runs else run for place, run in enumerate(theirs.runs))
    return replace(result, benchmarks=(ours, replace(theirs, runs=found)))


def test_each_block_is_abba_or_baab_as_the_seed_draws_it() -> None:
    order = order_of(50, seed=3)
    blocks = [order[place : place + 4] for place in range(0, 200, 4)]
    assert set(blocks) == {(0, 1, 1, 0), (1, 0, 0, 1)}
    assert order == order_of(50, seed=3) != order_of(50, seed=4)


def test_what_drifts_is_in_both_alike() -> None:
    slower = _compared(_in_turns(1, 7, 0.05, drift=0.1))
    assert slower.answer == "slower"
    assert answer_in_words(slower.benchmarks[0]).startswith("slower: predict ")
    alike = _compared(_in_turns(2, 7, drift=0.1))
    assert alike.answer == "no difference"
    assert "7 blocks could have shown" in answer_in_words(alike.benchmarks[0])
    p50 = next(change for change in alike.benchmarks[0].changes if change.figure == "p50_ms")
    assert p50.smallest_share < 0.04, "although the machine changed by 90% meanwhile"


def test_of_the_same_measured_in_turns_few_are_called_different() -> None:
    answers = Counter(_compared(_in_turns(seed, 7, drift=0.03)).answer for seed in range(100))
    assert answers["slower"] + answers["faster"] <= 5


def test_b_that_fails_more_is_said_to_and_what_failed_altogether_counts_for_neither() -> None:
    (one,) = _compared(_failing(_in_turns(1, 9, -0.1), 0.4, range(18))).benchmarks
    assert answer_in_words(one) == "fails more: 40% of the requests of predict, 0% in A, p 0.004"
    (one,) = _compared(_failing(_in_turns(1, 9, 0.5), 1.0, range(4))).benchmarks
    assert (one.answer, one.trials) == ("slower", (7, 7))
    (errors,) = [change for change in one.changes if change.figure == ERRORS]
    assert errors.new == (1.0, 1.0, *[0.0] * 7)
    (one,) = _compared(_failing(_in_turns(1, 9), 1.0, range(18))).benchmarks
    assert one.answer == "fails more"
    assert one.lacking == ("no block has a trial of both in which a request succeeded",)


def test_too_few_blocks_leave_it_undecided() -> None:
    comparison = _compared(_in_turns(1, 5, 0.5))
    assert comparison.answer == "undecided"
    assert answer_in_words(comparison.benchmarks[0]) == "undecided: 5 blocks can show nothing, 7 could"


def test_a_block_that_one_side_lacks_counts_for_neither() -> None:
    result = _in_turns(1, 8)
    ours, theirs = result.benchmarks
    runs = tuple(replace(run, certificate=INVALID) if at in (0, 1, 4) else run for at, run in enumerate(ours.runs))
    comparison = _compared(replace(result, benchmarks=(replace(ours, runs=runs), theirs)))
    (one,) = comparison.benchmarks
    assert one.trials == (7, 7), "of the third block one trial of A is left"
    assert one.left_out[0] == 3
    assert len(one.changes[0].base) == len(one.changes[0].new) == 7
    schema = json.loads(schema_text())
    wanted = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/comparison"}
    jsonschema.Draft202012Validator(wanted).validate(json.loads(comparison_text(comparison)))


def test_how_the_two_differ_is_told_and_refuses_nothing() -> None:
    result = _in_turns(1, 7)
    ours, theirs = result.benchmarks
    runs = tuple(replace(run, load=replace(run.load, users=2)) for run in theirs.runs)
    (one,) = _compared(replace(result, benchmarks=(ours, replace(theirs, runs=runs)))).benchmarks
    assert one.told == {"load users": ("1", "2")}
    assert one.unlike == {}


def test_the_words_of_both_sides_are_quoted() -> None:
    arguments = parse_ab("servemark ab", ["--blocks", "3", "--seed", "5", "latency -m noop", "--", "latency -w 4"])
    first, second = arguments.requests
    assert (first.model, second.server.workers, second.load.seed) == ("noop", 4, 5)
    entries = PairRequest((first, second), 3, both_up=False, threshold_share=0.02).entries()
    assert [(entry.request.load.trials, entry.request.load.fresh_server) for entry in entries] == [(6, True)] * 2
    assert [entry.label for entry in entries] == ["1-latency-noop", "2-latency-resnet"]
    both_up = PairRequest((first, second), 3, both_up=True, threshold_share=0.02).entries()
    assert not any(entry.request.load.fresh_server for entry in both_up)


@pytest.mark.parametrize(
    ("side", "blocks", "expected", "said"),
    [
        ("latency", None, 7, []),
        ("concurrent_inference --options threads 1,2,4", None, 9, []),
        ("concurrent_inference --options threads 1,2,4", 7, 7, ["7 blocks can show nothing, 9 could"]),
        ("latency", 1, 1, ["1 block can show nothing, 7 could"]),
        ("latency", 8, 8, []),
    ],
)
def test_as_many_blocks_are_measured_as_can_show_anything(side: str, blocks, expected: int, said: list[str]) -> None:
    arguments = parse_ab("servemark ab", [side, "--", side])
    assert arguments.blocks is None
    notes: list[str] = []
    asked = PairRequest(tuple(arguments.requests), blocks, both_up=False, threshold_share=0.02)
    found, entries = asked.settled(Listener(note=notes.append))
    assert (found, notes) == (expected, said)
    assert [entry.request.load.trials for entry in entries] == [2 * expected] * 2


def test_options_of_both_may_stand_behind_b() -> None:
    arguments = parse_ab("servemark ab", ["latency -m noop", "--", "latency -w 4", "--blocks", "3", "-o", "x"])
    assert [request.server.workers for request in arguments.requests] == [None, 4]
    assert (arguments.blocks, arguments.output) == (3, Path("x"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["latency"], "it takes two benchmarks, and there are 1"),
        (
            ["latency", "-t", "1", "--", "latency -t 2"],
            "unrecognized arguments: -t 1; what one side is asked is quoted: ",
        ),
        (["latency", "--", "latency", "-w", "4"], "it takes two benchmarks, and there are 4"),
        (["--", "latency", "-o", "x", "latency"], "it takes two benchmarks, and there are 2"),
        (["latency", "--", "--all"], "'--all' is a suite"),
        (["latency", "--", "latency --trials 3"], "--trials makes no sense in 'latency --trials 3'"),
        (["latency", "--", "latency -o x"], "--output makes no sense"),
        (
            ["latency", "--trials", "0", "--", "ping"],
            "--trials makes no sense in turns; each block measures",
        ),
        (["latency --trials 0", "--", "ping"], "--trials makes no sense in 'latency --trials 0'; each block measures"),
        (["latency", "--", "latancy"], "did you mean"),
        (["latency", "--", "latency 'x"], "cannot be read"),
        (["--blocks", "51", "latency", "--", "latency"], "51 is more than 50"),
    ],
)
def test_what_cannot_be_measured_in_turns_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_ab("servemark ab", words)
    assert says in str(refused.value)


def test_what_trials_differ_by_says_which_changes_they_can_show() -> None:
    calibration = calibration_of(_in_turns(4, 7))
    assert list(calibration.smallest) == [5, 7, 10, 15, 20, 30]
    rates = [shares["throughput_per_s"] for shares in calibration.smallest.values()]
    assert rates == sorted(rates, reverse=True), "more trials show less"
    # Trials differ by 1.4%: ten of either side show 1.7 times that, at the level of three statistics.
    assert calibration.smallest[10]["throughput_per_s"] == pytest.approx(0.026, abs=0.01)
    first, *_ = calibration_lines(calibration)
    assert str(first).startswith("10 trials show a change of ")
    result = _in_turns(4, 7)
    invalid = tuple(
        replace(one, runs=tuple(replace(run, certificate=INVALID) for run in one.runs)) for one in result.benchmarks
    )
    (line,) = calibration_lines(calibration_of(replace(result, benchmarks=invalid)))
    assert str(line).startswith("too few valid trials")


@pytest.mark.parametrize("trials", [5, 10])
def test_a_calibrated_change_is_shown_in_eight_of_ten_with_its_threshold(trials: int) -> None:
    """A threshold as large as the change would hide it every other time."""
    rng, spread = np.random.default_rng(1), 0.02
    result = in_turns(rng, 50, 0.0, drift=0.0, between=spread)
    calibration = calibration_of(result)
    figure, change = max(calibration.smallest[trials].items(), key=lambda pair: pair[1])
    values = np.log([run.steps[0].figures[figure].value for one in result.benchmarks for run in one.runs])
    shown = 0
    for _ in range(500):
        old, new = np.exp(values.std(ddof=1) * rng.standard_normal((2, trials)))
        shift = shift_of_sets(old, (1 + change) * new)
        shown += shift.p * 3 < LEVEL and shift.ratio - 1 >= calibration.thresholds[trials]
    assert shown / 500 == pytest.approx(POWER, abs=0.06)


def test_the_trials_that_are_calibrated_are_those_that_compare_could_judge() -> None:
    result, points = _in_turns(4, 7), [{"threads": number} for number in (1, 2, 4)]
    both = (
        replace(one, runs=tuple(replace(run, point=point) for point in points for run in one.runs))
        for one in result.benchmarks
    )
    result = replace(result, benchmarks=tuple(both))
    assert list(calibration_of(result).smallest) == [7, 10, 15, 20, 30], "nine statistics need six trials"


def test_two_engines_are_not_compared() -> None:
    arguments = parse_ab("servemark ab", ["latency", "--", "latency --engine jmeter"])
    with pytest.raises(UsageError, match="different engines"):
        PairRequest(tuple(arguments.requests), 7, both_up=False, threshold_share=0.02).entries()
