"""From the runs of two sides to what has changed: a statistic at a time, those of the headline judged together.

The family that is judged together is p50, p99 and rate of the first step, or of the steps that are named, at each point
of a benchmark. Each benchmark is a question of its own, and so is whether its requests fail more often than before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from servemark.errors import UsageError
from servemark.result import (
    ANSWERS,
    ERRORS,
    Answer,
    BenchmarkResult,
    Change,
    Result,
    RunResult,
    StepSummary,
    trials_by_point,
)
from servemark.stats.comparison import LEVEL, SETS, Design, can_tell, holm
from servemark.verdict import too_many_failed

#: The statistics of the headline's step that are judged.
JUDGED = ("p50_ms", "p99_ms", "throughput_per_s")
#: What of condensed records is known to a bin only; sums, and so means and rates, are exact.
_PERCENTILE = re.compile(r"(^|_)p\d+(_\d+)?_ms$")
Point = tuple[tuple[Any, ...], ...]
#: Runs that give one value together: one trial, or those of a block.
Group = tuple[RunResult, ...]


@dataclass(frozen=True)
class Judging:
    """How changes are judged.

    Attributes:
        threshold_share: a change of less than this is no difference.
        steps: those that are compared; empty is all.
        force: compare what is unlike, too.
        design: how the values of both sides belong together.
    """

    threshold_share: float
    steps: Collection[str] = ()
    force: bool = False
    design: Design = SETS


@dataclass(frozen=True)
class Side:
    """A benchmark of one of two results, with its runs by point, a group for each value.

    Attributes:
        valid: what is not INVALID.
        groups: what of that counts: of which there is something that succeeded.
    """

    result: Result
    benchmark: BenchmarkResult
    valid: Mapping[Point, tuple[Group, ...]]
    groups: Mapping[Point, tuple[Group, ...]]

    @classmethod
    def of_trials(cls, result: Result, benchmark: BenchmarkResult, steps: Collection[str]) -> Side:
        """Each trial gives a value."""
        valid = {point: tuple((run,) for run in runs) for point, runs in benchmark.valid_trials.items()}
        counted = {point: tuple(one for one in of if has_succeeded(one[0], steps)) for point, of in valid.items()}
        return cls(result, benchmark, valid, counted)

    def first(self, point: Point) -> RunResult:
        """The first run of `point` that counts, or else that is valid."""
        return (self.groups[point] or self.valid[point])[0][0]

    @property
    def left_out(self) -> int:
        """How many trials do not count, of all points."""
        trials = sum(map(len, trials_by_point(self.benchmark.runs).values()))
        return trials - sum(len(group) for groups in self.groups.values() for group in groups)


@dataclass(frozen=True)
class Judged:
    """The changes of a benchmark, the answer to all of them, and how many values it takes, where these are too few.

    `lacking` are the statistics that would be judged, and which a trial that counts lacks.
    """

    changes: tuple[Change, ...]
    answer: Answer
    needs: int | None
    lacking: tuple[str, ...]


def has_succeeded(run: RunResult, steps: Collection[str]) -> bool:
    """Whether a request of each of the judged `steps`, or of the headline's where none is named, succeeded in time."""
    return all(step.measured for step in ([one for one in run.steps if one.name in steps] or run.steps[:1]))


def judged(base: Side, new: Side, points: Sequence[Point], judging: Judging) -> Judged:
    """What became of each statistic at the `points` of which both sides have something valid; at least one.

    Raises:
        UsageError: a figure is none.
    """
    steps = set(judging.steps) or {new.first(points[0]).steps[0].name}
    shown = [
        (point, step)
        for point in points
        for step in new.first(point).steps
        if not judging.steps or step.name in judging.steps
    ]
    known, lacking = [], []
    for point, step in shown:
        for figure in step.figures if base.groups[point] and new.groups[point] else ():
            change = _change(point, step.name, figure, base, new, judging.design)
            if change is not None:
                known.append(change)
            if step.name in steps and figure in JUDGED and (change is None or change.p is None):
                where = "".join(f" ({key} {value})" for key, value in point)
                lacking.append(f"{figure} of {step.name}{where}, which is nothing in some trial")
    told, answers, needs = _judged_together(known, [_is_headline(change, steps) for change in known], judging)
    failures = _failures([(point, step.name) for point, step in shown], steps, base, new, judging.design)
    answers += [change.answer for change in failures if change.answer]
    return Judged((*told, *failures), answer_of_all(answers), needs, tuple(lacking))


def answer_of_all(answers: Sequence[Answer]) -> Answer:
    """The first of ``ANSWERS`` that one of them is; undecided of none."""
    return next((answer for answer in ANSWERS if answer in answers), "undecided")


def _is_headline(change: Change, steps: Collection[str]) -> bool:
    return change.step in steps and change.figure in JUDGED and change.p is not None


def _change(point: Point, step: str, figure: str, base: Side, new: Side, design: Design) -> Change | None:
    """What became of one statistic, with its own p, before it is judged; None where a trial lacks it."""
    sides = [side.groups[point] for side in (base, new)]
    before, after = (_values(groups, step, figure) for groups in sides)
    if not before or not after:
        return None
    change = Change(
        step=step,
        point=dict(point),
        figure=figure,
        base=before,
        new=after,
        change_share=None,
        ci95=None,
        certain=all(_is_certain(run, step, figure) for groups in sides for group in groups for run in group),
    )
    if min(*before, *after) <= 0:
        return change
    shift, inexact = design.shift(before, after), _inexact_share(sides, figure)
    ci95 = (shift.ci95[0] - 1 - inexact, shift.ci95[1] - 1 + inexact) if shift.ci95 else None
    return replace(change, change_share=shift.ratio - 1, ci95=ci95, p=shift.p, inexact_share=inexact)


def _failures(
    where: Sequence[tuple[Point, str]], steps: Collection[str], base: Side, new: Side, design: Design
) -> list[Change]:
    """The share of requests that failed, of each step in which one did, and whether that is more than before.

    It is where chance does not give it, or ``--max-errors`` allowed what the base had and no more what the new one has.
    """
    found: list[tuple[Point, Change]] = []
    for point, step in where:
        before, after = (tuple(_failed_share(group, step) for group in side.valid[point]) for side in (base, new))
        if any(before) or any(after):
            p = design.p(before, after) if step in steps else None
            found.append((point, Change(step, dict(point), ERRORS, before, after, change_share=None, ci95=None, p=p)))
    adjusted = iter(holm([change.p for _, change in found if change.p is not None]))
    return [
        change if change.p is None else _judged_failures(change, next(adjusted), base, new, new.first(point).place)
        for point, change in found
    ]


def _judged_failures(change: Change, p: float, base: Side, new: Side, place: str) -> Change:
    if fmean(change.new) <= fmean(change.base):
        return replace(change, p=p)
    if p < LEVEL:
        return replace(change, p=p, answer="fails more")
    beyond, before = (too_many_failed(side.benchmark, change.step, place) for side in (new, base))
    return replace(change, p=None, answer="fails more") if beyond and not before else replace(change, p=p)


def _failed_share(group: Group, name: str) -> float:
    steps = [step for run in group if (step := _step(run, name)) is not None]
    sent = sum(step.requests for step in steps)
    return sum(step.failed for step in steps) / sent if sent else 0.0


def _inexact_share(sides: Sequence[Sequence[Group]], figure: str) -> float:
    """The share by which bins of condensed records, of either side, may have a change be another than it is."""
    if not _PERCENTILE.search(figure):
        return 0.0
    of_sides = ((run.condensed for group in groups for run in group if run.condensed) for groups in sides)
    return sum(max((one.within_share for one in found), default=0.0) for found in of_sides)


def _values(groups: Sequence[Group], step: str, figure: str) -> tuple[float, ...]:
    """A statistic of each group, the geometric mean of its runs; empty where a run lacks it.

    Raises:
        UsageError: it is no number.
    """
    values = []
    for group in groups:
        found = [_value(run, step, figure) for run in group]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            return ()
        values.append(math.exp(sum(map(math.log, known)) / len(known)) if min(known) > 0 else 0.0)
    return tuple(values)


def _value(run: RunResult, name: str, figure: str) -> float | None:
    step = _step(run, name)
    statistic = step.figures.get(figure) if step is not None else None
    if statistic is None or statistic.value is None:
        return None
    if not isinstance(statistic.value, (int, float)) or not math.isfinite(statistic.value):
        raise UsageError(f"{figure} of {name} is {statistic.value!r}, which is no figure")
    return float(statistic.value)


def _step(run: RunResult, name: str) -> StepSummary | None:
    return next((step for step in run.steps if step.name == name), None)


def _is_certain(run: RunResult, step: str, figure: str) -> bool:
    found = _step(run, step)
    return found is not None and found.figures[figure].ci95 is not None


def _judged_together(
    changes: Sequence[Change], in_family: Sequence[bool], judging: Judging
) -> tuple[list[Change], list[Answer], int | None]:
    """The changes as they are judged, the answers to them, and how many values these take where they are too few."""
    design, threshold_share = judging.design, judging.threshold_share
    family = [change for change, is_one in zip(changes, in_family, strict=True) if is_one]
    least_p = max((design.least_p(len(one.base), len(one.new)) for one in family), default=1.0)
    enough = bool(family) and can_tell(least_p, len(family))
    adjusted = iter(holm([one.p for one in family if one.p is not None]))
    told = []
    for change, is_one in zip(changes, in_family, strict=True):
        if not is_one or not enough:
            told.append(replace(change, p=None, answer="undecided" if is_one else None))
            continue
        p = next(adjusted)
        least_share = max(threshold_share, change.inexact_share)
        smallest = design.smallest(change.base, change.new, len(family), least_share) - 1
        told.append(replace(change, p=p, answer=_answer(change, p, least_share), smallest_share=smallest))
    answers = [change.answer for change in told if change.answer]
    return told, answers, None if enough or not family else design.least(len(family))


def _answer(change: Change, p: float, threshold_share: float) -> Answer:
    share = change.change_share or 0.0
    if p >= LEVEL or abs(share) < threshold_share:
        return "no difference"
    rises_when_faster = change.figure.endswith("_per_s")
    return "faster" if (share > 0) == rises_when_faster else "slower"
