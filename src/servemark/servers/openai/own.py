"""The user's own vLLM, started here with one model: it is looked for on PATH, and never installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from servemark.environments.variables import inherited, path_with
from servemark.errors import SetupError, UsageError
from servemark.servers import ServerSettings
from servemark.servers.http.connection import is_ok, send_once
from servemark.servers.http.finding import Found
from servemark.servers.http.handshake import refusal
from servemark.servers.http.plain import PlainServer
from servemark.servers.http.words import json_object
from servemark.servers.mms.instance import Instance
from servemark.servers.openai.dialect import VLLM
from servemark.servers.openai.running import chosen_model, served
from servemark.servers.own import OwnLauncher
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import LOOPBACK, check_ports, free_ports
from servemark.workload.address import Address
from servemark.workload.scenario import Request

_HEALTH, _VERSION = Request("GET", "/health"), Request("GET", "/version")
_ANSWER_TIMEOUT_S = 5.0
#: Weights of a hundred gigabytes come from a disk, and graphs are compiled.
_START_TIMEOUT_S = 1800.0
#: What the folder of a model has, and where the user's own options may stand in it.
_SIGN, _OPTIONS = "config.json", "vllm.yaml"
#: By which vLLM itself goes where it computes on CPUs.
_KEPT = ("OMP_NUM_THREADS",)
_OR_ELSE = "install it (pip install vllm, in an environment of its own) and put its bin on PATH"
#: What is not the user's to choose: nothing is downloaded or told to others. Processes of vLLM give themselves titles,
#: for which they would use the room of the variables by which we know them.
_ENVIRON = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "SPT_NOENV": "1"}


@contextmanager
def started_server(launcher: OwnLauncher, settings: ServerSettings) -> Iterator[PlainServer]:
    """The server that `launcher` asks for; see ``servemark.servers.own.OwnLauncher``."""
    asked = launcher.asked
    if asked.models:
        chosen_model(asked, (launcher.called,))
    assert launcher.repository is not None  # or else it is refused
    model = _folder(launcher.repository)
    program = _program()

    def prepare(instance: Instance, ports: Ports) -> OwnStart:
        command: list[str | Path] = [program, "serve", model, "--served-model-name", launcher.called]
        if (model / _OPTIONS).exists():
            command += ["--config", model / _OPTIONS]
        command += ["--host", launcher.listen, "--port", str(ports[0]), "--disable-uvicorn-access-log"]
        ours = {"PATH": path_with(program.parent.parent), "TMPDIR": str(instance.temporary), **_ENVIRON}
        return OwnStart(command, {"VLLM_HOST_IP": LOOPBACK, **inherited(keep=_KEPT), **ours}, or_else=_OR_ELSE)

    def address(process: OwnProcess) -> Address:
        return Address(launcher.listen, launcher.listen, process.ports[0], None, headers=asked.headers)

    def is_ready(process: OwnProcess) -> bool:
        return is_ok(address(process), _HEALTH, _ANSWER_TIMEOUT_S)

    asked.progress("starting vLLM, which may take minutes")
    hosts = (launcher.listen,)
    with started_process(
        lambda: _ports(launcher), prepare, is_ready, asked.log, _START_TIMEOUT_S, hosts=hosts
    ) as process:
        version = _version(address(process))
        facts = {"command": list(process.command), "pid": process.pid, "versions": {"vllm": version} if version else {}}
        found = Found(address(process), VLLM, refusal)
        yield served(asked, found, (launcher.called,), settings, facts, version=version, process=process)


def _folder(repository: Path) -> Path:
    """The folder of the model, from wherever it is looked at.

    Raises:
        UsageError: there is no model in it.
    """
    if not (repository / _SIGN).is_file():
        raise UsageError(
            f"there is no model in {repository}",
            cause=f"it has no {_SIGN}" if repository.is_dir() else "no such folder",
            next_step="give --model-repository the folder with the model's config.json, tokenizer and weights",
        )
    return repository.resolve()


def _program() -> Path:
    """The user's vllm: of PATH, or else of the environment that we are in.

    Raises:
        SetupError: there is none.
    """
    found = shutil.which("vllm") or shutil.which("vllm", path=str(Path(sys.executable).parent))
    if found is None:
        raise SetupError(
            "there is no vllm on PATH",
            cause="it is never installed for you",
            next_step=_OR_ELSE,
        )
    return Path(found).absolute()


def _ports(launcher: OwnLauncher) -> Ports:
    if launcher.port is None:
        return free_ports(1, launcher.listen)
    check_ports((launcher.port,), launcher.listen)
    return (launcher.port,)


def _version(address: Address) -> str | None:
    """What it says of its version; None where it does not."""
    try:
        said = json_object(send_once(address, _VERSION, _ANSWER_TIMEOUT_S).body).get("version")
    except httpx.TransportError:
        return None
    return str(said) if said else None
