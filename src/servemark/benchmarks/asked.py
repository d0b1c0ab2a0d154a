"""A load as a result has it: what was asked for, known before anything is sent."""

from __future__ import annotations

from typing import Any

from servemark.result import to_json
from servemark.workload.load import Load, OpenLoad
from servemark.workload.rates import format_rate


def load_asked(load: Load) -> dict[str, Any]:
    """The load of a run; of an open loop what came of it (`max_connections`, `offered_per_s`) is not known yet."""
    if not isinstance(load, OpenLoad):
        return {"kind": "closed", **to_json(load)}
    arrivals = load.arrivals
    trace = None
    if arrivals.process == "trace":
        unknown = {"file": None, "sha256": None, "column": None, "unit": "s"}
        origin = to_json(arrivals.trace) if arrivals.trace else unknown
        trace = {**origin, "times": len(arrivals.times_ns), "length_s": arrivals.length_s}
    return {
        "kind": "open",
        "process": arrivals.process,
        "cv": {"constant": 0.0, "poisson": 1.0, "gamma": arrivals.cv, "trace": None}[arrivals.process],
        "profile": to_json(arrivals.profile),
        "trace": trace,
        "requests": load.requests,
        "duration_s": load.duration_s,
        "until": to_json(load.until),
        "warmup_s": load.warmup_s,
        "max_connections": load.max_connections,
        "requested_connections": load.max_connections,
        "offered_per_s": None,
    }


def options_of_load(load: Load) -> dict[str, Any]:
    """The load of a benchmark's headline, as the command line would ask for it."""
    if not isinstance(load, OpenLoad):
        return {"threads": load.users}
    arrivals = load.arrivals
    values = {"gamma": f":{arrivals.cv:g}", "trace": f":{arrivals.trace.name}" if arrivals.trace else ""}
    return {
        "rate": format_rate(arrivals.profile) if arrivals.profile else None,
        "arrival": arrivals.process + values.get(arrivals.process, ""),
        "max_connections": load.max_connections,
    }
