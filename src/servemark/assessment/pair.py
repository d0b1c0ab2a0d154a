"""Two benchmarks that were measured in turns: compared by block, so that what drifts meanwhile is in both alike."""

from __future__ import annotations

from collections.abc import Mapping

from servemark.assessment.judging import Judging, Point, Side, judged
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
    points = [point for point, groups in base.groups.items() if groups]
    compared = judged(base, new, points, Judging(threshold_share, design=PAIRS)) if points else None
    blocks = min((len(base.groups[point]) for point in points), default=0)
    one = ComparedBenchmark(
        name=f"{names[0]} and {names[1]}",
        answer=compared.answer if compared else "undecided",
        trials=(blocks, blocks),
        left_out=(base.left_out, new.left_out),
        changes=compared.changes if compared else (),
        needs_trials=compared.needs if compared else None,
        lacking=() if points else ("no block has a valid trial of both",),
        told=_told(base, new, points[0]) if points else {},
        by_block=True,
    )
    return Comparison(names[0], names[1], threshold_share, one.answer, (one,))


def _sides(result: Result, ours: BenchmarkResult, theirs: BenchmarkResult) -> tuple[Side, Side]:
    base, new = _by_block(ours), _by_block(theirs)
    points = [point for point in base if point in new]
    both = {point: [block for block in base[point] if block in new[point]] for point in points}
    return (
        Side(result, ours, {point: tuple(base[point][block] for block in blocks) for point, blocks in both.items()}),
        Side(result, theirs, {point: tuple(new[point][block] for block in blocks) for point, blocks in both.items()}),
    )


def _by_block(benchmark: BenchmarkResult) -> Mapping[Point, dict[int, tuple[RunResult, ...]]]:
    """The runs that count of each block, by point."""
    valid = {id(run) for runs in benchmark.valid_trials.values() for run in runs}
    found: dict[Point, dict[int, tuple[RunResult, ...]]] = {}
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
