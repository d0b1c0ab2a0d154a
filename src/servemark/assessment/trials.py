"""The trials of a benchmark together: which count, which one is shown, and what each statistic was over all of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from servemark.benchmarks import Headline
from servemark.certificate import certify, combine
from servemark.result import (
    Certificate,
    Check,
    PointTrials,
    RunResult,
    StepSummary,
    StepTrials,
    Trials,
    Verdict,
    trials_by_point,
)
from servemark.stats import trials as statistics

#: Of the trials of a point, the share that may be INVALID.
MOST_INVALID_SHARE = 1 / 3
#: The outcomes of a question that was asked of each trial; the first of these that one has is that of all.
_OUTCOMES = ("missed", "undecided", "finding", "met")


def over_trials(runs: Sequence[RunResult], asked: Trials, headline: Headline, cut_off: Collection[int] = ()) -> Trials:
    """What was `asked`, with the trials of each point so far; those at the places `cut_off` do not count.

    The run that is shown is the one with the median headline; of an even number the lower of the two in the middle.
    """
    points = []
    for point, executions in trials_by_point(runs).items():
        last = [places[-1] for places in executions]
        whole = [place for place in last if place not in cut_off]
        counted = tuple(place for place in whole if runs[place].certificate.valid)
        in_order = sorted(counted, key=lambda place: _headline_of(runs[place], headline)) or last[-1:]
        shown = in_order[(len(in_order) - 1) // 2]
        points.append(_point(dict(point), runs, counted, len(whole) - len(counted), shown))
    return replace(asked, points=tuple(points))


def _headline_of(run: RunResult, headline: Headline) -> float:
    if not run.steps:
        return math.inf
    step = run.steps[0]
    value = (step.throughput_per_s if headline == "throughput" else step.headline_ms.p50).value
    return math.inf if value is None else value


def _point(
    point: dict[str, Any], runs: Sequence[RunResult], counted: tuple[int, ...], left_out: int, shown: int
) -> PointTrials:
    steps = []
    for step in runs[shown].steps if counted else ():
        of_trials = [one for place in counted for one in runs[place].steps if one.name == step.name]
        steps.append(_step(step, of_trials))
    return PointTrials(point=point, counted=counted, left_out=left_out, shown=shown, steps=tuple(steps))


def _step(step: StepSummary, of_trials: Sequence[StepSummary]) -> StepTrials:
    told = [one.figures for one in of_trials]
    names = [name for name in step.figures if all(name in figures for figures in told)]
    found = {name: statistics.over_trials([figures[name] for figures in told]) for name in names}
    return StepTrials(step.name, {name: one for name, one in found.items() if one is not None})


def certificate_of_trials(runs: Sequence[RunResult], trials: Trials) -> Certificate:
    """The certificate of what is shown; INVALID where more than a third of the trials of a point were."""
    shown = combine([runs[point.shown] for point in trials.points])
    share, point = max(
        ((point.left_out / max(1, point.left_out + len(point.counted)), point) for point in trials.points),
        key=lambda pair: pair[0],
    )
    if not point.left_out:
        return shown
    of_all = f"{point.left_out} of {point.left_out + len(point.counted)} trials were INVALID, and so when repeated"
    bad = share > MOST_INVALID_SHARE
    check = Check("trials", not bad, of_all, measured=share, limit=MOST_INVALID_SHARE)
    executions = trials_by_point(runs)[tuple(point.point.items())]
    invalid = [runs[places[-1]] for places in executions if not runs[places[-1]].certificate.valid]
    return with_left_out(shown, check, invalid)


def with_left_out(shown: Certificate, check: Check, invalid: Sequence[RunResult]) -> Certificate:
    """`shown` with a `check` of how many were left out; where that fails, of the last of the `invalid` runs, why."""
    checks = shown.checks if check.passed else combine(invalid[-1:]).checks
    return certify([*checks, check], shown.disturbances)


def verdict_of_trials(verdicts: Sequence[tuple[int, Verdict]], shown: int) -> Verdict:
    """The answer to one question, of the trial that came off worst; `verdicts` have the places of their runs.

    Of several that came off alike it is that of the run at the place `shown`.
    """
    worst = min(verdicts, key=lambda pair: (_OUTCOMES.index(pair[1].outcome), pair[0] != shown))
    return worst[1]
