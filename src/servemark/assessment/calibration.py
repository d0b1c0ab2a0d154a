"""Which changes trials on this machine can show, from what those of the same differed by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servemark.assessment.judging import JUDGED, Point
from servemark.result import BenchmarkResult, Result
from servemark.stats.comparison import least_sets, smallest_of_spread

#: Numbers of trials of either side that are told, from the least that can show anything.
_TRIALS = (5, 7, 10, 15, 20, 30)
#: Fewer trials than this say nothing of what trials differ by.
_LEAST = 4


@dataclass(frozen=True)
class Calibration:
    """Which changes would be shown, by the number of trials; empty where too few of them were valid.

    Attributes:
        smallest: of each statistic the smallest change that would be shown, 8 times in 10, as a share; of several
            points where that is largest.
        thresholds: the threshold with which that holds: half of the largest change. What is measured of a change is
            less than the change itself every other time, so that a threshold as large would hide it as often.
    """

    smallest: Mapping[int, Mapping[str, float]]
    thresholds: Mapping[int, float]


def calibration_of(result: Result) -> Calibration:
    """Calibrate by the benchmarks of `result`, which are the same: their trials are taken together, judged as they are.

    Thresholds are whole tenths of a per cent, as they are typed.
    """
    points = dict.fromkeys(point for one in result.benchmarks for point in one.valid_trials)
    found = {
        figure: [[value for one in result.benchmarks for value in _values(one, point, figure)] for point in points]
        for figure in JUDGED
    }
    enough = {
        figure: [values for values in of_points if len(values) >= _LEAST and min(values) > 0]
        for figure, of_points in found.items()
    }
    known = {figure: of_points for figure, of_points in enough.items() if of_points}
    family = sum(map(len, known.values()))
    if not family:
        return Calibration({}, {})
    smallest, thresholds = {}, {}
    for trials in _TRIALS:
        if trials >= least_sets(family):
            alone = max(_smallest(known, trials, family, 0.0).values())
            thresholds[trials] = math.floor(1_000 * alone / 2) / 1_000
            smallest[trials] = _smallest(known, trials, family, thresholds[trials])
    return Calibration(smallest, thresholds)


def _smallest(
    known: Mapping[str, Sequence[Sequence[float]]], trials: int, family: int, threshold: float
) -> dict[str, float]:
    return {
        figure: max(smallest_of_spread(values, trials, family, threshold) for values in of_points) - 1
        for figure, of_points in known.items()
    }


def _values(benchmark: BenchmarkResult, point: Point, figure: str) -> list[float]:
    runs = benchmark.valid_trials.get(point, ())
    values = [run.steps[0].figures[figure].value for run in runs if run.steps]
    return [value for value in values if value is not None]
