"""What one invocation asks for, and who is told what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servemark.engines import EngineName, ProgressReport
from servemark.result import BenchmarkResult
from servemark.servers.trust import Trust
from servemark.workload.answers import parse_expect
from servemark.workload.endpoint import Place
from servemark.workload.load import Load
from servemark.workload.plan import ReceiveClock, Switch
from servemark.workload.scenario import Expect
from servemark.zoo.catalogue import DEFAULT_MODEL, Backend


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
        url: what the benchmark http measures, with `method`; None is POST with inputs, else GET.
        inputs: files, folders and JSONL files of what to send; empty for the model's own input, of http for no body.
        content_type: of every input; None is what its file's suffix, or the model, says.
        multipart: send each input as the field of that name of a form; None sends it as the body.
        headers: of every request to the inference API or to `url`, as ``-H`` has them: ``NAME: VALUE``, in which
            ``$NAME`` is a variable of the environment.
        expect_status: of a success; None is any 2xx.
        expect: of the body of a success: ``"same"``, ``"regex:R"``, ``"json:PATH"``, or ``"not:"`` before the last
            two; see ``scenario.Expect``.
        server_requirements: a file of pip's: what the handler of `custom_model` imports.
        server_python: an interpreter that has what the handler of `custom_model` imports, and the server.
        workers: of each model; None is one a GPU with `gpus`, else one a CPU.
        gpus: how many NVIDIA GPUs to compute on; 0 is the CPU.
        threads: users; None for the benchmark's own number.
        loops: requests a user, exactly; or `duration_s`; or neither: until 400 successes, 10 to 60 s.
        warmup_s: None is 2 s, or nothing with `loops` or a trace.
        rate: of an open loop: requests a second, or a ramp or steps as the command line has them (``"100..2000/60s"``).
        arrival: how they arrive: None is constant; ``"poisson"``, ``"gamma:CV"``, ``"trace:FILE"``, of a table
            ``"trace:FILE:COLUMN"``.
        max_connections: of an open loop at once; None is 10,000.
        realtime: real-time priority for the generator's threads; "auto" asks for it in an open loop.
        receive_clock: whose time of arrival a response has: "kernel", "user" (when the generator read it), or "auto".
        keep_awake: keep idle CPUs from halting; "auto" does so in an open loop where they wake late.
        parameters: the benchmark's own, by key; those that are not given have their defaults.
        record_events: keep the time of every server-sent event.
        client_cert: certificate of the client, a PEM file; its key is in it, or in `client_key`.
        connect_to: where to connect instead of the host and port of `server` or `url`.
        unix_socket: of this machine, to connect to instead of the host and port of `url`.
        max_errors_share: share of failures from which on the verdict fails.
        go_on_errors: go on to the end although the server fails or is away meanwhile, instead of ending with an error.
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
    url: str | None = None
    method: str | None = None
    inputs: tuple[Path, ...] = ()
    content_type: str | None = None
    multipart: str | None = None
    headers: tuple[str, ...] = ()
    expect_status: int | None = None
    expect: str | None = None
    server_requirements: Path | None = None
    server_python: Path | None = None
    workers: int | None = None
    gpus: int = 0
    threads: int | None = None
    loops: int | None = None
    duration_s: float | None = None
    warmup_s: float | None = None
    ramp_s: float = 0.0
    think_s: float = 0.0
    timeout_s: float = 120.0
    rate: float | str | None = None
    arrival: str | None = None
    max_connections: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    engine: EngineName = "native"
    generator_threads: int = 1
    realtime: Switch = "auto"
    receive_clock: ReceiveClock = "auto"
    keep_awake: Switch = "auto"
    record_events: bool = False
    management_port: int | None = None
    backend: Backend | None = None
    ca_file: Path | None = None
    insecure: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None
    connect_to: Place | None = None
    unix_socket: Path | None = None
    max_errors_share: float = 0.01
    go_on_errors: bool = False
    output: Path | None = None
    force: bool = False
    command: tuple[str, ...] = ()

    @property
    def trust(self) -> Trust:
        """How far certificates are checked, and the client's own."""
        return Trust(self.ca_file, self.insecure, self.client_cert, self.client_key)

    @property
    def expected_body(self) -> Expect | None:
        """What `expect` says.

        Raises:
            UsageError: it says nothing.
        """
        return None if self.expect is None else parse_expect(self.expect)


@dataclass(frozen=True)
class Listener:
    """Who is told what happens.

    `note` takes a line for people, `log` a line of detail (commands, management calls, the server's log), `progress`
    the counts of the run under way, with the load that it is of, and `measured` each benchmark of a suite when it is
    there.
    """

    note: Callable[[str], None] = lambda _line: None
    log: Callable[[str], None] | None = None
    progress: Callable[[ProgressReport, Load], None] = lambda _report, _load: None
    measured: Callable[[BenchmarkResult], None] = lambda _benchmark: None
