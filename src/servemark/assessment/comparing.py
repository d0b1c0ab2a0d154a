"""From two results to what differs between them: matched by their benchmarks and points, and held to be alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from servemark.assessment.judging import Judging as Judging
from servemark.assessment.judging import Point, Side, answer_of_all, judged
from servemark.errors import UsageError
from servemark.result import (
    BenchmarkResult,
    ComparedBenchmark,
    Comparison,
    Result,
    asked_of_point,
    differences,
    fingerprint,
    matchable,
    served_by,
)
from servemark.units import four_digits


def compare(base: Result, new: Result, judging: Judging) -> Comparison:
    """What differs between the benchmarks that both results have, by name, model and points.

    Raises:
        UsageError: they have none in common, or none with such a step; one is a search; or a figure is none.
    """
    ours, theirs = matchable(base), matchable(new)
    both = [name for name in ours if name in theirs]
    if not both:
        raise UsageError(
            "there is nothing to compare",
            cause=f"one has {_listed(ours) or 'nothing'}, the other {_listed(theirs) or 'nothing'}",
            next_step="compare results of the same benchmark and model",
        )
    _check_no_search([one[name] for one in (ours, theirs) for name in both])
    _check_steps(judging.steps, [one[name] for one in (ours, theirs) for name in both])
    steps = judging.steps
    compared = tuple(
        _benchmark(name, Side.of_trials(base, ours[name], steps), Side.of_trials(new, theirs[name], steps), judging)
        for name in both
    )
    unlike = {name: pair for one in compared for name, pair in one.unlike.items()}
    return Comparison(
        base=base.id,
        new=new.id,
        threshold_share=judging.threshold_share,
        answer=answer_of_all([one.answer for one in compared]),
        benchmarks=compared,
        only_in_base=tuple(name for name in ours if name not in theirs),
        only_in_new=tuple(name for name in theirs if name not in ours),
        forced=judging.force and bool(unlike),
        refused="" if judging.force else _refusal(unlike),
    )


def _refusal(unlike: Mapping[str, tuple[str, ...]]) -> str:
    """Say that results are unlike, and in what; empty where they are not."""
    told = (f"{name} {one} and {two}" for name, (one, two) in unlike.items())
    return f"unlike runs: {', '.join(told)}" if unlike else ""


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def _check_no_search(benchmarks: Sequence[BenchmarkResult]) -> None:
    """Searches measure at loads that each chooses for itself, once: they have no trials that could be compared."""
    found = [one.capacity.estimate for one in benchmarks if one.capacity is not None]
    if found:
        values = " and ".join("nothing" if one.value is None else four_digits(one.value) for one in found)
        raise UsageError(
            "a search for the capacity has no trials to compare",
            cause=f"what was found is {values}",
            next_step="compare runs at one load, with --trials 5 each",
        )


def _check_steps(asked: Collection[str], benchmarks: Sequence[BenchmarkResult]) -> None:
    known = sorted({step.name for one in benchmarks for run in one.runs for step in run.steps})
    for name in asked:
        if name not in known:
            raise UsageError(f"there is no step {name!r} to compare", next_step=f"choose from {_listed(known)}")


def _benchmark(name: str, base: Side, new: Side, judging: Judging) -> ComparedBenchmark:
    points = [point for point, groups in base.valid.items() if groups and new.valid.get(point)]
    counted = [point for point in points if base.groups[point] and new.groups[point]]
    unlike = _unlike(base, new, points)
    compared = judged(base, new, points, judging) if points and (judging.force or not unlike) else None
    return ComparedBenchmark(
        name=name,
        answer=compared.answer if compared else "undecided",
        trials=tuple(min((len(side.groups[point]) for point in counted or points), default=0) for side in (base, new)),
        left_out=(base.left_out, new.left_out),
        changes=compared.changes if compared else (),
        needs_trials=compared.needs if compared else None,
        lacking=(*_lacking(base, new), *(compared.lacking if compared else ())),
        unlike=unlike,
        told=differences(served_by(base.result, base.benchmark), served_by(new.result, new.benchmark)),
    )


def _lacking(base: Side, new: Side) -> list[str]:
    """Points and steps that one side lacks, and points of which it has no valid trial."""
    found = []
    for side, other, name in ((base, new, "base"), (new, base, "new")):
        for point, groups in side.valid.items():
            where = " ".join(f"{key} {value}" for key, value in point)
            if point not in other.valid:
                found.append(f"only the {name} has {where or 'this point'}")
            elif not side.groups[point]:
                what = "trial in which a request succeeded" if groups else "valid trial"
                found.append(f"the {name} has no {what}" + (f" of {where}" if where else ""))
        steps, others = ({step.name for run in one.benchmark.runs for step in run.steps} for one in (side, other))
        found += [f"only the {name} has the step {step}" for step in sorted(steps - others) if others]
    return found


def _unlike(base: Side, new: Side, points: Sequence[Point]) -> dict[str, tuple[str, ...]]:
    """What differs that must not: the environment, and what was asked of the points that both have."""
    own, other = (fingerprint(side.result, side.benchmark) for side in (base, new))
    found = own.unlike(other)
    for point in points:
        found |= differences(*(asked_of_point(side.result, side.benchmark, side.first(point)) for side in (base, new)))
    return found
