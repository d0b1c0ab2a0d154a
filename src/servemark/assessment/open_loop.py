"""What is said of an open loop: its rates, offered and achieved, and how the stages of a profile of rates went."""

from __future__ import annotations

from dataclasses import replace

from servemark.assessment.measured import Measured
from servemark.benchmarks.asked import load_asked
from servemark.result import LoadResult, OpenLoadResult, Stage
from servemark.stats.evidence import Begun, Evidence, Window
from servemark.stats.percentiles import distribution_ms
from servemark.units import NS_PER_S
from servemark.workload.load import OpenLoad


def load_facts(measured: Measured, evidence: Evidence) -> LoadResult:
    """The load of a run as its result has it; of an open loop also the rate that was really offered."""
    load = measured.point.load
    asked = load_asked(load)
    if isinstance(load, OpenLoad) and isinstance(asked, OpenLoadResult):
        most = measured.engine_run.reduced_connections or load.max_connections
        offered = offered_per_s(evidence.begun, evidence.window, exact=load.requests is not None)
        asked = replace(asked, max_connections=most, offered_per_s=offered)
    return asked


def offered_per_s(begun: Begun, window: Window, *, exact: bool) -> float | None:
    """Arrivals scheduled inside the window, over it; of an exact number, over the time from the first to the last."""
    if not exact:
        return begun.count / window.seconds if window.seconds > 0 else None
    return (begun.count - 1) * NS_PER_S / begun.span_ns if begun.span_ns else None


def stages(evidence: Evidence, run: int) -> list[Stage]:
    """The stages of a run's profile, as far as it went; `run` is its number.

    Requests belong to the stage in which they were scheduled. The achieved rate is that of the successes that ended in
    the stage, whenever they were scheduled.
    """
    return [
        Stage(
            run=run,
            start_s=stage.window.start_ns / NS_PER_S,
            end_s=stage.window.end_ns / NS_PER_S,
            offered_per_s=stage.begun / stage.window.seconds,
            achieved_per_s=stage.ended / stage.window.seconds,
            requests=stage.requests,
            failed=stage.failed,
            response_ms=distribution_ms(stage.response_ns),
            client_queue_ms=distribution_ms(stage.client_queue_ns),
        )
        for stage in evidence.stages
    ]
