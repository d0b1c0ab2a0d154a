"""The proof that intervals hold: of simulated runs whose truth is known, how many that are shown have it in."""

from __future__ import annotations

import math
from collections.abc import Iterator

from judging import Finding

from bench.proof import Section, markdown_table
from servemark.stats.dependence import LEAST_TIMES
from servemark.stats.percentiles import least_n
from tests.unit.dependent import Law, autoregressive, bursts, covered, independent, queue

LAWS: dict[str, Law] = {
    "independent": independent(),
    "AR(1) of 0.5": autoregressive(0.5),
    "AR(1) of 0.9": autoregressive(0.9),
    "M/M/1 at 0.5": queue(0.5),
    "M/M/1 at 0.8": queue(0.8),
    "M/M/1 at 0.9": queue(0.9),
    "bursts": bursts(),
}
#: Lengths, in the least that a law's mean takes.
_LENGTHS = (0.5, 1.0, 2.0, 10.0, 40.0)
_LEAST, _MOST = 0.93, 0.975
#: From so many times the least on an interval may not be too wide either.
_LONG = 10.0
#: More would take an hour for a law that depends on itself for long.
_MOST_REQUESTS = 400_000
#: Fewer intervals than this tell nothing of their share; what is left of them is chance (two standard errors of it).
_ENOUGH = 200


def prove_coverage(experiments: int) -> Iterator[Section]:
    """Of `experiments` of each law and length."""
    for name, law in LAWS.items():
        findings, rows = [], []
        for length in _LENGTHS:
            n = math.ceil(length * LEAST_TIMES * law.autocorrelation)
            if n > _MOST_REQUESTS:
                continue
            found = covered(law, n, experiments, seed=1)
            rows.append(
                [
                    f"{n:,}",
                    *(f"{held / shown:.1%} of {shown:,}" if shown else "none shown" for held, shown in found.values()),
                ]
            )
            for (statistic, (held, shown)), q in zip(found.items(), (0.5, *law.quantiles), strict=True):
                is_long = length * LEAST_TIMES >= _LONG * least_n(q)
                if shown >= min(_ENOUGH, experiments / 10):
                    most = _MOST if is_long and shown > 0.9 * experiments else 1.0
                    chance = 2 * math.sqrt(_LEAST * (1 - _LEAST) / shown)
                    what = f"{statistic} over {n:,} requests, of {shown:,} shown"
                    findings.append(Finding(what, held / shown, 0.95, _LEAST - chance, most + chance, ""))
        told = markdown_table(["requests", *found], rows)
        yield Section(
            f"Intervals that hold: {name}", f"{experiments:,} experiments of each length", findings, told=told
        )
