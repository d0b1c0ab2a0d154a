"""Two benchmarks that were measured in turns: compared by block, so that what drifts meanwhile is in both alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from servemark.assessment.judging import Group, Judging, Point, Side, has_succeeded, judged
from servemark.benchmarks.trials import TRIALS_A_BLOCK
from servemark.result import (
    BenchmarkResult,
    ComparedBenchmark,
    Comparison,
    Result,
    RunResult,
    asked_of_point,
    differences,
    fingerprint,
    served_by,
    trials_by_point,
)
from servemark.stats.comparison import PAIRS


def compare_pair(result: Result, names: tuple[str, str], threshold_share: float) -> Comparison:
    """What differs between the two benchmarks of `result`, of which a block's trials give one value together.

    What a block lacks on one side, it has on neither. How the two differ is what was asked for: it is told.

    Raises:
        UsageError: a figure is none.
    """
    ours, theirs = result.benchmarks
    base, new = _sides(result, ours, theirs)
    points = [point for point, groups in base.valid.items() if groups]
    compared = judged(base, new, points, Judging(threshold_share, design=PAIRS)) if points else None
    blocks = min((len(base.groups[point]) for point in points if base.groups[point]), default=0)
    lacking = [] if points else ["no block has a valid trial of both"]
    if not all(base.groups[point] for point in points):
        lacking.append("no block has a trial of both in which a request succeeded")
    one = ComparedBenchmark(
        name=f"{names[0]} and {names[1]}",
        answer=compared.answer if compared else "undecided",
        trials=(blocks, blocks),
        left_out=(base.left_out, new.left_out),
        changes=compared.changes if compared else (),
        needs_trials=compared.needs if compared else None,
        lacking=(*lacking, *(compared.lacking if compared else ())),
        told=_told(base, new, points[0]) if points else {},
        by_block=True,
    )
    return Comparison(names[0], names[1], threshold_share, one.answer, (one,))


def _sides(result: Result, ours: BenchmarkResult, theirs: BenchmarkResult) -> tuple[Side, Side]:
    valid = _in_both([_by_block(one, lambda _: True) for one in (ours, theirs)])
    counted = _in_both([_by_block(one, lambda run: has_succeeded(run, ())) for one in (ours, theirs)])
    return Side(result, ours, valid[0], counted[0]), Side(result, theirs, valid[1], counted[1])


def _in_both(sides: Sequence[Mapping[Point, Mapping[int, Group]]]) -> list[dict[Point, tuple[Group, ...]]]:
    """What both have, by point, in the order of the blocks."""
    base, new = sides
    both = {point: [block for block in base[point] if block in new[point]] for point in base if point in new}
    return [{point: tuple(side[point][block] for block in blocks) for point, blocks in both.items()} for side in sides]


def _by_block(benchmark: BenchmarkResult, counts: Callable[[RunResult], bool]) -> Mapping[Point, dict[int, Group]]:
    """The valid runs of each block that count, by point."""
    valid = {id(run) for runs in benchmark.valid_trials.values() for run in runs if counts(run)}
    found: dict[Point, dict[int, Group]] = {}
    for point, trials in trials_by_point(benchmark.runs).items():
        found[point] = {}
        for number, places in enumerate(trials):
            run, block = benchmark.runs[places[-1]], number // TRIALS_A_BLOCK
            if id(run) in valid:
                found[point][block] = (*found[point].get(block, ()), run)
    return found


def _told(base: Side, new: Side, point: Point) -> dict[str, tuple[str, ...]]:
    """All that the two differ by, but for prompts that are drawn, of which each has its own."""
    told = differences(served_by(base.result, base.benchmark), served_by(new.result, new.benchmark))
    unlike = fingerprint(base.result, base.benchmark).unlike(fingerprint(new.result, new.benchmark))
    prompts = [side.first(point).prompts for side in (base, new)]
    if all(one is not None and one.seed is not None for one in prompts):
        unlike.pop("inputs", None)
    told |= unlike
    asked = (asked_of_point(side.result, side.benchmark, side.first(point)) for side in (base, new))
    return told | differences(*asked)
