"""The ``docker`` command: every call has a time limit, and what can be wrong with it is told apart, with the fix.

Podman does where it answers as docker: under that name, or behind DOCKER_HOST.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from servemark.environments.commands import Finished, finish
from servemark.environments.network_failures import UNTRUSTED, is_untrusted
from servemark.errors import ServerError, SetupError
from servemark.interrupts import held_back

CALL_TIMEOUT_S = 60.0
_REMOVE_TRIES = 40
_REMOVE_EVERY_S = 0.25
_RECORD = "container.json"
#: Which daemon is meant: whoever cleans up after us may have others.
_ENDPOINT = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")

_NO_PERMISSION = (
    "permission denied while trying to connect",
    "connect: permission denied",
    "dial unix: permission denied",
)
_NO_DAEMON = (
    "cannot connect to the docker daemon",
    "is the docker daemon running",
    "failed to connect to the docker api",
    "error during connect",
    "cannot connect to podman",
    "unable to connect to podman",
    "connection refused",
)
_NO_CONTAINER = ("no such container", "no container with name or id")
#: What says nothing of why a build or a call failed: what was to be run, how far that came, and where help is.
_NO_CAUSE = re.compile(
    r"/bin/sh -c|^See '|^Sending build context|^Step \d+/|^Removing intermediate|^--|^Dockerfile:\d+|^\d+ \||^> \["
    r"|^#\d+ (\[|sha256:|DONE|CACHED|CANCELED|transferring|\.\.\.)"
)


@dataclass(frozen=True)
class DockerEngine:
    """The daemon that answers.

    Attributes:
        version: its own.
        architecture: of its containers, as in "x86_64".
        rootless: its containers' root is the user who runs it.
        security: what restricts its containers: "selinux", "userns", ...
    """

    version: str
    architecture: str
    rootless: bool
    security: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Container:
    """A container of ours, and the variables that lead to its daemon."""

    name: str
    endpoint: Mapping[str, str] = field(default_factory=dict)

    def record_in(self, folder: Path) -> None:
        """Write down in `folder` that it may exist, for whoever has to clean up after us: before it is made."""
        unfinished = folder / (_RECORD + ".new")
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(folder / _RECORD)


def new_container(name: str) -> Container:
    """A name for a container at the daemon that is meant now."""
    return Container(name, {key: os.environ[key] for key in _ENDPOINT if key in os.environ})


def recorded_container(folder: Path) -> Container | None:
    """The container that was recorded in `folder`, if one was."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return Container(str(record["name"]), dict(record["endpoint"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def docker_engine() -> DockerEngine:
    """The daemon that answers.

    Raises:
        SetupError: there is no docker command, no permission, no daemon, or one on another machine.
    """
    host = urlsplit(os.environ.get("DOCKER_HOST", ""))
    if host.scheme in ("tcp", "ssh", "http", "https") and host.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise SetupError(
            "the server has to run on this machine",
            cause=f"DOCKER_HOST is {host.geturl()}",
            next_step="unset DOCKER_HOST, or start a server there and measure it with --server",
        )
    what = "ask the Docker daemon what it is"
    info = _json_of(docker(["info", "--format", "{{json .}}"], what=what))
    if info.get("ServerErrors"):  # Docker 20.10 says so here and exits with 0.
        raise docker_error(Finished(1, "\n".join(info["ServerErrors"])), what)
    if info.get("host"):  # Podman's own form.
        security = info["host"].get("security", {})
        selinux = {"selinux"} if security.get("selinuxEnabled") else set()
        version, architecture = str(info.get("version", {}).get("Version")), str(info["host"].get("arch"))
        rootless = bool(security.get("rootless"))
    else:
        options = info.get("SecurityOptions") or []
        selinux = {
            part.partition("=")[2] for option in options for part in option.split(",") if part.startswith("name=")
        }
        version, architecture = str(info.get("ServerVersion")), str(info.get("Architecture"))
        rootless = "rootless" in selinux
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    return DockerEngine(version, names.get(architecture, architecture), rootless, frozenset(selinux))


def docker(words: Sequence[str | Path], *, what: str, timeout_s: float = CALL_TIMEOUT_S, next_step: str = "") -> str:
    """Run ``docker WORDS``, which must succeed; returns what it printed.

    Raises:
        SetupError: ``cannot {what}``, or what is wrong with Docker itself.
    """
    finished = finish(["docker", *words], timeout_s=timeout_s)
    if finished.status != 0:
        raise docker_error(finished, what, next_step)
    return finished.output


def docker_error(finished: Finished, what: str, next_step: str = "") -> SetupError:
    """What a failed docker command means, with the fix."""
    said, detail = finished.output.lower(), finished.tail
    if shutil.which("docker") is None:
        return SetupError(
            "there is no docker command",
            cause=f"cannot {what}",
            next_step="run ./install_dependencies.sh (Debian and Ubuntu: apt-get install docker.io)",
        )
    if any(sign in said for sign in _NO_PERMISSION):
        return SetupError(
            "no permission to use Docker",
            cause=_last_line(finished),
            next_step='add yourself to its group with: sudo usermod -aG docker "$USER", and log in again',
        )
    if any(sign in said for sign in _NO_DAEMON):
        return SetupError(
            "the Docker daemon does not answer",
            cause=_last_line(finished),
            next_step="start it (sudo systemctl start docker), or set DOCKER_HOST to where it listens",
        )
    if is_untrusted(finished.output):
        return SetupError(
            f"cannot {what}",
            cause=UNTRUSTED,
            next_step="give Docker the file of the company's authority: /etc/docker/certs.d/REGISTRY/ca.crt",
            detail=detail,
        )
    return SetupError(
        f"cannot {what}",
        cause=_last_line(finished),
        next_step=next_step or "see Docker's last lines below",
        detail=detail,
        log=finished.output,
    )


def create_container(container: Container, words: Sequence[str], *, what: str) -> None:
    """Run ``docker create`` with these words after the container's name.

    Ctrl-C is heard when that is done: the daemon goes on without its command, and would make the container after it was
    removed.

    Raises:
        SetupError: ``cannot {what}``, or what is wrong with Docker itself.
    """
    with held_back():
        docker(["create", "--name", container.name, *words], what=what)


def inspect_image(name: str) -> Mapping[str, Any] | None:
    """What the daemon knows of an image; None when it has none of that name.

    Raises:
        SetupError: Docker itself is at fault.
    """
    finished = finish(["docker", "image", "inspect", "--format", "{{json .}}", name], timeout_s=CALL_TIMEOUT_S)
    if finished.status == 0:
        return _json_of(finished.output)
    missing = ("no such image", "no such object", "image not known", "failed to find image")
    if any(sign in finished.output.lower() for sign in missing):
        return None
    raise docker_error(finished, f"look at the image {name}")


def remove_container(container: Container) -> None:
    """Kill and remove a container, if it is there. It is gone when this returns; an interruption is raised after it.

    Raises:
        ServerError: it could not be removed.
    """
    interruption: KeyboardInterrupt | None = None
    finished = Finished(None, "")
    for _ in range(_REMOVE_TRIES):
        try:
            finished = finish(
                ["docker", "rm", "--force", container.name], timeout_s=CALL_TIMEOUT_S, environ=container.endpoint
            )
            said = finished.output.lower()
            if finished.status == 0 or any(sign in said for sign in _NO_CONTAINER):
                break
            if finished.status is None or any(sign in said for sign in (*_NO_DAEMON, *_NO_PERMISSION)):
                raise _left(container, finished)
            time.sleep(_REMOVE_EVERY_S)  # It is being removed already: by the daemon, when it ended.
        except KeyboardInterrupt as again:
            interruption = again
    else:
        raise _left(container, finished)
    if interruption:
        raise interruption


def _left(container: Container, finished: Finished) -> ServerError:
    prefix = "".join(f"{key}={value} " for key, value in container.endpoint.items())
    return ServerError(
        f"the container {container.name} could not be removed",
        cause=_last_line(finished),
        next_step=f"remove it: {prefix}docker rm --force {container.name}",
    )


def _last_line(finished: Finished) -> str:
    said = (line.strip() for line in finished.tail.splitlines())
    lines = [line for line in said if line and not _NO_CAUSE.search(line)]
    errors = [line for line in lines if "error" in line.lower() or "denied" in line.lower() or "cannot" in line.lower()]
    return (errors or lines or [f"exit {finished.status}"])[-1]


def _json_of(output: str) -> Mapping[str, Any]:
    """The object in what a command printed, warnings beside it left out."""
    for line in output.splitlines():
        if line.startswith("{"):
            value = json.loads(line)
            if isinstance(value, dict):
                return value
    raise SetupError("docker gave no answer that can be read", cause=output.strip()[-200:], next_step="update docker")
