"""The trials of a benchmark: what each statistic was in every one of them, which were left out, and which one is shown.

A trial is an execution of a point, or the one that repeats it because it was INVALID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servemark.result.figures import Statistic


@dataclass(frozen=True)
class TrialStatistic:
    """A statistic over trials, in its own unit.

    Attributes:
        values: of each counted trial, in the order in which they were measured.
        median: of these, with an interval between trials.
        stddev: of these.
        within_stddev: what of that is within a trial, as its own interval says; None where one has none.
        between_stddev: the rest.
    """

    values: tuple[float, ...]
    median: Statistic
    stddev: float | None
    within_stddev: float | None
    between_stddev: float | None


@dataclass(frozen=True)
class StepTrials:
    """The statistics of a step over trials, by the names of ``StepSummary.figures``."""

    name: str
    figures: Mapping[str, TrialStatistic]


@dataclass(frozen=True)
class PointTrials:
    """The trials of a point.

    Attributes:
        point: what tells it from the benchmark's others.
        counted: the places of their runs among those of the benchmark.
        left_out: how many were INVALID, and INVALID again when they were repeated.
        shown: the place of the run whose figures stand for the point: that with the median headline.
    """

    point: Mapping[str, Any]
    counted: tuple[int, ...]
    left_out: int
    shown: int
    steps: tuple[StepTrials, ...]


@dataclass(frozen=True)
class Trials:
    """The trials of a benchmark that was asked for several; `fresh_server` is whether it was restarted between them."""

    asked: int
    fresh_server: bool
    points: tuple[PointTrials, ...]
