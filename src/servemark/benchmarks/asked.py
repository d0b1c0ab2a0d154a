"""What was asked for, as a result has it: known before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from servemark.result import (
    AdaptiveLength,
    AskedOptions,
    ClosedLoadResult,
    LoadResult,
    OpenLoadResult,
    RateSegmentResult,
    TraceResult,
)
from servemark.workload.inputs import checksum
from servemark.workload.load import Arrivals, Load, OpenLoad
from servemark.workload.rates import format_rate


def load_asked(load: Load) -> LoadResult:
    """The load of a run; of an open loop what came of it (`max_connections`, `offered_per_s`) is not known yet."""
    until = AdaptiveLength(**asdict(load.until)) if load.until else None
    if not isinstance(load, OpenLoad):
        return ClosedLoadResult(
            users=load.users,
            loops=load.loops,
            duration_s=load.duration_s,
            until=until,
            warmup_s=load.warmup_s,
            ramp_s=load.ramp_s,
            think_s=load.think_s,
        )
    arrivals = load.arrivals
    return OpenLoadResult(
        process=arrivals.process,
        cv={"constant": 0.0, "poisson": 1.0, "gamma": arrivals.cv, "trace": None}[arrivals.process],
        profile=tuple(RateSegmentResult(one.from_per_s, one.to_per_s, one.duration_s) for one in arrivals.profile),
        trace=_trace(arrivals),
        requests=load.requests,
        duration_s=load.duration_s,
        until=until,
        warmup_s=load.warmup_s,
        max_connections=load.max_connections,
        requested_connections=load.max_connections,
        offered_per_s=None,
    )


def _trace(arrivals: Arrivals) -> TraceResult | None:
    if arrivals.process != "trace":
        return None
    length_s, times, origin = arrivals.length_s or 0.0, len(arrivals.times_ns), arrivals.trace
    if origin is None:
        return TraceResult(None, None, times, length_s)
    return TraceResult(origin.file, origin.sha256, times, length_s, origin.column, origin.unit)


def asked_options(
    load: Load,
    *,
    url: str | None,
    method: str | None,
    inputs: Sequence[str],
    pool: Sequence[bytes],
    parameters: Mapping[str, Any],
) -> AskedOptions:
    """What a benchmark was asked: the load of its headline as the command line would ask for it, and what was sent.

    `pool` are the bodies that are drawn from.
    """
    asked = AskedOptions(
        url=url,
        method=method,
        inputs=tuple(inputs),
        input_count=len(pool),
        input_sha256=checksum(pool) if pool else None,
        parameters=dict(parameters),
    )
    if not isinstance(load, OpenLoad):
        return replace(asked, threads=load.users)
    arrivals = load.arrivals
    values = {"gamma": f":{arrivals.cv:g}", "trace": f":{arrivals.trace.name}" if arrivals.trace else ""}
    return replace(
        asked,
        rate=format_rate(arrivals.profile) if arrivals.profile else None,
        arrival=arrivals.process + values.get(arrivals.process, ""),
        max_connections=load.max_connections,
    )
