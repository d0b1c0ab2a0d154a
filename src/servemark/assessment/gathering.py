"""What is asked of the records of a run: which of its times count for what, and which checks and answers need what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from servemark.assessment.measured import Measured
from servemark.assessment.objectives import limits_of, limits_together
from servemark.condensed_files import Condensed
from servemark.records import RecordFile, span_ns
from servemark.servers import of_one
from servemark.stats.condensed import condensed_of
from servemark.stats.evidence import NO_TIME, Evidence, Process, Question, Window
from servemark.stats.gather import gather
from servemark.stats.warm_up import warm_up_share
from servemark.units import ns_from_s
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.load import Arrivals, ClosedLoad, OpenLoad

#: Parts of a ramp's time that are told apart.
_PARTS_OF_RAMP = 10


def evidence_of(measured: Measured) -> Evidence:
    """The evidence of a run, gathered once for all that is made of it.

    Raises:
        RecordingError: its records cannot be read.
    """
    condensed = condensed_of(measured.records)
    question = _question(measured, measured_window(measured, condensed))
    evidence = gather(measured.records, question, condensed)
    finds_warm_up = measured.finds_warm_up and not evidence.is_condensed
    window = _without_warm_up(evidence) if finds_warm_up else evidence.window
    return evidence if window == evidence.window else gather(measured.records, replace(question, window=window))


def evidence_of_part(part: Measured, window: Window) -> Evidence:
    """The evidence of one generator of several, of which `part` has records and counts, over the measured time of all.

    Nothing in it is of what only all of them make: a schedule, or a server that is kept busy.

    Raises:
        RecordingError: its records cannot be read.
    """
    return gather(part.records, replace(_question(part, window), processes={}, places=None, workers=None, stages=()))


def _question(measured: Measured, window: Window) -> Question:
    """What is asked of the records of a run whose measured time is `window`."""
    counts = measured.engine_run.counts
    pause = Window(*counts.pauses.longest_ns(window.start_ns)) if counts else NO_TIME
    return Question(
        window=window,
        pause=pause,
        accounted=_accounted_window(measured),
        stages=tuple(_stages(measured)),
        begins=begins_of(measured.compiled),
        ends=ends_of(measured.compiled),
        processes=dict(processes_of(measured)),
        places=places_of(measured) if _asks_of_places(measured) else None,
        from_ns=measured.compiled.warmup_ns,
        workers=_workers_asked_of(measured),
        limits=limits_of(measured.objective),
        together=limits_together(measured.objective, measured.records[0].step_names),
    )


def begins_of(plan: EnginePlan) -> tuple[int, ...]:
    """The steps with which an arrival of an open loop begins; of a mix each step is an arrival of its own."""
    opened = [group for group in plan.groups if group.arrivals]
    return tuple(step for group in opened for step in (group.steps if group.weights else group.steps[:1]))


def ends_of(plan: EnginePlan) -> tuple[int, ...]:
    """The steps with which an arrival of an open loop ends, likewise."""
    opened = [group for group in plan.groups if group.arrivals]
    return tuple(step for group in opened for step in (group.steps if group.weights else group.steps[-1:]))


def _without_warm_up(evidence: Evidence) -> Window:
    """The window from where the headline's responses are as they stay."""
    window, step = evidence.window, evidence.steps[0]
    if step.slow is None:
        return window
    cut = warm_up_share(step.above[0.5].meant, step.slow.meant, step.slow.counts, step.failures.meant)
    return replace(window, start_ns=window.start_ns + round(cut * (window.end_ns - window.start_ns)))


def measured_window(measured: Measured, condensed: Condensed | None = None) -> Window:
    """The measured time: of an exact number of requests from the first to the last response, else from the warm-up on.

    `condensed` is what the records were condensed to, where they were.
    """
    if measured.point.load.scenarios is not None:
        return Window(*recorded_span_ns(measured.records, condensed))
    return counted_window(measured)


def recorded_span_ns(files: Sequence[RecordFile], condensed: Condensed | None) -> tuple[int, int]:
    """The first `scheduled` and the last `end` of a run's records, which are kept or `condensed`.

    Raises:
        RecordingError: they cannot be read.
    """
    return (condensed.first_ns, condensed.last_ns) if condensed else span_ns(files)


def counted_window(measured: Measured) -> Window:
    """From the warm-up to the end of scheduling: the time over which a generator summed up what was under way."""
    ended_ns = measured.engine_run.scheduling_ended_ns
    return Window(min(measured.compiled.warmup_ns, ended_ns), ended_ns)


def _accounted_window(measured: Measured) -> Window:
    """The same; of an exact number of requests until the last of them had been read."""
    window = counted_window(measured)
    return replace(window, end_ns=measured.engine_run.ended_ns) if measured.plan.exact_requests else window


def places_of(measured: Measured) -> int | None:
    """How many requests keep all workers of the server busy; None where that cannot be known."""
    workers, batch_size = (of_one(measured.settings_before).get(name) for name in ("workers", "batch_size"))
    return workers * batch_size if isinstance(workers, int) and isinstance(batch_size, int) else None


def _asks_of_places(measured: Measured) -> bool:
    benchmark = measured.benchmark
    return isinstance(measured.point.load, ClosedLoad) and (benchmark.asks_saturation or benchmark.asks_highest_rate)


def _workers_asked_of(measured: Measured) -> int | None:
    """The server's workers, where it is asked how busy they are and each has one request at a time; else None."""
    settings = of_one(measured.settings_before)
    workers = settings.get("workers")
    is_told = measured.point.is_probe and settings.get("batch_size") == 1
    return workers if is_told and isinstance(workers, int) else None


def processes_of(measured: Measured) -> Iterator[tuple[str, Process]]:
    """Find the arrivals that there should be of each open loop, by the names of its steps."""
    compiled, ended_ns = measured.compiled, measured.engine_run.scheduling_ended_ns
    for number, group in enumerate(compiled.groups):
        if group.arrivals:
            name = ", ".join(dict.fromkeys(compiled.steps[step].name for step in group.steps))
            yield (
                name,
                Process(
                    arrivals=group.arrivals,
                    seed=compiled.seed,
                    group=number,
                    first_step=None if group.weights else group.steps[0],
                    repeats=not group.weights and group.steps.count(group.steps[0]) > 1,
                    ended_ns=tuple(ended_ns + one.stopped_late_ns for one in measured.engine_run.generators),
                ),
            )


def _stages(measured: Measured) -> Iterator[Window]:
    """The stages of a profile of rates, as far as the run went."""
    load, ended_ns = measured.point.load, measured.engine_run.scheduling_ended_ns
    if isinstance(load, OpenLoad):
        for start_ns, end_ns in stage_bounds_ns(load.arrivals, load.warmup_s):
            if start_ns < ended_ns:
                yield Window(start_ns, min(end_ns, ended_ns))


def stage_bounds_ns(arrivals: Arrivals, warmup_s: float) -> list[tuple[int, int]]:
    """The bounds of each step of a profile of rates, and of each tenth of a ramp; empty for a single rate."""
    profile = arrivals.profile
    if not profile or arrivals.length_s is None or (len(profile) == 1 and profile[0].from_per_s == profile[0].to_per_s):
        return []
    lengths_s: list[float] = []
    for segment in profile:
        assert segment.duration_s is not None
        parts = 1 if segment.from_per_s == segment.to_per_s else _PARTS_OF_RAMP
        lengths_s += [segment.duration_s / parts] * parts
    ends_ns = [ns_from_s(warmup_s + end_s) for end_s in accumulate(lengths_s)]
    return list(zip([ns_from_s(warmup_s), *ends_ns], ends_ns, strict=False))
