"""Assessment: from what an engine recorded to what is reported: window, summary, certificate, verdicts.

Nothing here executes or asks a server; everything it needs is in ``Measured``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from servemark.benchmarks import Benchmark, Point
from servemark.certificate import certify, check_accounted, check_lag, check_server
from servemark.engines import EngineName, EngineRun
from servemark.errors import ServerError
from servemark.records import RecordFile
from servemark.result import BenchmarkResult, Certificate, Check, ErrorExample, RunResult, Verdict, to_json
from servemark.servers import ServedModel
from servemark.servers.inference import describe_failure
from servemark.stats.concurrency import busy_period, least_in_flight
from servemark.stats.scalability import fit_scalability, pareto_front
from servemark.stats.summary import Summary, Window, summarise
from servemark.units import NS_PER_S
from servemark.verdict import errors_within, saturated
from servemark.workload.plan import EnginePlan


@dataclass(frozen=True)
class Measured:
    """One execution of one point, and what was seen of the server around it.

    Attributes:
        served: the models, with their settings as read back before; empty when there was none.
        settings_after: the same settings by model, as read back afterwards.
        failure: why the server could no longer be measured, if that ended the run.
        inputs: where the inputs came from; empty for the model's own.
    """

    benchmark: Benchmark
    point: Point
    plan: EnginePlan
    records: RecordFile
    engine_run: EngineRun
    served: tuple[ServedModel, ...]
    settings_after: Mapping[str, Mapping[str, object]]
    failure: ServerError | None
    inputs: tuple[str, ...]
    engine: EngineName

    @property
    def settings_before(self) -> Mapping[str, Mapping[str, object]]:
        """Each served model's settings by its name, as read back before the run; without those that could not be."""
        return {model.name: model.read_back for model in self.served if model.read_back}


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
        seed=measured.plan.seed,
    )
    verdicts = [errors_within(step, max_errors_share) for step in summary.steps]
    if measured.benchmark.asks_saturation:
        verdicts.append(_saturation(measured))
    certificate = _certificate(measured, summary)
    return Assessed(_run_result(measured, window, summary, certificate), tuple(verdicts))


def assess(benchmark: Benchmark, measured: Sequence[Measured], assessed: Sequence[Assessed]) -> BenchmarkResult:
    """The result of a benchmark whose runs were `measured` and `assessed`, in the same order; at least one."""
    first, runs = measured[0], tuple(item.run for item in assessed)
    served = first.served[0] if first.served else None
    certificates = [run.certificate for run in runs]
    return BenchmarkResult(
        name=benchmark.name,
        model=served.name if served else None,
        backend=served.backend if served else None,
        archive=served.origin if served else None,
        options={"threads": first.point.load.users, "inputs": list(first.inputs)},
        cold_start_ms=served.cold_start_ms if served else None,
        partial=any(item.engine_run.interrupted for item in measured),
        steps=runs[0].steps if len(runs) == 1 and not first.point.values else (),
        runs=runs,
        certificate=Certificate(
            valid=all(certificate.valid for certificate in certificates),
            checks=tuple(check for certificate in certificates for check in certificate.checks),
        ),
        verdicts=tuple(verdict for item in assessed for verdict in item.verdicts),
        analysis=_analysis(benchmark, runs),
    )


def _analysis(benchmark: Benchmark, runs: Sequence[RunResult]) -> dict[str, Any] | None:
    """What the points of a benchmark show together."""
    if benchmark.analysis is None:
        return None
    steps = [run.steps[0] for run in runs]
    rates = np.array([step.throughput_per_s.value or 0.0 for step in steps])
    if benchmark.analysis == "scalability":
        users = np.array([float(run.load["users"]) for run in runs])
        fit = fit_scalability(users, rates)
        return {"scalability": {"refused": fit} if isinstance(fit, str) else asdict(fit)}
    answered = [index for index, step in enumerate(steps) if step.response_ms.p99.value is not None]
    p99_ms = np.array([steps[index].response_ms.p99.value for index in answered], dtype=np.float64)
    return {"pareto_runs": [answered[index] for index in pareto_front(rates[answered], p99_ms)]}


def measured_window(measured: Measured) -> Window:
    """With loops, from the first request to the last response; else from the warm-up to the end of scheduling."""
    if measured.point.load.loops is not None:
        return Window(*measured.records.span_ns())
    ended_ns = measured.engine_run.scheduling_ended_ns
    return Window(min(measured.records.warmup_ns, ended_ns), ended_ns)


def _run_result(measured: Measured, window: Window, summary: Summary, certificate: Certificate) -> RunResult:
    point, engine_run, records = measured.point, measured.engine_run, measured.records
    threads = measured.plan.threads
    elapsed_s = max(engine_run.scheduling_ended_ns / NS_PER_S, 1e-9)
    return RunResult(
        trial=1,
        point=dict(point.values),
        server={
            "requested": _of_the_one({model.name: model.requested for model in measured.served}),
            "read_back": _of_the_one(measured.settings_before),
        },
        load={"kind": "closed", **to_json(point.load), "generator_threads": threads},
        window_s=(window.start_ns / NS_PER_S, window.end_ns / NS_PER_S),
        warmup_s=point.load.warmup_s,
        certificate=certificate,
        steps=summary.steps,
        telemetry={
            "generator_cpu_s": engine_run.generator_cpu_s,
            "generator_cpu_share": engine_run.generator_cpu_s / elapsed_s / threads,
        },
        records=f"{records.path.parent.name}/{records.path.name}",
    )


def _of_the_one(by_model: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """What is known of the one model; where there are several, all by name."""
    return next(iter(by_model.values())) if len(by_model) == 1 else by_model


def _certificate(measured: Measured, summary: Summary) -> Certificate:
    load, failure = measured.point.load, measured.failure
    accounted = check_accounted(
        expected=load.loops * load.users * len(measured.plan.steps) if load.loops else None,
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
    before, after = _of_the_one(measured.settings_before), _of_the_one(measured.settings_after)
    server = check_server(str(failure) if failure else None, before, after)
    return certify([accounted, *lag, server])


def _explained_examples(measured: Measured) -> dict[int, tuple[ErrorExample, ...]]:
    """The first failures of each step, with what an HTTP status means on this server."""
    workers = _of_the_one(measured.settings_before).get("workers")
    ready_workers = workers if isinstance(workers, int) else None

    def explain(example: ErrorExample) -> ErrorExample:
        _, _, status = example.kind.partition(":")
        if not status:
            return example
        return replace(example, message=describe_failure(int(status), example.body, ready_workers))

    return {step: tuple(map(explain, found)) for step, found in measured.engine_run.examples.items()}


def _saturation(measured: Measured) -> Verdict:
    workers, batch_size = (_of_the_one(measured.settings_before).get(name) for name in ("workers", "batch_size"))
    needed = workers * batch_size if isinstance(workers, int) and isinstance(batch_size, int) else None
    rows = measured.records.memmap()
    start_ns, stop_ns = busy_period(rows["user"], rows["scheduled"])
    start_ns = max(start_ns, measured.records.warmup_ns)
    return saturated(least_in_flight(rows["sent"], rows["end"], start_ns, stop_ns), needed)
