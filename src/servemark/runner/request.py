"""What one invocation asks for, and who is told what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servemark.engines import EngineName, ProgressReport
from servemark.workload.load import ClosedLoad
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
        inputs: files to send; empty for the model's own input.
        content_type: of every input; None is what its file's suffix, or the model, says.
        multipart: send each input as the field of that name of a form; None sends it as the body.
        server_requirements: a file of pip's: what the handler of `custom_model` imports.
        server_python: an interpreter that has what the handler of `custom_model` imports, and the server.
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
