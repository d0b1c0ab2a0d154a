"""Which changes trials on this machine can show, from what those of the same differed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servemark.assessment.judging import JUDGED
from servemark.result import BenchmarkResult, Result
from servemark.stats.comparison import least_sets, smallest_of_spread

#: Numbers of trials of either side that are told, from the least that can show anything.
_TRIALS = (5, 7, 10, 15, 20, 30)
#: Fewer trials than this say nothing of what trials differ by.
_LEAST = 4


@dataclass(frozen=True)
class Calibration:
    """The smallest change that would be shown, 8 times in 10, as a share: of each statistic, by the number of trials.

    Empty where too few trials were valid.
    """

    smallest: Mapping[int, Mapping[str, float]]


def calibration_of(result: Result) -> Calibration:
    """That of the first point of the benchmarks of `result`, which are the same; their trials are taken together."""
    found = {figure: [value for one in result.benchmarks for value in _values(one, figure)] for figure in JUDGED}
    known = {figure: values for figure, values in found.items() if len(values) >= _LEAST and min(values) > 0}
    if not known:
        return Calibration({})
    family = len(known)
    return Calibration(
        {
            trials: {figure: smallest_of_spread(values, trials, family) - 1 for figure, values in known.items()}
            for trials in _TRIALS
            if trials >= least_sets(family)
        }
    )


def _values(benchmark: BenchmarkResult, figure: str) -> list[float]:
    first = next(iter(benchmark.valid_trials.values()), ())
    values = [run.steps[0].figures[figure].value for run in first if run.steps]
    return [value for value in values if value is not None]
