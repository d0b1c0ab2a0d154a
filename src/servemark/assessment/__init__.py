"""Assessment: from what an engine recorded to what is reported: window, summary, certificate, verdicts.

Nothing here executes or asks a server; everything it needs is in ``Measured``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from servemark.assessment.analysis import analyse
from servemark.assessment.measured import Measured as Measured
from servemark.assessment.measured import Removal as Removal
from servemark.benchmarks import Benchmark
from servemark.certificate import certify, check_accounted, check_lag, check_server
from servemark.result import BenchmarkResult, Certificate, Check, ErrorExample, RunResult, Verdict, to_json
from servemark.servers.inference import describe_failure
from servemark.stats.concurrency import busy_period, least_in_flight
from servemark.stats.summary import Summary, Window, summarise
from servemark.units import BYTES_PER_MIB, NS_PER_S
from servemark.verdict import errors_within, saturated


@dataclass(frozen=True)
class Assessed:
    """A run's result, and the verdicts on it alone."""

    run: RunResult
    verdicts: tuple[Verdict, ...]


def assess_run(measured: Measured, max_errors_share: float) -> Assessed:
    """The result of one run."""
    window = measured_window(measured)
    summary = summarise(
        measured.records.chunks(),
        rows=measured.records.rows,
        window=window,
        step_names=measured.records.step_names,
        error_kinds=measured.records.error_kinds,
        examples=_explained_examples(measured),
        seed=measured.compiled.seed,
    )
    verdicts = [errors_within(step, max_errors_share) for step in summary.steps]
    if measured.benchmark.asks_saturation:
        verdicts.append(_saturation(measured))
    certificate = _certificate(measured, summary)
    return Assessed(_run_result(measured, window, summary, certificate), tuple(verdicts))


def assess(benchmark: Benchmark, measured: Sequence[Measured], assessed: Sequence[Assessed]) -> BenchmarkResult:
    """The result of a benchmark whose runs were `measured` and `assessed`, in the same order; at least one."""
    first, runs = measured[0], tuple(item.run for item in assessed)
    headline = [run for run in runs if not run.point]
    shown = next((item.point for item in measured if not item.point.values), first.point)
    certificates = [run.certificate for run in runs]
    return BenchmarkResult(
        name=benchmark.name,
        model=", ".join(model.name for model in first.served) or None,
        backend=first.served[0].backend if first.served else None,
        archive=first.served[0].origin if first.served else None,
        options={
            "threads": shown.load.users,
            "inputs": list(first.inputs),
            "parameters": dict(first.parameters),
        },
        cold_start_ms=first.served[0].cold_start_ms if len(first.served) == 1 else None,
        partial=any(item.engine_run.interrupted for item in measured),
        steps=headline[0].steps if headline else (),
        runs=runs,
        certificate=Certificate(
            valid=all(certificate.valid for certificate in certificates),
            checks=tuple(check for certificate in certificates for check in certificate.checks),
        ),
        verdicts=tuple(verdict for item in assessed for verdict in item.verdicts),
        analysis=analyse(benchmark.analysis, measured, runs),
    )


def measured_window(measured: Measured) -> Window:
    """With loops, from the first request to the last response; else from the warm-up to the end of scheduling."""
    if measured.point.load.loops is not None:
        return Window(*measured.records.span_ns())
    ended_ns = measured.engine_run.scheduling_ended_ns
    return Window(min(measured.records.warmup_ns, ended_ns), ended_ns)


def _run_result(measured: Measured, window: Window, summary: Summary, certificate: Certificate) -> RunResult:
    point, engine_run, records = measured.point, measured.engine_run, measured.records
    threads = measured.compiled.threads
    elapsed_s = max(engine_run.scheduling_ended_ns / NS_PER_S, 1e-9)
    return RunResult(
        trial=1,
        point=dict(point.values),
        server={
            "requested": _of_one({model.name: model.requested for model in measured.served}),
            "read_back": _of_one(measured.settings_before),
        },
        load={"kind": "closed", **to_json(point.load), "generator_threads": threads},
        window_s=(window.start_ns / NS_PER_S, window.end_ns / NS_PER_S),
        warmup_s=point.load.warmup_s,
        certificate=certificate,
        steps=summary.steps,
        telemetry={
            "generator_cpu_s": engine_run.generator_cpu_s,
            "generator_cpu_share": engine_run.generator_cpu_s / elapsed_s / threads,
            "server_memory_before_mib": _mib(measured.memory_bytes[0]),
            "server_memory_after_mib": _mib(measured.memory_bytes[1]),
        },
        records=f"{records.path.parent.name}/{records.path.name}",
    )


def _of_one(settings: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """Settings by model; those of the only one are plain."""
    return next(iter(settings.values())) if len(settings) == 1 else settings


def _mib(memory_bytes: int | None) -> float | None:
    return None if memory_bytes is None else round(memory_bytes / BYTES_PER_MIB, 1)


def _certificate(measured: Measured, summary: Summary) -> Certificate:
    failure = measured.failure
    accounted = check_accounted(
        expected=measured.plan.exact_requests,
        scheduled=measured.engine_run.scheduled,
        recorded=measured.records.rows,
        interrupted=measured.engine_run.interrupted,
    )
    if measured.engine == "native":
        lag = [
            check_lag(step, punctual_ms) for step, punctual_ms in zip(summary.steps, summary.punctual_ms, strict=True)
        ]
    else:
        lag = [Check("generator lag", None, "JMeter does not tell it")]
    if measured.point.model.scaled and not failure:
        server = Check("server unchanged", None, "to change it is what was measured")
    else:
        before, after = _of_one(measured.settings_before), _of_one(measured.settings_after)
        server = check_server(str(failure) if failure else None, before, after)
    return certify([accounted, *lag, server])


def _explained_examples(measured: Measured) -> dict[int, tuple[ErrorExample, ...]]:
    """The first failures of each step, with what an HTTP status means on this server."""
    workers = _of_one(measured.settings_before).get("workers")
    ready_workers = workers if isinstance(workers, int) else None

    def explain(example: ErrorExample) -> ErrorExample:
        _, _, status = example.kind.partition(":")
        if not status:
            return example
        return replace(example, message=describe_failure(int(status), example.body, ready_workers))

    return {step: tuple(map(explain, found)) for step, found in measured.engine_run.examples.items()}


def _saturation(measured: Measured) -> Verdict:
    workers, batch_size = (_of_one(measured.settings_before).get(name) for name in ("workers", "batch_size"))
    needed = workers * batch_size if isinstance(workers, int) and isinstance(batch_size, int) else None
    rows = measured.records.memmap()
    start_ns, stop_ns = busy_period(rows["user"], rows["scheduled"])
    start_ns = max(start_ns, measured.records.warmup_ns)
    return saturated(least_in_flight(rows["sent"], rows["end"], start_ns, stop_ns), needed)
