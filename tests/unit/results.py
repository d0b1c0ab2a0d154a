"""Results that tests make by hand, and parts of them: the loads of a run, the tool and the machine."""

from __future__ import annotations

from servemark.result import (
    BenchmarkResult,
    ClosedLoadResult,
    Environment,
    OpenLoadResult,
    RateSegmentResult,
    Result,
    Tool,
)

TOOL = Tool(version="1", engine="native")
MACHINE = Environment(os="Linux", machine="x86_64", cpus=2, memory_mib=1, python="3.11")
CLOSED = ClosedLoadResult(users=1, loops=None, duration_s=10.0, until=None, warmup_s=2.0, ramp_s=0.0, think_s=0.0)
OPEN = OpenLoadResult(
    process="constant",
    cv=0.0,
    profile=(RateSegmentResult(20.0, 20.0, None),),
    trace=None,
    requests=None,
    duration_s=10.0,
    until=None,
    warmup_s=2.0,
    max_connections=10_000,
    requested_connections=10_000,
    offered_per_s=20.0,
)


def result_of(benchmark: BenchmarkResult, name: str) -> Result:
    """A whole result of that benchmark, which is known by `name`."""
    return Result(
        id=name,
        started_at="2026-01-01T00:00:00+00:00",
        command=(),
        seed=0,
        partial=False,
        tool=TOOL,
        environment=MACHINE,
        server=None,
        benchmarks=(benchmark,),
    )
