"""The runner: executes a benchmark, from its points to the written result. It alone executes.

``run`` reads as the data line of the design: benchmark -> point -> launcher -> plan -> engine -> records -> summary and
certificate -> verdict -> result -> reports.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from servemark import benchmarks
from servemark.assessment import Assessed, Measured, assess, assess_run
from servemark.benchmarks import Ask, Benchmark, Point
from servemark.engines import Engine, EngineName, Job, ProgressReport
from servemark.engines.native import NativeEngine
from servemark.errors import RecordingError, ServemarkError, ServerError, UsageError
from servemark.interrupts import held_back
from servemark.records import open_records
from servemark.report.directory import ResultDirectory
from servemark.result import BenchmarkResult, Result
from servemark.servers import Launcher, ServedModel, Server
from servemark.servers.choice import check_choice, check_server_python, own_launcher
from servemark.servers.inference import ping_request
from servemark.servers.running import RunningLauncher
from servemark.servers.servable import ServerPython, Serving
from servemark.servers.target import Trust
from servemark.units import BYTES_PER_MIB, NS_PER_S
from servemark.version import version
from servemark.workload.inputs import Input, Sending, read_input
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import compile_plan
from servemark.zoo.catalogue import DEFAULT_MODEL, ZOO, Backend, find
from servemark.zoo.custom_model import CustomModel, custom_model
from servemark.zoo.model_source import ModelSource, model_source

_CONNECT_TIMEOUT_S = 30.0
#: How often the server's life is looked at while it is measured.
_LOOK_AT_SERVER_EVERY_S = 1.0


@dataclass(frozen=True)
class RunRequest:
    """What one invocation asks for; the command line and ``run`` both end here.

    Attributes:
        benchmark: its name.
        model: a name in the zoo, or on the server that `server` names.
        custom_model: path or http(s) URL of an archive to serve instead of `model`.
        server: ``[SCHEME://]HOST[:PORT]`` of a running server; None starts one.
        docker: start it in a container of our image; or of `image`.
        source: the checkout of MMS that is built and started; `build_command` replaces its own Gradle script.
        inputs: files to send; empty for the model's own input.
        content_type: of every input; None is what its file's suffix, or the model, says.
        multipart: send each input as the field of that name of a form; None sends it as the body.
        server_requirements: a file of pip's: what the handler of `custom_model` imports.
        server_python: an interpreter that has what the handler of `custom_model` imports, and the server.
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
    custom_model: str | None = None
    server: str | None = None
    docker: bool = False
    image: str | None = None
    source: Path | None = None
    build_command: str | None = None
    inputs: tuple[Path, ...] = ()
    content_type: str | None = None
    multipart: str | None = None
    server_requirements: Path | None = None
    server_python: Path | None = None
    workers: int | None = None
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
    return perform(RunRequest(benchmark=benchmark, **options), Listener()).result


def perform(request: RunRequest, listener: Listener) -> Performed:
    """Execute `request` and write its result directory; whatever happens, what was measured is saved.

    A partial result is returned when Ctrl-C ended the measurement.

    Raises:
        ServemarkError: something failed; the partial result has been written.
        KeyboardInterrupt: interrupted before anything was measured.
    """
    benchmark = _benchmark(request.benchmark)
    source = model_source(request.custom_model) if request.custom_model is not None else None
    sending = Sending(request.content_type, request.multipart)
    inputs = tuple(sending.apply(read_input(path)) for path in request.inputs)
    model_name = source.stem if source else request.model
    name = f"{benchmark.name}-{_file_name(model_name)}" if benchmark.needs_model else benchmark.name
    started = datetime.now(timezone.utc)
    folder = ResultDirectory.create(request.output, name, started, force=request.force)
    written = _Written(folder, _empty_result(_without_secrets(request, source), name, started))
    folder.write(written.result)  # so that a run which is killed leaves no older result, and one that says partial
    try:
        engine = _engine(request.engine, listener)
        custom = custom_model(source, listener.note) if source else None
        launcher = _launcher(request, benchmark, inputs, listener, custom)
        written.result = replace(written.result, tool={**written.result.tool, "engine_versions": dict(engine.versions)})
        _measure(launcher, engine, benchmark, request, written, listener)
    except (ServemarkError, KeyboardInterrupt) as error:
        with held_back():
            written.fail(error)
        if isinstance(error, ServemarkError) or not written.result.benchmarks:
            listener.note(f"what there is of a result is in {folder.path}")
            raise
        listener.note("interrupted")
    return Performed(written.result, folder.path)


class _Written:
    """The result as far as it is known, always the same on disk."""

    def __init__(self, folder: ResultDirectory, result: Result) -> None:
        self.folder = folder
        self.result = result

    def put(self, benchmark: BenchmarkResult, server: Server) -> None:
        """The result with this benchmark, in the place of what it was before."""
        facts = {"product": server.product, "version": server.version, "launcher": server.launcher, **server.facts}
        self.result = replace(
            self.result,
            partial=benchmark.partial,
            server=facts,
            benchmarks=(*(known for known in self.result.benchmarks if known.name != benchmark.name), benchmark),
        )
        self.folder.write(self.result)

    def fail(self, error: BaseException) -> None:
        """The result marked partial, because of `error`; if it cannot be written, that is said in the error."""
        line = str(error) or "interrupted"
        self.result = replace(self.result, partial=True, error=line)
        try:
            self.folder.write(self.result)
        except ServemarkError as second:
            if isinstance(error, ServemarkError):
                error.detail = f"{error.detail}\n{second}".strip()


def _measure(
    launcher: Launcher,
    engine: Engine,
    benchmark: Benchmark,
    request: RunRequest,
    written: _Written,
    listener: Listener,
) -> None:
    """Measure every point, and write the result after each."""
    points = benchmark.points(_ask(request, benchmark))
    measured: list[Measured] = []
    assessed: list[Assessed] = []
    jobs: list[Job] = []
    with closing(_served_points(launcher, points, written.folder)) as served_points:
        for number, (server, served, point) in enumerate(served_points, 1):
            name = benchmark.name
            if len(points) > 1:
                name += f"-{number}"
                listener.note(f"point {number} of {len(points)}: {_described(point)}")
            record_path = written.folder.new_record_path(name)
            watch = _Watch(server, point.load, listener)
            job = _job(benchmark, point, server, served, request, record_path, watch)
            engine_run = engine.execute(job)
            with held_back():
                failure = watch.failure or server.failure()
                one = Measured(
                    benchmark=benchmark,
                    point=point,
                    plan=job.compiled,
                    records=open_records(record_path),
                    engine_run=engine_run,
                    served=served,
                    settings_after=server.read_back() if not failure else {},
                    failure=failure,
                    inputs=tuple(map(str, request.inputs)),
                    engine=engine.name,
                )
                measured.append(one)
                assessed.append(assess_run(one, request.max_errors_share))
                written.put(assess(benchmark, measured, assessed), server)
            if failure:
                raise failure
            if engine_run.interrupted:
                return
            jobs.append(job)
    for job in jobs:  # with the server gone: they take seconds, and nobody waits for what they say
        try:
            engine.report(job)
        except RecordingError as error:
            listener.note(f"{error}; the measurement itself is complete")


def _served_points(
    launcher: Launcher, points: tuple[Point, ...], folder: ResultDirectory
) -> Generator[tuple[Server, tuple[ServedModel, ...], Point], None, None]:
    """Each point with a server, and its models, that are as it asks.

    Neighbours that ask the same of the server share one, and those that ask the same of the model find it loaded.
    """
    for settings, of_server in itertools.groupby(points, key=lambda point: point.server):
        with launcher.serve(settings) as server, ExitStack() as stack:
            stack.callback(server.save_logs, folder.server_logs)
            for model, of_model in itertools.groupby(of_server, key=lambda point: point.model):
                with server.serve_models(model) as served:
                    for point in of_model:
                        yield server, served, point


def _job(
    benchmark: Benchmark,
    point: Point,
    server: Server,
    served: tuple[ServedModel, ...],
    request: RunRequest,
    record_path: Path,
    watch: _Watch,
) -> Job:
    plan = benchmark.plan(point, served[0].requests if served else (ping_request(),))
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
    return ", ".join(f"{name} {value}" for name, value in point.values.items())


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
        threads=request.threads,
        loops=request.loops,
        duration_s=request.duration_s,
        warmup_s=request.warmup_s,
        ramp_s=request.ramp_s,
        think_s=request.think_s,
        workers=request.workers,
        timeout_s=request.timeout_s,
        parameters=defaults | dict(request.parameters),
    )


def _benchmark(name: str) -> Benchmark:
    known = benchmarks.catalogue()
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=f"choose from {', '.join(known)}")
    return known[name]


def _launcher(
    request: RunRequest,
    benchmark: Benchmark,
    inputs: tuple[Input, ...],
    listener: Listener,
    custom: CustomModel | None,
) -> Launcher:
    check_choice(
        running=request.server,
        docker=request.docker,
        image=request.image,
        source=request.source,
        build_command=request.build_command,
    )
    check_server_python(
        custom_model=custom is not None,
        requirements=request.server_requirements,
        python=request.server_python,
        running=request.server,
        docker=request.docker,
        image=request.image,
    )
    chosen, sending = inputs or None, Sending(request.content_type, request.multipart)
    if request.server is not None:
        return RunningLauncher(
            request.server,
            (custom or request.model,) if benchmark.needs_model else (),
            inputs=chosen,
            sending=sending,
            backend=request.backend,
            management_port=request.management_port,
            trust=Trust(ca_file=request.ca_file, insecure=request.insecure),
            progress=listener.note,
            log=listener.log,
        )
    model = custom or (find(request.model) if benchmark.needs_model else None)
    if benchmark.needs_model and model is None:
        raise UsageError(f"unknown model {request.model!r}", next_step=f"choose from {', '.join(m.name for m in ZOO)}")
    return own_launcher(
        Serving(
            models=(model,) if model else (),
            inputs=chosen,
            sending=sending,
            backend=request.backend,
            server_python=ServerPython(request.server_requirements, request.server_python),
            progress=listener.note,
            log=listener.log,
        ),
        docker=request.docker,
        image=request.image,
        source=request.source,
        build_command=request.build_command,
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


def _without_secrets(request: RunRequest, source: ModelSource | None) -> RunRequest:
    """`request` with the model's URL as it may be shown, in the words of the command, too."""
    if source is None or source.url is None:
        return request
    words = tuple(word.replace(source.url, source.shown) for word in request.command)
    return replace(request, custom_model=source.shown, command=words)


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", model)
