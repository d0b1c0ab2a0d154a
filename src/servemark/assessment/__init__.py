"""Assessment: from what an engine recorded to what is reported: window, summary, certificate, verdicts.

Nothing here executes or asks a server; everything it needs is in ``Measured``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from servemark.assessment.analysis import analyse
from servemark.assessment.capacity import capacities_of, certificate_of_search, probes_by_load, recommended
from servemark.assessment.certification import certificate_of, check_highest_rate, checks_of_verdicts, conditions_of
from servemark.assessment.condensing import condensed_records
from servemark.assessment.gathering import evidence_of, places_of
from servemark.assessment.gathering import measured_window as measured_window
from servemark.assessment.generators import generator_result, generators_of
from servemark.assessment.inside import answered_of, inside_of
from servemark.assessment.measured import Measured as Measured
from servemark.assessment.measured import Removal as Removal
from servemark.assessment.objectives import Trial, goodput, lacking, verdicts_on
from servemark.assessment.open_loop import load_facts, stages
from servemark.assessment.prompts import prompts_sent
from servemark.assessment.trials import certificate_of_trials, over_trials, verdict_of_trials
from servemark.benchmarks import Benchmark
from servemark.certificate import certify, combine, placed
from servemark.errors import EXIT_USAGE
from servemark.options.objectives import Condition
from servemark.result import (
    KERNEL_CLOCK,
    OWN_CLOCK,
    UNSTAMPED_CLOCK,
    BenchmarkResult,
    By,
    Certificate,
    ErrorExample,
    Failure,
    RunResult,
    Stage,
    StepSummary,
    Telemetry,
    Trials,
    Verdict,
    answering,
    trials_by_point,
)
from servemark.servers import checksums, of_one
from servemark.stats.capacity import Sought
from servemark.stats.evidence import Evidence
from servemark.stats.summary import summarise
from servemark.units import BYTES_PER_MIB, NS_PER_MS, NS_PER_S
from servemark.verdict import capacity_found, errors_within, saturated
from servemark.workload.load import ClosedLoad


@dataclass(frozen=True)
class Assessed:
    """A run's result, the verdicts on it alone, what it adds to those on all trials, and the stages of its profile.

    `failure` says that something was asked which the run cannot tell.
    """

    run: RunResult
    verdicts: tuple[Verdict, ...]
    trial: Trial
    stages: tuple[Stage, ...] = ()
    failure: Failure | None = None


def assess_run(measured: Measured, max_errors_share: float, number: int = 0) -> Assessed:
    """The result of one run; `number` is its place among those of its benchmark, from 0."""
    evidence = evidence_of(measured)
    steps = summarise(
        evidence,
        examples=_explained_examples(measured),
        event_gaps=measured.engine_run.event_gaps,
        content_gaps=measured.engine_run.content_gaps,
    )
    if measured.objective:
        steps = tuple(
            replace(step, goodput_per_s=goodput(found, evidence.window))
            for step, found in zip(steps, evidence.steps, strict=True)
        )
    each = generators_of(measured, evidence)
    run = _run_result(measured, evidence, steps, certificate_of(measured, evidence, steps, each))
    verdicts = [errors_within(step, max_errors_share) for step in steps]
    if measured.benchmark.asks_saturation and isinstance(measured.point.load, ClosedLoad):
        least = evidence.in_flight.least if evidence.in_flight else None
        held_back = any(found.name == "generator-limited" for found in run.certificate.disturbances)
        verdicts.append(saturated(least, places_of(measured), held_back=held_back))
    if each:
        run = replace(run, generators=tuple(map(generator_result, each)))
    trial = Trial(evidence, measured.engine_run.event_gaps, measured.engine_run.content_gaps)
    lack = lacking(measured.objective, trial)
    failure = Failure(f"--slo {lack}", EXIT_USAGE) if lack else None
    return Assessed(run, tuple(verdicts), trial, tuple(stages(evidence, number)), failure)


def assess(
    benchmark: Benchmark,
    measured: Sequence[Measured],
    assessed: Sequence[Assessed],
    asked: Trials | None = None,
    sought: tuple[Sought, By] | None = None,
) -> BenchmarkResult:
    """The result of a benchmark whose runs were `measured` and `assessed`, in the same order; at least one.

    `asked` are the trials that were asked for, where these are several, and `sought` what was searched, where they are
    the probes of a search.
    """
    if sought is not None:
        return _assess_search(measured, assessed, *sought)
    runs = _with_highest_rate_judged(benchmark, measured, assessed)
    cut_off = [place for place, item in enumerate(measured) if item.engine_run.interrupted]
    trials = over_trials(runs, asked, benchmark.headline, cut_off) if asked else None
    counted = answering(runs, trials)
    headline = [run for run in counted.values() if not run.point]
    told = [item for place, item in enumerate(assessed) if trials is None or place in counted]
    return replace(
        _measured_result(measured, assessed),
        steps=headline[0].steps if headline else (),
        runs=runs,
        certificate=_certificate_over_trials(measured, assessed, runs, trials)
        if trials
        else combine(tuple(counted.values())),
        verdicts=_verdicts(measured[0].objective, assessed, counted, trials),
        analysis=analyse(benchmark.analysis, measured, counted, [stage for item in told for stage in item.stages]),
        trials=trials,
    )


def _certificate_over_trials(
    measured: Sequence[Measured], assessed: Sequence[Assessed], runs: Sequence[RunResult], trials: Trials
) -> Certificate:
    """The certificate of the trials; INVALID, too, where all together miss a condition by the generator's lag alone."""
    pooled = [(point.shown, point.counted) for point in trials.points]
    return _with_pooled_judged(certificate_of_trials(runs, trials), measured, assessed, pooled)


def _with_pooled_judged(
    found: Certificate,
    measured: Sequence[Measured],
    assessed: Sequence[Assessed],
    pooled: Iterable[tuple[int, Sequence[int]]],
) -> Certificate:
    """`found`, INVALID too where runs whose requests count together miss a condition by the generator's lag alone.

    `pooled` has the places of such runs, with that of the one that stands for them.
    """
    checks = [
        replace(check, name=placed(check.name, assessed[shown].run.place))
        for shown, places in pooled
        if len(places) > 1
        for check in checks_of_verdicts(measured[shown], [assessed[place].trial for place in places])
    ]
    known = {check.name for check in found.checks}
    return certify([*found.checks, *(check for check in checks if check.name not in known)], found.disturbances)


def _measured_result(measured: Sequence[Measured], assessed: Sequence[Assessed]) -> BenchmarkResult:
    """What of a benchmark's result is known of its runs whatever they answer."""
    first = measured[0]
    shown = next((item for item in measured if not item.point.values), first)
    return BenchmarkResult(
        name=first.benchmark.name,
        model=", ".join(model.name for model in first.served) or None,
        backend=first.served[0].backend if first.served else None,
        archive=first.served[0].origin if first.served else None,
        model_sha256=checksums(first.served),
        options=shown.asked,
        cold_start_ms=first.served[0].cold_start_ms if len(first.served) == 1 else None,
        partial=any(item.engine_run.interrupted for item in measured),
        steps=(),
        runs=tuple(item.run for item in assessed),
        certificate=None,
        verdicts=(),
        failure=next(filter(None, (item.failure for item in assessed)), None),
    )


def _assess_search(
    measured: Sequence[Measured], assessed: Sequence[Assessed], sought: Sought, by: By
) -> BenchmarkResult:
    """The result of a benchmark whose runs are the probes of a search."""
    found = capacities_of(sought, by, measured, assessed)
    capacity = recommended(found)
    result = _measured_result(measured, assessed)
    objective = ",".join(condition.text for condition in measured[0].objective)
    certificate = certificate_of_search(found, result.runs)
    pooled = ((places[-1], places) for places in probes_by_load(found))
    return replace(
        result,
        certificate=certificate and _with_pooled_judged(certificate, measured, assessed, pooled),
        verdicts=(capacity_found(objective, capacity),),
        capacity=capacity,
        capacity_over=found if capacity.configuration else None,
    )


def _verdicts(
    objective: Sequence[Condition],
    assessed: Sequence[Assessed],
    counted: Mapping[int, RunResult],
    trials: Trials | None,
) -> tuple[Verdict, ...]:
    """The verdicts on what answers for each point, whose answer says which.

    Over trials, on the worst of them; of an objective, on all of them together.
    """
    judged: dict[int, tuple[int, ...]] = {place: (place,) for place in counted}
    if trials is not None:
        judged = {point.shown: point.counted or (point.shown,) for point in trials.points}
    verdicts = []
    for shown, places in judged.items():
        where = f" ({assessed[shown].run.place})" if assessed[shown].run.place else ""
        for asked in assessed[shown].verdicts:
            answers = [(place, one) for place in places for one in assessed[place].verdicts]
            verdict = verdict_of_trials([pair for pair in answers if pair[1].question == asked.question], shown)
            verdicts.append(replace(verdict, answer=verdict.answer + where))
        together = verdicts_on(objective, [assessed[place].trial for place in places])
        verdicts += [replace(verdict, answer=verdict.answer + where) for verdict in together]
    return tuple(verdicts)


def _with_highest_rate_judged(
    benchmark: Benchmark, measured: Sequence[Measured], assessed: Sequence[Assessed]
) -> tuple[RunResult, ...]:
    """The runs, of which the one at the highest rate answers for all, where that is what a benchmark of points asks.

    Of each pass over the points one does.
    """
    runs = [item.run for item in assessed]
    executions = trials_by_point(runs).values()
    for number in range(max(map(len, executions))):
        counted = [trials[number][-1] for trials in executions if number < len(trials)]
        if not benchmark.asks_highest_rate or len(counted) < 2:
            continue
        best = max(counted, key=lambda place: runs[place].steps[0].throughput_per_s.value or 0.0)
        judged = check_highest_rate(measured[best], assessed[best].trial.evidence, runs[best].steps, asked=True)
        before = runs[best].certificate
        checks = [judged if check.name == judged.name else check for check in before.checks]
        runs[best] = replace(runs[best], certificate=certify(checks, before.disturbances))
    return tuple(runs)


def _run_result(
    measured: Measured, evidence: Evidence, steps: tuple[StepSummary, ...], certificate: Certificate
) -> RunResult:
    point, engine_run, window = measured.point, measured.engine_run, evidence.window
    drawn = next((model.drawn for model in measured.served if model.drawn), None)
    seen, counts = conditions_of(measured), engine_run.counts
    files = tuple(f"{file.path.parent.name}/{file.path.name}" for file in measured.records)
    return RunResult(
        trial=measured.trial,
        point=dict(point.values),
        server={
            "requested": of_one({model.name: model.requested for model in measured.served}),
            "read_back": of_one(measured.settings_before),
        },
        load=replace(
            load_facts(measured, evidence),
            generator_threads=measured.compiled.threads,
            realtime=engine_run.realtime or "off",
            keep_awake=engine_run.keep_awake or "off",
            receive_clock=_receive_clock(measured, evidence),
        ),
        window_s=(window.start_ns / NS_PER_S, window.end_ns / NS_PER_S),
        warmup_s=window.start_ns / NS_PER_S if point.load.warmup_s else 0.0,
        certificate=certificate,
        steps=steps,
        telemetry=Telemetry(
            generator_cpu_s=engine_run.generator_cpu_s,
            generator_cpu_share=seen.generator_share,
            run_queue_delay_ms=counts.run_queue_delay_ns / counts.run_queue_waits / NS_PER_MS
            if counts and counts.run_queue_waits
            else None,
            loopback_p50_ms=counts.loopback_p50_ns / NS_PER_MS if counts and counts.loopback_p50_ns else None,
            machine_busy_share=seen.machine_share,
            server_cpu_s=measured.machine.server_cpu_s,
            server_memory_before_mib=_mib(measured.memory_bytes[0]),
            server_memory_after_mib=_mib(measured.memory_bytes[1]),
        ),
        records=files[0],
        more_records=files[1:],
        repeat_of=measured.trial - 1 if point.repeats else None,
        incidents=measured.incidents,
        inside=tuple(inside_of(*measured.inside, answered_of(measured, steps))) or None,
        condensed=condensed_records(evidence),
        prompts=prompts_sent(measured.compiled, measured.records, drawn),
    )


def _receive_clock(measured: Measured, evidence: Evidence) -> str:
    """Whose time of arrival answers have: generators tell what they asked of the kernel, and records what it gave.

    Where no generator told it, JMeter has its own, and others were lost.
    """
    told = measured.engine_run.receive_clock
    if not told:
        return OWN_CLOCK if measured.engine == "jmeter" else evidence.receive_clock
    is_unstamped = told == KERNEL_CLOCK and evidence.receive_clock != KERNEL_CLOCK
    return UNSTAMPED_CLOCK if is_unstamped else told


def _mib(memory_bytes: int | None) -> float | None:
    return None if memory_bytes is None else round(memory_bytes / BYTES_PER_MIB, 1)


def _explained_examples(measured: Measured) -> dict[int, tuple[ErrorExample, ...]]:
    """The first failures of each step, with what an HTTP status means on this server."""
    workers = of_one(measured.settings_before).get("workers")
    ready_workers = workers if isinstance(workers, int) else None

    def explain(example: ErrorExample) -> ErrorExample:
        _, _, status = example.kind.partition(":")
        if not status:
            return example
        said = measured.dialect.explain(int(status), example.body, reason=example.message, ready_workers=ready_workers)
        return replace(example, message=said)

    return {step: tuple(map(explain, found)) for step, found in measured.engine_run.examples.items()}
