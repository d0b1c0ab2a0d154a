"""Comparisons of simulated trials: how often the same is called different, and how often what is slower is found.

A trial is 400 requests of an AR(1) process of 0.9, so that its p50 alone varies by 4% from run to run; all is judged as
``servemark compare`` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from judging import Finding

from bench.proof import Section
from bench.simulated import in_turns, latencies_ms, result_of
from servemark.assessment.comparing import Judging, compare
from servemark.assessment.pair import compare_pair
from servemark.options.question import DEFAULT_THRESHOLD_SHARE
from servemark.result import Comparison
from servemark.stats.comparison import LEVEL, POWER, shift_of_sets, smallest_shown

#: Of two identical servers how many may be called different, and of slower ones how many have to be found.
_MOST_FALSE, _LEAST_FOUND = 0.05, 0.9
#: What a slower server is slower by, and the greatest spread between trials at which ten of them show it.
SLOWER, SPREAD = 0.05, 0.025
_JUDGING = Judging(DEFAULT_THRESHOLD_SHARE)


def answers_of(
    comparisons: int,
    trials: int,
    *,
    seed: int,
    slower: float = 0.0,
    between: float = 0.02,
    autocorrelation: float = 0.9,
) -> Counter[str]:
    """How often each answer was given to so many comparisons of `trials` with those of a server `slower` by a share."""
    return Counter(
        compared(np.random.default_rng((seed, number)), trials, slower, between, autocorrelation).answer
        for number in range(comparisons)
    )


def compared(
    rng: np.random.Generator, trials: int, slower: float, between: float, autocorrelation: float
) -> Comparison:
    """One comparison, as the command makes it."""
    base, new = (latencies_ms(rng, trials, between=between, autocorrelation=autocorrelation) for _ in range(2))
    return compare(result_of(base, "base"), result_of(new * (1 + slower), "new"), _JUDGING)


def shown_share(repetitions: int, trials: int, *, seed: int, between: float, family: int = 3) -> float:
    """How often what "could have been shown" is: of statistics of `trials`, judged where Holm's adjustment is hardest.

    Each repetition takes what is said of two sets that do not differ, and looks whether that is seen in two others.
    """
    rng = np.random.default_rng(seed)
    shown = 0
    for _ in range(repetitions):
        sets = np.exp(between * rng.standard_normal((4, trials)))
        smallest = smallest_shown(sets[0], sets[1], family, DEFAULT_THRESHOLD_SHARE)
        shift = shift_of_sets(sets[2], smallest * sets[3])
        shown += shift.p * family < LEVEL and shift.ratio - 1 >= DEFAULT_THRESHOLD_SHARE
    return shown / repetitions


def prove_comparisons(comparisons: int) -> Iterator[Section]:
    """The same is rarely called different, what is slower is found, and what could have been found is so."""
    yield Section(
        "Comparisons of identical servers",
        f"`servemark compare` of {comparisons:,} pairs of simulated servers each, 400 requests a trial that follow an "
        "AR(1) of 0.9, 2% between trials, seed 1",
        [_false_alarms(comparisons, trials) for trials in (5, 10, 20)],
    )
    yield Section(
        f"A server that is {SLOWER:.0%} slower",
        f"`servemark compare`, {comparisons:,} times, 10 trials a side that differ by {SPREAD:.1%}, seed 2",
        [_found(comparisons)],
    )
    yield Section(
        "Servers measured in turns",
        f"`servemark ab`, {comparisons:,} times, 7 blocks on a machine that becomes 3% slower from each to the next, "
        "trials that differ by 1%, seed 4",
        [
            Finding("identical servers called different, of all", _in_turns(comparisons, 0.0), 0, 0, _MOST_FALSE, ""),
            Finding(
                f"{SLOWER:.0%} slower called slower, of all", _in_turns(comparisons, SLOWER), 1, _LEAST_FOUND, 1, ""
            ),
        ],
    )
    yield Section(
        "What so many trials could have shown",
        f"the smallest change that is told beside `no difference`, made true and looked for, {comparisons:,} times",
        [
            Finding(
                f"{trials} trials a side that differ by {between:.0%}: shown of {comparisons:,}",
                shown_share(comparisons, trials, seed=3, between=between),
                POWER,
                POWER - 0.05,
                POWER + 0.05,
                "",
            )
            for trials in (5, 10, 20)
            for between in (0.01, 0.05)
        ],
    )


def _in_turns(comparisons: int, slower: float) -> float:
    """The share of comparisons by block that are called different, or where the second is `slower`, slower."""
    answers = Counter(
        compare_pair(
            in_turns(np.random.default_rng((4, number)), 7, slower, drift=0.03), ("A", "B"), DEFAULT_THRESHOLD_SHARE
        ).answer
        for number in range(comparisons)
    )
    return (answers["slower"] + (0 if slower else answers["faster"])) / comparisons


def _false_alarms(comparisons: int, trials: int) -> Finding:
    answers = answers_of(comparisons, trials, seed=1)
    different = (answers["slower"] + answers["faster"]) / comparisons
    return Finding(f"{trials} trials a side: called different, of all", different, 0, 0, _MOST_FALSE, "")


def _found(comparisons: int) -> Finding:
    answers = answers_of(comparisons, 10, seed=2, slower=SLOWER, between=SPREAD, autocorrelation=0.0)
    return Finding("called slower, of all", answers["slower"] / comparisons, 1, _LEAST_FOUND, 1, "")
