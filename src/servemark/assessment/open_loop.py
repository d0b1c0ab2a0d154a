"""What is said of an open loop: its rates, offered and achieved, and how the stages of a profile of rates went."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from servemark.assessment.measured import Measured
from servemark.benchmarks.asked import load_asked
from servemark.result import LoadResult, OpenLoadResult, Stage
from servemark.stats.percentiles import distribution_ms
from servemark.stats.summary import Window
from servemark.units import NS_PER_S, ns_from_s
from servemark.workload.load import Arrivals, OpenLoad
from servemark.workload.plan import EnginePlan

#: Parts of a ramp's time that are told apart.
_PARTS_OF_RAMP = 10


def load_facts(measured: Measured, window: Window) -> LoadResult:
    """The load of a run as its result has it; of an open loop also the rate that was really offered."""
    load = measured.point.load
    asked = load_asked(load)
    if isinstance(load, OpenLoad) and isinstance(asked, OpenLoadResult):
        most = measured.engine_run.reduced_connections or load.max_connections
        asked = replace(asked, max_connections=most, offered_per_s=_offered_per_s(measured, load, window))
    return asked


def _offered_per_s(measured: Measured, load: OpenLoad, window: Window) -> float | None:
    """Arrivals scheduled inside the window, over it; of an exact number, over the time from the first to the last."""
    rows = measured.records.memmap()
    scheduled = np.asarray(rows["scheduled"][np.isin(rows["step"], _steps_of(measured.compiled)[0])])
    inside = scheduled[(scheduled >= window.start_ns) & (scheduled < window.end_ns)]
    if load.requests is None:
        return len(inside) / window.seconds if window.seconds > 0 else None
    span_ns = int(np.ptp(inside)) if len(inside) else 0
    return (len(inside) - 1) * NS_PER_S / span_ns if span_ns else None


def _steps_of(compiled: EnginePlan) -> tuple[list[int], list[int]]:
    """The steps with which an arrival of an open loop begins, and those with which it ends: of a mix, any."""
    groups = [group for group in compiled.groups if group.arrivals]
    first = [step for group in groups for step in (group.steps if group.weights else group.steps[:1])]
    last = [step for group in groups for step in (group.steps if group.weights else group.steps[-1:])]
    return first, last


def stage_bounds_ns(arrivals: Arrivals, warmup_s: float) -> list[tuple[int, int]]:
    """Where each step of a profile of rates begins and ends, and each tenth of a ramp; empty for a single rate."""
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


def stages(measured: Measured, run: int) -> list[Stage]:
    """The stages of a run's profile, as far as it went; `run` is its number.

    Requests belong to the stage in which they were scheduled. The achieved rate is that of the successes that ended in
    the stage, whenever they were scheduled.
    """
    load = measured.point.load
    if not isinstance(load, OpenLoad):
        return []
    rows, (first, last) = measured.records.memmap(), _steps_of(measured.compiled)
    ended_ns = measured.engine_run.scheduling_ended_ns
    bounds_ns = stage_bounds_ns(load.arrivals, load.warmup_s)
    return [
        _stage(run, rows, start_ns, min(end_ns, ended_ns), first, last)
        for start_ns, end_ns in bounds_ns
        if start_ns < ended_ns
    ]


def _stage(run: int, rows: NDArray[np.void], start_ns: int, end_ns: int, first: list[int], last: list[int]) -> Stage:
    seconds = (end_ns - start_ns) / NS_PER_S
    of_stage = rows[(rows["scheduled"] >= start_ns) & (rows["scheduled"] < end_ns)]
    good = of_stage[of_stage["kind"] == 0]
    ended = (rows["end"] >= start_ns) & (rows["end"] < end_ns) & (rows["kind"] == 0) & np.isin(rows["step"], last)
    return Stage(
        run=run,
        start_s=start_ns / NS_PER_S,
        end_s=end_ns / NS_PER_S,
        offered_per_s=int(np.isin(of_stage["step"], first).sum()) / seconds,
        achieved_per_s=int(ended.sum()) / seconds,
        requests=len(of_stage),
        failed=len(of_stage) - len(good),
        response_ms=distribution_ms(good["end"] - good["scheduled"]),
        client_queue_ms=distribution_ms(good["ready"] - good["scheduled"]),
    )
