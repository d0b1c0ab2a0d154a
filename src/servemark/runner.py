"""The runner: executes a benchmark, from its points to the written result. It alone executes.

``run`` reads as the data line of the design: benchmark -> point -> launcher -> plan -> engine -> records -> summary and
certificate -> verdict -> result -> reports.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from servemark import benchmarks
from servemark.assessment import Assessed, Measured, Removal, assess, assess_run
from servemark.benchmarks import Ask, Benchmark, Point
from servemark.engines import Engine, EngineName, Job, ProgressReport
from servemark.engines.native import NativeEngine
from servemark.errors import RecordingError, ServemarkError, ServerError, UsageError
from servemark.expectation import expected, format_range_s
from servemark.interrupts import held_back
from servemark.records import open_records
from servemark.report.directory import ResultDirectory
from servemark.result import INTERRUPTED, BenchmarkResult, Failure, Result, Skipped
from servemark.servers import Launcher, ServedModel, Server
from servemark.servers.choice import check_choice, own_launcher
from servemark.servers.running import RunningLauncher
from servemark.servers.servable import Serving
from servemark.servers.target import Trust
from servemark.units import BYTES_PER_MIB, NS_PER_S
from servemark.version import version
from servemark.workload.inputs import Input, read_input
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import compile_plan
from servemark.zoo.catalogue import DEFAULT_MODEL, ZOO, Backend, ZooModel, find

_CONNECT_TIMEOUT_S = 30.0
#: How often the server's life is looked at while it is measured.
_LOOK_AT_SERVER_EVERY_S = 1.0


@dataclass(frozen=True)
class RunRequest:
    """What one invocation asks for; the command line and ``run`` both end here.

    Attributes:
        benchmark: its name.
        model: a name in the zoo, or on the server that `server` names.
        server: ``[SCHEME://]HOST[:PORT]`` of a running server; None starts one.
        docker: start it in a container of our image; or of `image`.
        source: the checkout of MMS that is built and started; `build_command` replaces its own Gradle script.
        inputs: files to send; empty for the model's own input.
        workers: of each model; None is one a GPU with `gpus`, else one a CPU.
        gpus: how many NVIDIA GPUs to compute on; 0 is the CPU.
        threads: users; None for the benchmark's own number.
        loops: requests a user, exactly; or `duration_s`; or neither: until 400 successes, 10 to 60 s.
        warmup_s: None is 2 s, or nothing with `loops`.
        parameters: the benchmark's own, by key; those that are not given have their defaults.
        max_errors_share: share of failures from which on the verdict fails.
        output: result directory; None makes a new one.
        command: the words of the command line, for the result.
    """

    benchmark: str
    model: str = DEFAULT_MODEL
    server: str | None = None
    docker: bool = False
    image: str | None = None
    source: Path | None = None
    build_command: str | None = None
    inputs: tuple[Path, ...] = ()
    workers: int | None = None
    gpus: int = 0
    threads: int | None = None
    loops: int | None = None
    duration_s: float | None = None
    warmup_s: float | None = None
    ramp_s: float = 0.0
    think_s: float = 0.0
    timeout_s: float = 120.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    engine: EngineName = "native"
    generator_threads: int = 1
    management_port: int | None = None
    backend: Backend | None = None
    ca_file: Path | None = None
    insecure: bool = False
    max_errors_share: float = 0.01
    output: Path | None = None
    force: bool = False
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """Who is told what happens.

    `note` takes a line for people, `log` a line of detail (commands, management calls, the server's log), `progress`
    the counts of the run under way, with the load that it is of.
    """

    note: Callable[[str], None] = lambda _line: None
    log: Callable[[str], None] | None = None
    progress: Callable[[ProgressReport, ClosedLoad], None] = lambda _report, _load: None


@dataclass(frozen=True)
class Performed:
    """A result and where it was written."""

    result: Result
    folder: Path


def run(benchmark: str, **options: Any) -> Result:
    """Run a benchmark and return its result; `options` are the fields of ``RunRequest``.

    The result directory is written as by the command line.

    Raises:
        ServemarkError: it could not be run, or the server failed; see ``servemark.errors``.
    """
    return perform((RunRequest(benchmark=benchmark, **options),), Listener()).result


def perform(requests: Sequence[RunRequest], listener: Listener, suite: str | None = None) -> Performed:
    """Execute `requests`, one after the other, and write their result; whatever happens, what was measured is saved.

    Where the result goes, its command, seed and engine are those of the first. Of a `suite` one that fails does not
    stop the others: what failed is in the result. A partial result is returned when Ctrl-C ended the measurement.

    Raises:
        ServemarkError: something failed, and it was no suite; the partial result has been written.
        KeyboardInterrupt: interrupted before anything was measured.
    """
    first = requests[0]
    entries = [_Entry.of(request) for request in requests]
    name = suite or entries[0].title
    started = datetime.now(timezone.utc)
    folder = ResultDirectory.create(first.output, name, started, force=first.force)
    written = _Written(folder, _empty_result(first, name, started))
    folder.write(written.result)  # so that a run which is killed leaves no older result, and one that says partial
    try:
        with _failing(written, None, listener):
            engine = _engine(first.engine, listener)
            written.versions(engine)
        if suite:
            entries = _fitting(entries, suite, written, listener)
        for number, entry in enumerate(entries, 1):
            if suite:
                listener.note(f"benchmark {number} of {len(entries)}: {entry.title}")
                entry = replace(entry, label=f"{number}-{entry.title}", last=number == len(entries), in_suite=True)
            with _failing(written, entry, listener, goes_on=suite is not None):
                _perform_one(entry, engine, written, listener)
            if written.interrupted:
                break
    except KeyboardInterrupt:
        if not written.result.benchmarks:
            raise
    if written.interrupted:
        listener.note("interrupted")
    return Performed(written.result, folder.path)


@dataclass(frozen=True)
class _Entry:
    """One of the requests of an invocation: `label` names its files, `last` says that none comes after it."""

    request: RunRequest
    benchmark: Benchmark
    ask: Ask
    label: str
    last: bool = True
    in_suite: bool = False

    @property
    def title(self) -> str:
        return f"{self.benchmark.name}-{_file_name(self.ask.model)}" if self.benchmark.needs_model else self.label

    @classmethod
    def of(cls, request: RunRequest) -> _Entry:
        benchmark = _benchmark(request.benchmark)
        return cls(request, benchmark, _ask(request, benchmark), benchmark.name)


def _fitting(entries: list[_Entry], suite: str, written: _Written, listener: Listener) -> list[_Entry]:
    """The entries for which this machine has the memory, or all of them by force; all are said, with what they take."""
    fitting, lines = [], []
    least_s = most_s = 0.0
    for entry in entries:
        launcher = _launcher(entry.request, entry.benchmark.models(entry.ask), (), listener)
        try:
            expectation = expected(launcher, entry.benchmark.points(entry.ask))
        except ServerError as error:  # which will end that benchmark, and no other
            lines.append(f"  {entry.title}: {error}")
            fitting.append(entry)
            continue
        if expectation.refusal and not entry.request.force:
            lines.append(f"  {entry.title}: skipped: {expectation.refusal} (--force tries it)")
            written.skip(entry, str(expectation.refusal))
            continue
        lines.append(f"  {entry.title}: {expectation.line}")
        fitting.append(entry)
        least_s, most_s = least_s + expectation.least_s, most_s + expectation.most_s
    number = f"{len(fitting)} of {len(entries)} benchmarks, {format_range_s(least_s, most_s)}"
    for line in (f"suite {suite}: {number}", *lines):
        listener.note(line)
    return fitting


@contextmanager
def _failing(written: _Written, entry: _Entry | None, listener: Listener, *, goes_on: bool = False) -> Iterator[None]:
    """What fails inside is written into the result; it ends there if the others go on."""
    try:
        yield
    except (ServemarkError, KeyboardInterrupt) as error:
        with held_back():
            written.fail(entry, error)
        if isinstance(error, KeyboardInterrupt) or not goes_on:
            if not isinstance(error, KeyboardInterrupt) or not written.result.benchmarks:
                listener.note(f"what there is of a result is in {written.folder.path}")
            raise
        listener.note(f"servemark: error: {error}" + (f"\n{error.detail}" if error.detail else ""))


class _Written:
    """The result as far as it is known, always the same on disk."""

    def __init__(self, folder: ResultDirectory, result: Result) -> None:
        self.folder = folder
        self.result = result
        self._benchmarks: dict[str, BenchmarkResult] = {}

    @property
    def interrupted(self) -> bool:
        return self.result.error == INTERRUPTED

    def versions(self, engine: Engine) -> None:
        """The result with what sends the requests."""
        self.result = replace(self.result, tool={**self.result.tool, "engine_versions": dict(engine.versions)})

    def skip(self, entry: _Entry, reason: str) -> None:
        """The result with a benchmark that is not run."""
        self.result = replace(self.result, skipped=(*self.result.skipped, Skipped(entry.title, reason)))

    def put(self, entry: _Entry, benchmark: BenchmarkResult, server: Server, *, complete: bool) -> None:
        """The result with this benchmark, in the place of what it was before; `complete` when all is in it."""
        facts = {"product": server.product, "version": server.version, "launcher": server.launcher, **server.facts}
        self._benchmarks[entry.label] = replace(benchmark, server=facts) if entry.in_suite else benchmark
        self.result = replace(
            self.result,
            partial=not complete or any(known.partial for known in self._benchmarks.values()),
            error=INTERRUPTED if benchmark.partial else None,
            server=facts,
            benchmarks=tuple(self._benchmarks.values()),
        )
        self.folder.write(self.result)

    def fail(self, entry: _Entry | None, error: BaseException) -> None:
        """The result marked partial, because of `error`; if it cannot be written, that is said in the error."""
        line = str(error) or INTERRUPTED
        if entry is not None and isinstance(error, ServemarkError):
            known = self._benchmarks.get(entry.label) or _nothing_of(entry)
            failure = Failure(line, error.exit_status)
            self._benchmarks[entry.label] = replace(known, partial=True, failure=failure)
        self.result = replace(self.result, partial=True, error=line, benchmarks=tuple(self._benchmarks.values()))
        try:
            self.folder.write(self.result)
        except ServemarkError as second:
            if isinstance(error, ServemarkError):
                error.detail = f"{error.detail}\n{second}".strip()


def _perform_one(entry: _Entry, engine: Engine, written: _Written, listener: Listener) -> None:
    """Measure every point of a benchmark, and write the result after each."""
    benchmark, request = entry.benchmark, entry.request
    inputs = tuple(read_input(path) for path in request.inputs)
    launcher = _launcher(request, benchmark.models(entry.ask), inputs, listener)
    points = benchmark.points(entry.ask)
    if request.force:
        points = tuple(replace(point, server=replace(point.server, most_workers=None)) for point in points)
    measured: list[Measured] = []
    assessed: list[Assessed] = []
    jobs: list[Job] = []
    logs = written.folder.server_logs / entry.label if entry.in_suite else written.folder.server_logs
    with closing(_served_points(launcher, points, logs)) as served_points:
        for number, (server, served, point) in enumerate(served_points, 1):
            name = entry.label
            if len(points) > 1:
                name += f"-{number}"
                listener.note(f"point {number} of {len(points)}{_described(point)}")
            watch = _Watch(server, point.load, listener)
            job = _job(point, server, served, request, written.folder.new_record_path(name), watch)
            one = _measure(entry, point, server, served, engine, job, watch)
            with held_back():
                measured.append(one)
                assessed.append(assess_run(one, request.max_errors_share))
                complete = entry.last and number == len(points)
                written.put(entry, assess(benchmark, measured, assessed), server, complete=complete)
            if one.failure:
                raise one.failure
            if one.engine_run.interrupted:
                return
            jobs.append(job)
    reports = [
        *(partial(engine.report, job) for job in jobs),
        partial(engine.merge, jobs, written.folder.path / engine.name),
    ]
    for report in reports:  # with the server gone: they take seconds, and nobody waits for what they say
        try:
            report()
        except RecordingError as error:
            listener.note(f"{error}; the measurement itself is complete")


def _measure(
    entry: _Entry,
    point: Point,
    server: Server,
    served: tuple[ServedModel, ...],
    engine: Engine,
    job: Job,
    watch: _Watch,
) -> Measured:
    """Execute one point."""
    with server.temporary_models(job.plan.registers) as remove:
        memory_before = server.memory_bytes()
        engine_run = engine.execute(job)
        with held_back():
            failure = watch.failure or server.failure()
            memory_after = None if failure else server.memory_bytes()
            settings_after = {} if failure else server.read_back()
            started_s = time.monotonic()
            failures = remove() if not failure else {}
            removal = Removal(time.monotonic() - started_s, failures) if job.plan.registers and not failure else None
    return Measured(
        benchmark=entry.benchmark,
        point=point,
        plan=job.plan,
        compiled=job.compiled,
        records=open_records(job.record_path),
        engine_run=engine_run,
        served=served,
        settings_after=settings_after,
        memory_bytes=(memory_before, memory_after),
        removal=removal,
        failure=failure,
        inputs=tuple(map(str, entry.request.inputs)),
        engine=engine.name,
    )


def _served_points(
    launcher: Launcher, points: tuple[Point, ...], logs: Path
) -> Generator[tuple[Server, tuple[ServedModel, ...], Point], None, None]:
    """Each point with a server, and its models, that are as it asks.

    Neighbours that ask the same of the server share one, and those that ask the same of its models find them loaded.
    """
    for settings, of_server in itertools.groupby(points, key=lambda point: point.server):
        with launcher.serve(settings) as server, ExitStack() as stack:
            stack.callback(server.save_logs, logs)
            for model, of_model in itertools.groupby(of_server, key=lambda point: point.model):
                with server.serve_models(model) as served:
                    for point in of_model:
                        yield server, served, point


def _job(
    point: Point,
    server: Server,
    served: tuple[ServedModel, ...],
    request: RunRequest,
    record_path: Path,
    watch: _Watch,
) -> Job:
    plan = point.plan(served)
    return Job(
        plan=plan,
        compiled=compile_plan(
            plan,
            server.addresses,
            timeout_s=request.timeout_s,
            connect_timeout_s=min(_CONNECT_TIMEOUT_S, request.timeout_s),
            seed=request.seed,
            threads=request.generator_threads,
        ),
        addresses=server.addresses,
        record_path=record_path,
        folder=record_path.parent.parent / request.engine / record_path.stem,
        server_pid=server.pid,
        watch=watch,
    )


def _engine(name: EngineName, listener: Listener) -> Engine:
    if name == "native":
        return NativeEngine()
    # JMeter is a large thing to load for those who do not ask for it.
    from servemark.engines.jmeter.engine import JMeterEngine
    from servemark.environments.jmeter import jmeter_home

    return JMeterEngine(jmeter_home(listener.note))


def _described(point: Point) -> str:
    return ": " + ", ".join(f"{name} {value}" for name, value in point.values.items()) if point.values else ""


class _Watch:
    """Shows a run's progress, and ends it when the server has failed."""

    def __init__(self, server: Server, load: ClosedLoad, listener: Listener) -> None:
        self.failure: ServerError | None = None
        self._server = server
        self._load = load
        self._listener = listener
        self._next_look_s = 0.0

    def __call__(self, progress: ProgressReport) -> str | None:
        self._listener.progress(progress, self._load)
        elapsed_s = progress.elapsed_ns / NS_PER_S
        if elapsed_s >= self._next_look_s and not self.failure:
            self._next_look_s = elapsed_s + _LOOK_AT_SERVER_EVERY_S
            self.failure = self._server.failure()
        return str(self.failure) if self.failure else None


def _ask(request: RunRequest, benchmark: Benchmark) -> Ask:
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    unknown = sorted(set(request.parameters) - set(defaults))
    if unknown:
        raise UsageError(f"{benchmark.name} has no parameter {unknown[0]!r}")
    return Ask(
        model=request.model,
        threads=request.threads,
        loops=request.loops,
        duration_s=request.duration_s,
        warmup_s=request.warmup_s,
        ramp_s=request.ramp_s,
        think_s=request.think_s,
        workers=request.workers or request.gpus or None,
        gpus=request.gpus,
        timeout_s=request.timeout_s,
        parameters=defaults | dict(request.parameters),
    )


def _benchmark(name: str) -> Benchmark:
    known = benchmarks.catalogue()
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=f"choose from {', '.join(known)}")
    return known[name]


def _launcher(request: RunRequest, models: tuple[str, ...], inputs: tuple[Input, ...], listener: Listener) -> Launcher:
    check_choice(
        running=request.server,
        gpus=request.gpus,
        backend=request.backend,
        docker=request.docker,
        image=request.image,
        source=request.source,
        build_command=request.build_command,
    )
    chosen = inputs or None
    if request.server is not None:
        return RunningLauncher(
            request.server,
            models,
            inputs=chosen,
            backend=request.backend,
            management_port=request.management_port,
            trust=Trust(ca_file=request.ca_file, insecure=request.insecure),
            progress=listener.note,
            log=listener.log,
        )
    return own_launcher(
        Serving(
            models=tuple(map(_zoo_model, models)),
            inputs=chosen,
            backend=request.backend,
            progress=listener.note,
            log=listener.log,
        ),
        docker=request.docker,
        image=request.image,
        source=request.source,
        build_command=request.build_command,
    )


def _zoo_model(name: str) -> ZooModel:
    model = find(name)
    if model is None:
        raise UsageError(f"unknown model {name!r}", next_step=f"choose from {', '.join(m.name for m in ZOO)}")
    return model


def _nothing_of(entry: _Entry) -> BenchmarkResult:
    """The result of a benchmark of which nothing was measured."""
    return BenchmarkResult(
        name=entry.benchmark.name,
        model=entry.ask.model if entry.benchmark.needs_model else None,
        backend=None,
        options={},
        cold_start_ms=None,
        partial=True,
        steps=(),
        runs=(),
        certificate=None,
        verdicts=(),
    )


def _empty_result(request: RunRequest, name: str, started: datetime) -> Result:
    return Result(
        id=f"{started:%Y%m%dT%H%M%S.%fZ}-{name}",
        started_at=started.isoformat(),
        command=request.command,
        seed=request.seed,
        partial=True,
        tool={"name": "servemark", "version": version(), "engine": request.engine, "engine_versions": {}},
        environment={
            "os": platform.platform(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_mib": psutil.virtual_memory().total // BYTES_PER_MIB,
            "python": platform.python_version(),
        },
        server=None,
        benchmarks=(),
    )


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", model)
