"""A result as metrics: what OpenMetrics and OTLP both say of it. Each is a gauge, since a result does not change.

Units are base units, written as UCUM has them; times are seconds here, and milliseconds in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from servemark.printable import printable_in
from servemark.result import (
    STATISTICS,
    BenchmarkResult,
    GapSummary,
    InsideServer,
    LatencySummary,
    OpenLoadResult,
    Result,
    RunResult,
    Statistic,
    StepSummary,
    TokenSummary,
)

_MS_PER_S = 1000
#: Between the words of a figure's name and those of its interval's bounds.
_LOW, _HIGH = "ci95_low", "ci95_high"


@dataclass(frozen=True)
class Metric:
    """A metric: its name without servemark's own before it, its unit, empty of mere numbers, and what it is."""

    name: str
    unit: str
    title: str


@dataclass(frozen=True)
class Sample:
    """A value of the metric of that name, and what it is of."""

    metric: str
    labels: Mapping[str, str]
    value: float


def _with_bounds(name: str, unit: str, title: str) -> tuple[Metric, ...]:
    return (
        Metric(name, unit, title),
        Metric(f"{name}_{_LOW}", unit, f"Lower bound of the 95% confidence interval of {name}."),
        Metric(f"{name}_{_HIGH}", unit, f"Upper bound of the 95% confidence interval of {name}."),
    )


#: By their names, in the order in which they are written.
METRICS = {
    one.name: one
    for one in (
        *_with_bounds("latency", "s", "A statistic of a latency of the measured successes; headline is what answers."),
        *_with_bounds("throughput", "{request}/s", "Successes in the measured time, over it."),
        *_with_bounds("goodput", "{request}/s", "Successes within the objective's times, over the measured time."),
        *_with_bounds("events", "{event}/s", "Server-sent events of the successes in the measured time, over it."),
        *_with_bounds("output_tokens", "{token}/s", "Tokens of the answers in the measured time, over it."),
        Metric("tokens", "{token}", "Tokens of the measured answers whose tokens are known."),
        Metric("answers", "{request}", "Measured answers that were read for their tokens, by why they ended."),
        Metric("short_answers", "{request}", "Those of them that have fewer tokens than were asked for."),
        Metric("offered", "{request}/s", "Arrivals of an open loop in the measured time, over it."),
        Metric("requests", "{request}", "Requests by outcome: of all that were sent, and of those that were measured."),
        Metric("errors", "{request}", "Failures by kind, of all that were sent."),
        Metric("sent", "By", "Bytes that were sent."),
        Metric("received", "By", "Bytes that were received."),
        Metric("measured", "s", "The measured time."),
        Metric("server_time", "s", "Mean time a request in a part of the server, as the server counts."),
        Metric("server_requests", "{request}", "Requests by outcome, as the server counts, the warm-up's too."),
        Metric("server_executions", "{execution}", "Executions that answered them, of a request or of a batch."),
        Metric("cold_start", "s", "The first prediction after registering."),
        Metric("valid", "", "1 where the certificate of the run is valid, 0 where it is INVALID."),
        Metric("partial", "", "1 where the benchmark was ended before its end, else 0."),
        Metric("verdict", "", "1 for each condition, with its outcome."),
        Metric("capacity", "", "The most load that meets the objective: a rate a second, or users."),
        Metric("capacity_ci90_low", "", "Lower bound of the 90% confidence interval of capacity."),
        Metric("capacity_ci90_high", "", "Upper bound of the 90% confidence interval of capacity."),
    )
}


def facts(result: Result) -> dict[str, str]:
    """What tells the result from others, and its machine."""
    machine = result.environment
    return {
        "id": result.id,
        "started_at": result.started_at,
        "version": result.tool.version,
        "engine": result.tool.engine,
        "machine": machine.cpu_model or machine.machine,
        "os": machine.os,
    }


def samples(result: Result) -> Iterator[Sample]:
    """The samples of `result`, in no order that means anything; what is not known has none.

    Of several trials they are of the one that is shown. Labels are the benchmark, its number in the result, its model,
    and of a run its point, if there are several.
    """
    for number, benchmark in enumerate(printable_in(result).benchmarks, 1):
        labels = {"benchmark": benchmark.name, "number": str(number)}
        if benchmark.model:
            labels["model"] = benchmark.model
        yield from _of_benchmark(benchmark, labels)
        for run in benchmark.answering.values():
            yield from _of_run(run, labels | ({"point": run.place} if run.place else {}))


def _of_benchmark(benchmark: BenchmarkResult, labels: Mapping[str, str]) -> Iterator[Sample]:
    yield Sample("partial", labels, int(benchmark.partial))
    if benchmark.cold_start_ms is not None:
        yield Sample("cold_start", labels, benchmark.cold_start_ms / _MS_PER_S)
    conditions = {(one.question, one.outcome) for one in benchmark.verdicts if one.outcome != "finding"}
    for question, outcome in sorted(conditions):
        yield Sample("verdict", {**labels, "question": question, "outcome": outcome}, 1)
    for found in benchmark.capacities:
        what = {**labels, "by": found.by, **{name: str(value) for name, value in found.configuration.items()}}
        if found.estimate.value is not None:
            yield Sample("capacity", what, found.estimate.value)
        for bound, value in zip(("low", "high"), found.estimate.ci90 or (), strict=False):
            yield Sample(f"capacity_ci90_{bound}", what, value)


def _of_run(run: RunResult, labels: Mapping[str, str]) -> Iterator[Sample]:
    if not run.certificate.is_imported:
        yield Sample("valid", labels, int(run.certificate.valid))
    start_s, end_s = run.window_s
    yield Sample("measured", labels, end_s - start_s)
    if isinstance(run.load, OpenLoadResult) and run.load.offered_per_s is not None:
        yield Sample("offered", labels, run.load.offered_per_s)
    for step in run.steps:
        yield from _of_step(step, {**labels, "step": step.name})
    for inside in run.inside or ():
        yield from _of_server(inside, {**labels, "model": inside.model})


def _of_server(inside: InsideServer, labels: Mapping[str, str]) -> Iterator[Sample]:
    """What the server itself counted of a model."""
    for outcome, count in (("succeeded", inside.requests), ("failed", inside.failed)):
        yield Sample("server_requests", {**labels, "outcome": outcome}, count)
    if inside.executions is not None:
        yield Sample("server_executions", labels, inside.executions)
    for part in ("queue", "input", "infer", "output"):
        mean_ms = getattr(inside, f"{part}_ms")
        if mean_ms is not None:
            yield Sample("server_time", {**labels, "part": part}, mean_ms / _MS_PER_S)


def _of_step(step: StepSummary, labels: Mapping[str, str]) -> Iterator[Sample]:
    yield from _figure("throughput", labels, step.throughput_per_s)
    if step.goodput_per_s is not None:
        yield from _figure("goodput", labels, step.goodput_per_s)
    latencies = {
        "headline": step.headline_ms,
        "response": step.response_ms,
        "service": step.service_ms,
        "client_queue": step.client_queue_ms,
        "generator_lag": step.generator_lag_ms,
        "failed_response": step.failed_response_ms,
    }
    if step.events is not None:
        yield from _figure("events", labels, step.events.events_per_s)
        latencies["first_event"] = step.events.time_to_first_event_ms
        yield from _gaps(step.events.between_events_ms, {**labels, "latency": "between_events"})
    if step.tokens is not None:
        yield from _figure("output_tokens", labels, step.tokens.output_tokens.per_s)
        yield from _of_tokens(step.tokens, labels)
        for name in ("first_token", "time_per_output_token", "longest_gap", "tail"):
            latencies[name] = getattr(step.tokens, f"{name}_ms")
        if step.tokens.first_said_ms is not None:
            latencies["first_said"] = step.tokens.first_said_ms
        yield from _gaps(step.tokens.between_content_ms, {**labels, "latency": "between_content"})
    for name, latency in latencies.items():
        yield from _latency(latency, {**labels, "latency": name})
    counts = {
        ("sent", "succeeded"): step.succeeded,
        ("sent", "failed"): step.failed,
        ("measured", "succeeded"): step.measured,
        ("measured", "failed"): step.measured_failed,
    }
    for (of, outcome), count in counts.items():
        yield Sample("requests", {**labels, "of": of, "outcome": outcome}, count)
    for kind, count in step.errors.items():
        yield Sample("errors", {**labels, "kind": kind}, count)
    yield Sample("sent", labels, step.bytes_sent)
    yield Sample("received", labels, step.bytes_received)


def _of_tokens(tokens: TokenSummary, labels: Mapping[str, str]) -> Iterator[Sample]:
    """What the answers of a step came to, besides their times that have intervals."""
    if tokens.output_tokens.count is not None:
        yield Sample("tokens", labels, tokens.output_tokens.count)
    for reason, count in tokens.finish_reasons.items():
        yield Sample("answers", {**labels, "finish_reason": reason}, count)
    for reason, count in tokens.short.items():
        yield Sample("short_answers", {**labels, "finish_reason": reason}, count)


def _gaps(gaps: GapSummary | None, labels: Mapping[str, str]) -> Iterator[Sample]:
    """Times between events, which have no intervals; None of no streams."""
    for name in ("mean", "p50", "p90", "p99", "max") if gaps is not None else ():
        yield Sample("latency", {**labels, "statistic": name}, getattr(gaps, name) / _MS_PER_S)


def _latency(latency: LatencySummary, labels: Mapping[str, str]) -> Iterator[Sample]:
    for name in STATISTICS:
        yield from _figure("latency", {**labels, "statistic": name}, getattr(latency, name), per=_MS_PER_S)
    for name in ("min", "max", "stddev"):
        value = getattr(latency, name)
        if value is not None:
            yield Sample("latency", {**labels, "statistic": name}, value / _MS_PER_S)


def _figure(metric: str, labels: Mapping[str, str], statistic: Statistic, *, per: float = 1) -> Iterator[Sample]:
    if statistic.value is not None:
        yield Sample(metric, labels, statistic.value / per)
    for bound, value in zip((_LOW, _HIGH), statistic.ci95 or (), strict=False):
        yield Sample(f"{metric}_{bound}", labels, value / per)
