"""Measuring a benchmark, point by point: server up, models served, plan sent, records assessed, result written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.benchmarks import Point
from servemark.benchmarks.capacity import probed_load, sought_of
from servemark.benchmarks.refusals import (
    check_answers,
    check_records,
    check_tokenizer,
    check_users_each,
    foreseen_requests,
    spread_of,
    threads_of,
)
from servemark.benchmarks.trials import asked_points, following
from servemark.engines import Engine, Job, ProgressReport
from servemark.engines.native.engine import check_users
from servemark.errors import RecordingError, ServerError, UsageError
from servemark.interrupts import held_back
from servemark.options import RunRequest
from servemark.options.kinds import nearest
from servemark.options.objectives import LATENCIES, Condition
from servemark.report.progress import RunUnderWay
from servemark.result import AskedOptions, BenchmarkResult, By, Incident, Trials
from servemark.runner.backlog import BacklogWatch
from servemark.runner.begun import asked_of, begun
from servemark.runner.entry import Entry
from servemark.runner.launching import Launchers
from servemark.runner.listener import Listener
from servemark.runner.point_servers import PointServers
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.servers import LoadedModel, Server
from servemark.units import NS_PER_S
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.load import ClosedLoad, Load, OpenLoad
from servemark.workload.plan import Plan, headline_step
from servemark.workload.prompts import Drawn

if TYPE_CHECKING:
    from servemark.assessment import Assessed, Measured
    from servemark.condensed_files import Condensing
    from servemark.stats.capacity import Sought

_CONNECT_TIMEOUT_S = 30.0
#: How often the server's life is looked at while it is measured.
_LOOK_AT_SERVER_EVERY_S = 1.0
#: How long a server that fell behind may take until its workers are ready again.
_LONGEST_RECOVERY_S = 60.0


def measure_benchmark(
    entry: Entry, launchers: Launchers, engine: Engine, written: ResultOnDisk, listener: Listener
) -> list[Job]:
    """Measure every point of a benchmark, and write the result after each; what the engine was asked for.

    Raises:
        ServemarkError: something failed; what was measured before is in the result.
    """
    (*_, jobs) = trial_by_trial(entry, launchers, engine, written, listener)
    return jobs


def trial_by_trial(
    entry: Entry, launchers: Launchers, engine: Engine, written: ResultOnDisk, listener: Listener
) -> Generator[list[Job], None, None]:
    """Measure a benchmark as ``measure_benchmark`` does, and stop after each trial, so that others have their turn.

    Where each trial has a server of its own, none is left running meanwhile. What is given each time is what the engine
    was asked for so far; of a run that was interrupted nothing, and no more trials.
    """
    benchmark, request = entry.benchmark, entry.request
    launcher, points = launchers.of(entry), asked_points(benchmark, request)
    _check_users(entry, engine)
    measured: list[Measured] = []
    assessed: list[Assessed] = []
    jobs: list[Job] = []
    known: BenchmarkResult | None = None
    with PointServers(entry, launcher, written, listener.note) as servers:
        point = next(points, None)
        while point is not None:
            name, trial = entry.label, 1 + sum(one.point.values == point.values for one in measured)
            if measured or len(entry.points) > 1:
                name += f"-{len(measured) + 1}"
                announced = _announced(point, len(measured) + 1, entry, request.load.trials)
                listener.note(announced)
                listener.place(1, announced)
            trial_of_point, started_s = point.trial, time.monotonic()
            server, served = servers.of(point)
            before = sum(one.point.trial == point.trial for one in measured)
            of_seed = before * entry.count + entry.place  # others have the same, and may ask the same server
            served = tuple(model.drawn_by(Drawn(_seed_of(point, request), of_seed)) for model in served)
            backlog = _backlog(point, request)
            job = _job(entry, point, server, served, written.folder.new_record_path(name))
            watch = _Watch(server, _under_way(job, point.load), listener, go_on_errors=request.output.go_on_errors)
            job = replace(job, watch=watch)
            job = replace(job, enough=backlog) if backlog else job
            _tell_plan(job.plan, listener)
            _tell_condensing(job, foreseen_requests(point.load), listener)
            asked = _asked(entry, point, job, served, measured)
            written.begin(entry, begun(entry, point, trial, served, job, asked, known), server)
            with held_back():  # by the engine an interruption is heard at once, and what it measured is written
                one = _measure(entry, point, server, served, engine, job, asked, watch, written.redaction)
                if point.may_fall_behind and not one.failure:
                    _await_recovery(server, one)
                took_s = time.monotonic() - started_s
                behind = backlog is not None and backlog.falls_behind
                measured.append(replace(one, trial=trial, took_s=took_s, falls_behind=behind))
                known = _assess_last(entry, measured, assessed)
                point = None if known.partial else following(points, known)
                written.put(entry, known, server, whole=point is None)
            _check_ended(one, job, listener, go_on_errors=request.output.go_on_errors)
            if one.engine_run.interrupted:
                yield []
                return
            jobs.append(job)
            if point is not None and point.trial > trial_of_point:
                if request.load.fresh_server:
                    servers.stop()
                yield jobs
    _report(engine, jobs, listener)  # with the server gone: it takes seconds, and nobody waits for what it says
    yield jobs


def _check_users(entry: Entry, engine: Engine) -> None:
    """See that this machine can hold the users of a generator of ours, as far as they are foreseen.

    Raises:
        UsageError: it cannot.
    """
    if engine.name != "native":
        return
    foreseen = (point.load.users for point in entry.points if isinstance(point.load, ClosedLoad))
    check_users(-(-max(foreseen, default=0) // entry.request.generator.generators))


def _asked(
    entry: Entry, point: Point, job: Job, served: Sequence[LoadedModel], measured: Sequence[Measured]
) -> AskedOptions:
    """What the result says was asked of a point; which prompts are drawn from, as the first one `measured` says."""
    asked = asked_of(entry, point, job.plan)
    if measured and any(model.drawn for model in served):
        first = measured[0].asked
        asked = replace(asked, input_count=first.input_count, input_sha256=first.input_sha256)
    return asked


def _assess_last(entry: Entry, measured: Sequence[Measured], assessed: list[Assessed]) -> BenchmarkResult:
    """Assess the last of the points that were `measured`, and with it the benchmark as far as it is known."""
    # What computes is loaded when there is something to compute: the first request does not wait for it.
    from servemark.assessment import assess, assess_run
    from servemark.records import mark_warm_up

    request, last = entry.request, measured[-1]
    assessed.append(assess_run(last, request.output.max_errors_share, len(assessed)))
    for file in last.records if last.finds_warm_up else ():
        mark_warm_up(file, assessed[-1].run.warmup_s)
    return assess(entry.benchmark, measured, assessed, _trials_asked(request), _sought(request))


def _check_ended(one: Measured, job: Job, listener: Listener, *, go_on_errors: bool) -> None:
    """See that a point came to its end by itself, or was to go on whatever the server did.

    Raises:
        ServerError: the server failed.
        RecordingError: the engine could not go on.
    """
    if one.failure and not go_on_errors:
        raise one.failure
    if one.failure:
        listener.note(f"{one.failure}; went on to the end all the same (--go-on-errors)")
    if one.engine_run.stop_reason:
        own_files = f"; see {job.folder}" if job.folder.exists() else ""
        next_step = f"what it sent before is in the result{own_files}"
        raise RecordingError(one.engine_run.stop_reason, next_step=next_step)


def _report(engine: Engine, jobs: Sequence[Job], listener: Listener) -> None:
    """Have the engine's own reports made; that one failed is no failure of the measurement."""
    for job in jobs:
        try:
            engine.report(job)
        except RecordingError as error:
            listener.note(f"{error}; the measurement itself is complete")


def _trials_asked(request: RunRequest) -> Trials | None:
    """What is asked of trials, where these are several."""
    load = request.load
    return Trials(load.trials, load.fresh_server, ()) if load.trials > 1 else None


def _sought(request: RunRequest) -> tuple[Sought, By] | None:
    """What is searched, if anything."""
    return (sought_of(request), request.question.by) if request.question.by is not None else None


def _await_recovery(server: Server, measured: Measured) -> None:
    """Wait until the models are as they were before the load, all their workers ready; or for as long as that helps."""
    settings, until_s = measured.settings_after, time.monotonic() + _LONGEST_RECOVERY_S
    while settings != measured.settings_before and time.monotonic() < until_s and not server.failure():
        time.sleep(_LOOK_AT_SERVER_EVERY_S)
        settings = server.read_back()


def _backlog(point: Point, request: RunRequest) -> BacklogWatch | None:
    """What looks at whether the server falls behind, where that may end a run."""
    if not point.may_fall_behind or not isinstance(point.load, OpenLoad):
        return None
    limits_s = [one.limit / NS_PER_S for one in request.question.objective if one.figure in LATENCIES]
    return BacklogWatch(probed_load(point.load), max(limits_s, default=0.0), point.load.warmup_s)


def _announced(point: Point, number: int, entry: Entry, trials: int) -> str:
    foreseen = len(entry.points)
    described = ", ".join(f"{name} {value}" for name, value in point.values.items())
    if point.repeats:
        what = "once more, since it was INVALID"
    elif entry.request.question.by is not None:
        what = f"probe {number}"
        described += " on a server started afresh" if point.fresh_server else ""
    elif trials > 1:
        what = f"trial {point.trial} of {trials}"
    else:
        what = f"point {number} of {foreseen}" if number <= foreseen else f"point {number}"
    return f"{what}: {described}" if described else what


def _measure(
    entry: Entry,
    point: Point,
    server: Server,
    served: tuple[LoadedModel, ...],
    engine: Engine,
    job: Job,
    asked: AskedOptions,
    watch: _Watch,
    redaction: Redaction,
) -> Measured:
    """Execute one point."""
    with server.temporary_models(job.plan.registers) as remove:
        memory_before, inside_before = server.memory_bytes(), server.inside()
        try:
            engine_run = redaction.run(engine.execute(job))
        finally:
            redaction.folder(job.folder)
        failure = watch.failure or server.failure()
        if failure:
            redaction.error(failure)
        memory_after = None if failure else server.memory_bytes()
        inside_after = {} if failure else server.inside()
        settings_after = {} if failure else server.read_back()
        started_s = time.monotonic()
        failures = remove() if not failure else {}
        removal_s = time.monotonic() - started_s
    from servemark.assessment import Measured, Removal
    from servemark.records import open_records

    records = tuple(open_records(generator.records) for generator in engine_run.generators)
    return Measured(
        benchmark=entry.benchmark,
        point=point,
        plan=job.plan,
        compiled=job.compiled,
        records=records,
        engine_run=engine_run,
        dialect=server.dialect,
        served=served,
        settings_after=settings_after,
        memory_bytes=(memory_before, memory_after),
        inside=(inside_before, inside_after),
        removal=Removal(removal_s, failures) if job.plan.registers and not failure else None,
        failure=failure,
        incidents=_incidents(server, records[0].started_unix_ns),
        asked=asked,
        engine=engine.name,
        went_on=entry.request.output.go_on_errors,
        finds_warm_up=engine.name == "native" and point.load.warmup_s > 0 and entry.request.finds_warm_up,
        objective=entry.request.question.objective,
        lets_cpus_sleep=entry.request.generator.keep_awake == "off",
    )


def _incidents(server: Server, started_unix_ns: int) -> tuple[Incident, ...]:
    """What has happened to the server since the run began; nothing where no record says when that was."""
    if not started_unix_ns:
        return ()
    return tuple(
        Incident((at_unix_ns - started_unix_ns) / NS_PER_S, what)
        for at_unix_ns, what in server.incidents(started_unix_ns)
    )


def _tell_condensing(job: Job, requests: int, listener: Listener) -> None:
    """Say that records will not be kept, where that is foreseen."""
    if job.condensing and requests > job.most_records:
        limit = f"{requests:,} requests are more than --max-records {job.most_records}"
        listener.note(f"{limit}: from there on counts are kept instead of records")


def _tell_plan(plan: Plan, listener: Listener) -> None:
    """What is about to be sent, for people who want to see everything."""
    if listener.log:
        for group in plan.groups:
            for step in group.scenario.steps:
                first = step.requests[0]
                load = group.load
                who = "an open loop" if isinstance(load, OpenLoad) else f"{load.users} user{'s' * (load.users > 1)}"
                listener.log(f"plan: {who}, {step.name}: {first.method} {first.path}")


def _job(entry: Entry, point: Point, server: Server, served: tuple[LoadedModel, ...], record_path: Path) -> Job:
    request = entry.request
    content, load, generator = request.content, request.load, request.generator
    plan = point.plan(server.dialect, served).expecting(content.expect_status, content.expected_body)
    _check_steps(request, plan)
    check_tokenizer(content.tokenizer, plan)
    check_answers(request.question.objective, plan, server.dialect, counts=content.tokenizer is not None)
    spread = spread_of(point.load, generator.spread)
    check_users_each(point.load, spread.generators)
    compiled = compile_plan(
        plan,
        server.addresses,
        timeout_s=load.timeout_s,
        connect_timeout_s=min(_CONNECT_TIMEOUT_S, load.timeout_s),
        seed=_seed_of(point, request),
        threads=threads_of(point.load, generator.generator_threads, spread.generators),
        realtime=generator.realtime,
        receive_clock=generator.receive_clock,
        keep_awake=generator.keep_awake if generator.engine == "native" else "off",
        record_events=generator.record_events,
        tokenizer=content.tokenizer,
    )
    if generator.spread.has_crew and compiled.reads_answers:  # as of a server that speaks of tokens
        check_records([point.load], generator.max_records, "reading tokens")
    return Job(
        plan=plan,
        compiled=compiled,
        addresses=server.addresses,
        record_path=record_path,
        folder=record_path.parent.parent / generator.engine / record_path.stem,
        server_pid=server.pid,
        server_cpu_s=server.cpu_s,
        figure="rate" if entry.benchmark.headline == "throughput" else "p50",
        spread=spread,
        most_records=generator.max_records,
        condensing=_condensing(point.load, compiled, request.question.objective) if generator.spread.has_crew else None,
    )


def _seed_of(point: Point, request: RunRequest) -> int:
    return request.load.seed + point.trial - 1


def _condensing(load: Load, plan: EnginePlan, objective: Sequence[Condition]) -> Condensing | None:
    """How records of several generators are condensed once there are too many."""
    from servemark.assessment.condensing import condensing_of  # one generator does without

    return condensing_of(load, plan, objective)


def _check_steps(request: RunRequest, plan: Plan) -> None:
    """Refuse an objective of a step that is not there, before anything is sent."""
    names = list(dict.fromkeys(step.name for group in plan.groups for step in group.scenario.steps))
    for condition in request.question.objective:
        if condition.step is not None and condition.step not in names:
            raise UsageError(
                f"--slo {condition.text}: {request.benchmark} has no step {condition.step!r}",
                next_step=nearest(condition.step, names),
            )


def _under_way(job: Job, load: Load) -> Callable[[ProgressReport, str], RunUnderWay]:
    """What is told of the run of `job` under `load`, as a function of its counts and of how far its figures are."""
    groups = job.plan.groups
    steps = [step for group in groups for step in group.scenario.steps]
    is_counted = len(steps) == 1 and steps[0].until is None  # else an answer decides how often a step is sent
    requests = load.scenarios if is_counted else None
    step = headline_step(groups)
    return lambda counts, words: RunUnderWay(counts, load, words, job.record_paths, step, requests)


class _Watch:
    """Shows a run's progress, and ends it when the server has failed, unless it is to go on all the same."""

    def __init__(
        self,
        server: Server,
        under_way: Callable[[ProgressReport, str], RunUnderWay],
        listener: Listener,
        *,
        go_on_errors: bool,
    ) -> None:
        self.failure: ServerError | None = None
        self._server = server
        self._under_way = under_way
        self._listener = listener
        self._next_look_s = math.inf if go_on_errors else 0.0

    def __call__(self, progress: ProgressReport, words: str) -> str | None:
        self._listener.progress(self._under_way(progress, words))
        elapsed_s = progress.elapsed_ns / NS_PER_S
        if elapsed_s >= self._next_look_s and not self.failure:
            self._next_look_s = elapsed_s + _LOOK_AT_SERVER_EVERY_S
            self.failure = self._server.failure()
        return str(self.failure) if self.failure else None
