"""The verdicts on objectives, proven by simulation: how often a run whose truth is known is answered wrongly."""

from __future__ import annotations

import math
from collections.abc import Iterator

from judging import Finding

from bench.coverage import LAWS
from bench.kept import Kept
from bench.proof import Section, markdown_table
from tests.unit.dependent import Law, judged

#: Requests of a run, and in how many trials they are.
_LENGTHS, _TRIALS = (300, 1000, 3000, 10_000), (1, 5)
#: Of many runs that keep an objective to a hair, or just not, how many may be called the one or the other.
_WRONG = {"met": 0.075, "missed": 0.1}
#: A part of the runs that a law's intervals are proven with: a verdict takes as long, and there are 24 of each law.
_SHARE = 0.2


def prove_objectives(experiments: int, kept: Kept) -> Iterator[Section]:
    """Of a fifth of `experiments` of each law, length and percentile.

    The limit is the law's own percentile, so that of a share that is just what is asked each answer is wrong which is
    not that it cannot be told: no other limit of those that are missed is called met more often.
    """
    tries = max(int(experiments * _SHARE), 1)
    for name, law in LAWS.items():
        found = {n: _of_length(name, law, n, tries, kept) for n in _LENGTHS}
        rows = [
            [f"{n:,}", *(f"{met:.1%}, {missed:.1%}" for met, missed in of_length.values())]
            for n, of_length in found.items()
        ]
        heads = [f"{what} of {trials}" for what, trials in found[_LENGTHS[0]]]
        yield Section(
            f"Objectives that are just kept: {name}",
            f"`--slo`, the law's own percentile; {tries:,} experiments each: met and missed, of one trial and of five",
            [finding for n, of_length in found.items() for finding in _findings(n, of_length, tries)],
            told=markdown_table(["requests", *heads], rows),
        )


def _of_length(name: str, law: Law, n: int, tries: int, kept: Kept) -> dict[tuple[str, int], tuple[float, float]]:
    """The shares of runs that are called met, and missed, by percentile and number of trials."""
    found = {}
    for q, limit in law.quantiles.items():
        for trials in _TRIALS:

            def measured(q: float = q, limit: float = limit, trials: int = trials) -> list[int]:
                counted = judged(law, n, least=q, limit=limit, tries=tries, seed=1, trials=trials)
                return [counted["met"], counted["missed"]]

            met, missed = kept.tried(f"objective-{name}-{n}-{q:g}-{trials}-{tries}", measured)
            found[f"p{q * 100:g}", trials] = met / tries, missed / tries
    return found


def _findings(n: int, found: dict[tuple[str, int], tuple[float, float]], tries: int) -> Iterator[Finding]:
    """The most often that any was called the one or the other."""
    for place, (outcome, most) in enumerate(_WRONG.items()):
        worst = max(found, key=lambda one: found[one][place])
        chance = 2 * math.sqrt(most * (1 - most) / tries)
        what = f"called {outcome}, {n:,} requests, the most: {worst[0]} of {worst[1]}"
        yield Finding(what, found[worst][place], 0.05, 0.0, most + chance, "of runs")
