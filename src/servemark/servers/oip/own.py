"""Triton out of its wheel, and MLServer, started here: with the zoo's graphs, or a repository of the user's.

Triton binds its ports so that another may share them: who answers there is it only once it listens there itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from servemark.environments.model_servers import ServerEnvironment, server_environment
from servemark.environments.variables import inherited, path_with
from servemark.errors import UsageError
from servemark.servers import ServerSettings
from servemark.servers.http.connection import is_ok
from servemark.servers.http.plain import PlainServer
from servemark.servers.mms.instance import Instance
from servemark.servers.oip.calls import OipCalls
from servemark.servers.oip.dialect import PRODUCTS
from servemark.servers.oip.repository import copied_repository, mlserver_repository, triton_repository
from servemark.servers.oip.running import OipModels, served
from servemark.servers.own import OwnLauncher
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import check_ports, free_port_pair
from servemark.workload.address import Address
from servemark.workload.scenario import Request

_READY_TIMEOUT_S = 5.0
#: Is answered with 200 when the server and all of its models are ready.
_ARE_MODELS_READY = Request("GET", "/v2/health/ready")
#: A command, and what it needs in its environment.
_Command = tuple[Sequence["str | Path"], Mapping[str, str]]
#: What has every model of a repository of each kind.
_SIGNS = {"triton": "config.pbtxt", "mlserver": "model-settings.json"}


@contextmanager
def started_server(launcher: OwnLauncher, settings: ServerSettings) -> Iterator[PlainServer]:
    """The server that `launcher` asks for; see ``servemark.servers.own.OwnLauncher``."""
    kind, progress = launcher.kind, launcher.asked.progress
    environment = server_environment(kind, progress)

    def prepare(instance: Instance, ports: Ports) -> OwnStart:
        repository = instance.store
        if launcher.repository is not None:
            copied_repository(launcher.repository, repository, _SIGNS[kind])
        elif kind == "triton":
            triton_repository(repository, launcher.zoo, progress)
        else:
            mlserver_repository(repository, launcher.zoo, progress)
        if kind == "triton":
            command, environ = _triton(environment, repository, ports, launcher.listen)
        else:
            command, environ = _mlserver(launcher, environment, repository, ports)
        progress(f"starting {PRODUCTS[kind]}")
        return OwnStart(command, {**_environ(environment, instance), **environ})

    def address(process: OwnProcess) -> Address:
        return Address(launcher.listen, launcher.listen, process.ports[0], None, headers=launcher.asked.headers)

    def is_ready(process: OwnProcess) -> bool:
        return is_ok(address(process), _ARE_MODELS_READY, _READY_TIMEOUT_S)

    hosts = (launcher.listen,)
    with started_process(lambda: _ports(launcher), prepare, is_ready, launcher.asked.log, hosts=hosts) as process:
        asked = launcher.at(f"{launcher.listen}:{process.ports[0]}")
        facts = {"command": list(process.command), "pid": process.pid, "versions": dict(environment.versions)}
        with OipCalls(address(process), asked.log) as calls:
            if kind == "triton":
                models = OipModels(asked, calls, process.instance.store)
            else:
                models = OipModels(asked, calls, workers=launcher.workers, count_workers=process.spawned)
            yield served(models, calls, settings, facts, process)


def _ports(launcher: OwnLauncher) -> Ports:
    """The port of its inference API; MLServer has one more, for gRPC."""
    if launcher.port is None:
        ports = free_port_pair(launcher.listen)
    else:
        ports = launcher.port, launcher.port + 1
        check_ports(ports, launcher.listen)
    return ports[:1] if launcher.kind == "triton" else ports


def _environ(environment: ServerEnvironment, instance: Instance) -> dict[str, str]:
    ours = {"PATH": path_with(environment.root), "TMPDIR": str(instance.temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**inherited(), **ours}


def _triton(environment: ServerEnvironment, repository: Path, ports: Ports, listen: str) -> _Command:
    """How Triton is started: HTTP alone, and its models loaded by name, so that they can be loaded again."""
    packages = environment.packages
    command: list[str | Path] = [packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"]
    command += ["--model-repository", repository, "--backend-directory", environment.root / "backends"]
    command += ["--model-control-mode", "explicit", "--load-model", "*", "--http-address", listen]
    command += ["--http-port", str(ports[0]), "--allow-grpc", "false", "--allow-metrics", "false"]
    environ = {"LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"), "PYTHONPATH": str(packages)}
    return command, environ


def _mlserver(launcher: OwnLauncher, environment: ServerEnvironment, repository: Path, ports: Ports) -> _Command:
    """How MLServer is started: on our ports, without one for metrics, with so many processes that predict.

    Its file of settings goes before variables, so that what is ours stands in that, whatever else the user's has.
    """
    port, grpc_port = ports
    ours = {"host": launcher.listen, "http_port": port, "grpc_port": grpc_port, "metrics_endpoint": None}
    if launcher.workers is not None:
        ours["parallel_workers"] = launcher.workers
    file = repository / "settings.json"
    settings = {"parallel_workers": 0, "debug": False} if not file.exists() else _settings_in(file)
    file.write_text(json.dumps({**settings, **ours}), encoding="utf-8")
    return [environment.root / "bin" / "mlserver", "start", repository], {"PYTHONPATH": str(repository)}


def _settings_in(file: Path) -> Mapping[str, object]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"the {file.name} of the repository is no JSON", cause=str(error)) from error
    if not isinstance(settings, dict):
        raise UsageError(f"the {file.name} of the repository holds no settings", cause="it is no JSON object")
    return settings
