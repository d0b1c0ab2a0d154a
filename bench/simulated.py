"""Trials that no server made: requests that depend on each other, in runs that differ from one another, as results.

A run's latencies are log-normal and an AR(1) process, so that one request says much of the next; a run is slower or
faster than another by a factor of its own, the spread between trials.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from servemark.benchmarks.trials import TRIALS_A_BLOCK
from servemark.result import (
    AskedOptions,
    BenchmarkResult,
    Certificate,
    ClosedLoadResult,
    Environment,
    LatencySummary,
    Result,
    RunResult,
    Statistic,
    StepSummary,
    Telemetry,
    Tool,
)

FloatArray = NDArray[np.float64]

_VALID = Certificate(valid=True, checks=())
_CLOSED = ClosedLoadResult(users=1, loops=None, duration_s=10.0, until=None, warmup_s=2.0, ramp_s=0.0, think_s=0.0)
_TYPICAL_MS = 20.0
#: Of a run's latencies: the standard deviation of their logarithms.
_WITHIN = 0.2


def latencies_ms(
    rng: np.random.Generator, trials: int, *, between: float, requests: int = 400, autocorrelation: float = 0.9
) -> FloatArray:
    """The latencies of so many runs of one server, shape (trials, requests), which vary by the share `between`."""
    fresh = rng.standard_normal((requests, trials))
    process = np.empty_like(fresh)
    process[0] = fresh[0]
    for number in range(1, requests):
        process[number] = autocorrelation * process[number - 1] + np.sqrt(1 - autocorrelation**2) * fresh[number]
    factors = between * rng.standard_normal(trials)
    found: FloatArray = _TYPICAL_MS * np.exp(_WITHIN * process.T + factors[:, None])
    return found


def result_of(latencies: FloatArray, name: str) -> Result:
    """The result of one user whose runs had these `latencies` in milliseconds, shape (trials, requests)."""
    ordered = np.sort(latencies, axis=1)
    runs = tuple(_run(place, row, float(latencies[place].mean())) for place, row in enumerate(ordered))
    benchmark = BenchmarkResult(
        name="latency",
        model="simulated",
        backend=None,
        options=AskedOptions(threads=1),
        cold_start_ms=None,
        partial=False,
        steps=runs[0].steps,
        runs=runs,
        certificate=_VALID,
        verdicts=(),
    )
    return Result(
        id=name,
        started_at="2026-01-01T00:00:00+00:00",
        command=("servemark run", "latency"),
        seed=0,
        partial=False,
        tool=Tool(version="0", engine="native"),
        environment=Environment(os="none", machine="none", cpus=1, memory_mib=1, python="3"),
        server=None,
        benchmarks=(benchmark,),
    )


def in_turns(rng: np.random.Generator, blocks: int, slower: float, *, drift: float, between: float = 0.01) -> Result:
    """The result of two servers in turns, the second `slower` by a share, on a machine that becomes slower itself by
    the share `drift` from one block to the next.
    """
    drifted = (1 + drift) ** np.repeat(np.arange(blocks), TRIALS_A_BLOCK)[:, None]
    trials = TRIALS_A_BLOCK * blocks
    both = [latencies_ms(rng, trials, between=between, autocorrelation=0.0) * drifted for _ in range(2)]
    ours, theirs = (result_of(one * factor, "x") for one, factor in zip(both, (1.0, 1 + slower), strict=True))
    return replace(ours, benchmarks=(*ours.benchmarks, *theirs.benchmarks))


def _run(place: int, ordered: FloatArray, mean: float) -> RunResult:
    def known(value: float) -> Statistic:
        return Statistic(value, (0.99 * value, 1.01 * value))

    at = {name: known(float(ordered[int(np.ceil(q * len(ordered))) - 1])) for name, q in _QUANTILES.items()}
    latency = LatencySummary(mean=known(mean), min=float(ordered[0]), max=float(ordered[-1]), stddev=None, **at)
    step = StepSummary(
        name="predict",
        requests=len(ordered),
        succeeded=len(ordered),
        measured=len(ordered),
        errors={},
        error_examples=(),
        throughput_per_s=known(1000 / mean),
        response_ms=latency,
        service_ms=latency,
        client_queue_ms=latency,
        generator_lag_ms=latency,
        failed_response_ms=latency,
        bytes_sent=0,
        bytes_received=0,
        headline="service",
    )
    return RunResult(
        trial=place + 1,
        point={},
        server={"requested": {}, "read_back": {}},
        load=_CLOSED,
        window_s=(2.0, 12.0),
        warmup_s=2.0,
        certificate=_VALID,
        steps=(step,),
        telemetry=Telemetry(),
        records=f"records/latency-{place + 1}.bin",
    )


_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
