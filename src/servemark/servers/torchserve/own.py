"""A TorchServe of ours: started without models, which it is given as one that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from servemark.environments.model_servers import ServerEnvironment, server_environment
from servemark.environments.variables import inherited, locale_for, path_with
from servemark.errors import SetupError, UsageError
from servemark.servers import ServerSettings
from servemark.servers.http.connection import is_ok
from servemark.servers.http.finding import Found
from servemark.servers.http.handshake import refusal
from servemark.servers.mms.config import properties_text
from servemark.servers.mms.instance import Instance
from servemark.servers.mms.running import RunningServer, server_with_management
from servemark.servers.own import OwnLauncher
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import LOOPBACK, check_ports, free_ports
from servemark.servers.torchserve.dialect import DIALECT
from servemark.servers.torchserve.metrics import counted_at
from servemark.workload.address import Address

_READY_TIMEOUT_S = 5.0
_JOB_QUEUE_SIZE = 100
#: Warnings, and what workers print, to stdout; nothing that grows with every request.
_LOGGING = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR">
  <Appenders>
    <Console name="console" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} [%-5p] %t %c{1} - %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="org.pytorch.serve.wlm.WorkerLifeCycle" level="warn"/>
    <Root level="warn"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"""


@contextmanager
def started_server(launcher: OwnLauncher, settings: ServerSettings) -> Iterator[RunningServer]:
    """The server that `launcher` asks for; see ``servemark.servers.own.OwnLauncher``."""
    if launcher.repository is not None:
        raise UsageError(
            "--model-repository makes no sense with --server-kind torchserve",
            next_step="give -m a model of the zoo, or -c an archive",
        )
    asked = launcher.asked
    environment = server_environment("torchserve", asked.progress)

    def is_ready(process: OwnProcess) -> bool:
        return is_ok(_address(launcher.listen, process.ports[0]), DIALECT.health(), _READY_TIMEOUT_S)

    asked.progress("starting TorchServe")
    prepare = partial(how_to_start, environment, settings, listen=launcher.listen)
    hosts = tuple({launcher.listen, LOOPBACK})
    with started_process(
        lambda: ports_for(launcher.port, launcher.listen), prepare, is_ready, asked.log, hosts=hosts
    ) as process:
        port, management_port, _, _, metrics_port = process.ports
        found = Found(replace(_address(launcher.listen, port), headers=asked.headers), DIALECT, refusal)
        management = _address(launcher.listen, management_port)
        counted = partial(counted_at, _address(LOOPBACK, metrics_port))
        known = launcher.at(f"{launcher.listen}:{port}")
        with server_with_management(known, found, settings, management, process, counted) as server:
            server.version = environment.version
            facts = {"versions": dict(environment.versions), "command": list(process.command), "pid": process.pid}
            config = _properties(settings, process.ports, launcher.listen)
            server.facts = {**server.facts, **facts, "config": config}
            yield server


def ports_for(port: int | None, listen: str = LOOPBACK) -> Ports:
    """Its five ports: of inference, at `port` if there is one, of management above it, of both by gRPC, of metrics.

    The first two are at the address `listen`, the others at the loopback's.
    """
    if port is None:
        return free_ports(5, listen, LOOPBACK)
    check_ports((port, port + 1), listen)
    return (port, port + 1, *free_ports(3))


def how_to_start(
    environment: ServerEnvironment,
    settings: ServerSettings,
    instance: Instance,
    ports: Ports,
    *,
    asks_for_tokens: bool = False,
    listen: str = LOOPBACK,
) -> OwnStart:
    """How a server with these settings is started in `instance`, in whose folder it writes its tokens."""
    instance.configure(properties_text(_properties(settings, ports, listen)), _LOGGING)
    command: list[str | Path] = [environment.root / "bin" / "torchserve", "--start", "--foreground", "--ncs"]
    command += ["--model-store", instance.store, "--ts-config", instance.config, "--log-config", instance.log_config]
    command += [] if asks_for_tokens else ["--disable-token-auth"]
    return OwnStart(command, _environ(environment, instance))


def _address(host: str, port: int) -> Address:
    return Address(host, host, port, None)


def _properties(settings: ServerSettings, ports: Ports, listen: str) -> Mapping[str, str]:
    inference, management, grpc_inference, grpc_management, metrics = ports
    return {
        "inference_address": f"http://{listen}:{inference}",
        "management_address": f"http://{listen}:{management}",
        "metrics_address": f"http://{LOOPBACK}:{metrics}",
        "grpc_inference_port": str(grpc_inference),
        "grpc_inference_address": LOOPBACK,
        "grpc_management_port": str(grpc_management),
        "grpc_management_address": LOOPBACK,
        "enable_model_api": "true",
        "metrics_mode": "prometheus",
        "job_queue_size": str(settings.job_queue_size or _JOB_QUEUE_SIZE),
        "default_response_timeout": str(settings.response_timeout_s),
        "install_py_dep_per_model": "false",
    }


def _environ(environment: ServerEnvironment, instance: Instance) -> dict[str, str]:
    if environment.java_home is None:
        raise SetupError("there is no JDK in the environment of TorchServe", next_step="remove it from the cache")
    path = path_with(environment.root, environment.java_home)
    folders = {"TMPDIR": str(instance.temporary), "TEMP": str(instance.temporary)}
    logs = {"LOG_LOCATION": str(instance.logs), "METRICS_LOCATION": str(instance.logs)}
    java = {"JAVA_HOME": str(environment.java_home), "PATH": path}
    return {**inherited(), **locale_for(instance.root), **folders, **logs, **java}
