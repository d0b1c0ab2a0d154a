"""A run that is about to be measured, as the result would have it: what is left of one that is killed meanwhile."""

from __future__ import annotations

from dataclasses import replace

from servemark.benchmarks import Point
from servemark.benchmarks.asked import asked_options, load_asked
from servemark.engines import Job
from servemark.result import AskedOptions, BenchmarkResult, Certificate, RunResult, Telemetry
from servemark.runner.entry import Entry
from servemark.servers import LoadedModel, checksums, of_one
from servemark.workload.plan import Plan


def asked_of(entry: Entry, point: Point, plan: Plan) -> AskedOptions:
    """What was asked of a benchmark, as its result has it where `point`, which has that `plan`, gives the headline."""
    content, endpoint = entry.request.content, entry.request.content.endpoint
    return asked_options(
        point.load,
        url=endpoint.url if endpoint else None,
        method=plan.groups[0].scenario.steps[0].requests[0].method if endpoint else None,
        inputs=tuple(map(str, content.inputs)),
        pool=plan.pool,
        parameters=entry.request.parameters,
    )


def begun(
    entry: Entry,
    point: Point,
    trial: int,
    served: tuple[LoadedModel, ...],
    job: Job,
    asked: AskedOptions,
    known: BenchmarkResult | None,
) -> BenchmarkResult:
    """The benchmark with a trial of `point` as its last run, which has no steps yet; `known` has those before."""
    benchmark = known or _of(entry, served, asked)
    return replace(benchmark, partial=True, runs=(*benchmark.runs, _run(point, served, job, trial)))


def _of(entry: Entry, served: tuple[LoadedModel, ...], asked: AskedOptions) -> BenchmarkResult:
    return BenchmarkResult(
        name=entry.benchmark.name,
        model=", ".join(model.name for model in served) or None,
        backend=served[0].backend if served else None,
        archive=served[0].origin if served else None,
        model_sha256=checksums(served),
        options=asked,
        cold_start_ms=served[0].cold_start_ms if len(served) == 1 else None,
        partial=True,
        steps=(),
        runs=(),
        certificate=None,
        verdicts=(),
    )


def _run(point: Point, served: tuple[LoadedModel, ...], job: Job, trial: int) -> RunResult:
    asked = job.compiled
    files = tuple(f"{path.parent.name}/{path.name}" for path in job.record_paths)
    requested = {model.name: model.requested for model in served}
    read_back = {model.name: model.read_back for model in served if model.read_back}
    return RunResult(
        trial=trial,
        point=dict(point.values),
        server={"requested": of_one(requested), "read_back": of_one(read_back)},
        load=replace(
            load_asked(point.load),
            generator_threads=asked.threads,
            realtime=asked.realtime,
            keep_awake=asked.keep_awake,
            receive_clock=asked.receive_clock,
        ),
        window_s=(0.0, 0.0),
        warmup_s=point.load.warmup_s,
        certificate=Certificate(valid=False, checks=()),
        steps=(),
        telemetry=Telemetry(),
        records=files[0],
        more_records=files[1:],
        repeat_of=trial - 1 if point.repeats else None,
    )
