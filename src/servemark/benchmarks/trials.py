"""The points of a benchmark as often as they were asked for, and once more those that were INVALID."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from servemark.benchmarks import Benchmark, Point, Points
from servemark.benchmarks.capacity import searched_points
from servemark.options import RunRequest

if TYPE_CHECKING:
    from servemark.result import BenchmarkResult

#: Of two benchmarks that are measured in turns the trials of either in a block: ABBA, or BAAB.
TRIALS_A_BLOCK = 2


def asked_points(benchmark: Benchmark, request: RunRequest) -> Points:
    """Each trial is one pass over all points, so that what drifts meanwhile is in all of them alike.

    An INVALID execution is repeated once, at the end of its pass, since how much of the load the generator sent is
    judged of the best of the points. Which one that is may change with what is repeated, so that an earlier point can
    become INVALID by it. A single trial of a benchmark that has one point is not repeated.
    """
    if request.question.by is not None:
        yield from searched_points(benchmark, request)
        return
    trials, fresh = request.load.trials, request.load.fresh_server
    for trial in range(1, trials + 1):
        known: BenchmarkResult | None = None
        points: list[Point] = []
        one_pass = benchmark.points(request)
        point = next(one_pass, None)
        while point is not None:
            restarted = point.fresh_server or (fresh and trial > 1 and not points)
            asked = replace(point, trial=trial, fresh_server=restarted)
            points.append(asked)
            known = yield asked
            point = following(one_pass, known)
        repeatable = points if trials > 1 or benchmark.repeats_invalid else []
        while known is not None and (invalid := next(filter(partial(_is_invalid, known), repeatable), None)):
            repeatable.remove(invalid)
            known = yield replace(invalid, repeats=True, fresh_server=fresh or invalid.fresh_server)


def following(points: Points, known: BenchmarkResult | None) -> Point | None:
    """The point that comes after what is `known`, if any."""
    try:
        return points.send(known)
    except StopIteration:
        return None


def _is_invalid(known: BenchmarkResult, point: Point) -> bool:
    """Whether the last execution of `point` was INVALID."""
    executions = [run for run in known.runs if dict(run.point) == dict(point.values)]
    return bool(executions) and not executions[-1].certificate.valid
