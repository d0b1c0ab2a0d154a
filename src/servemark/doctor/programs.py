"""Checks of what is installed: Python, what builds the load generator, Java, JMeter, Docker, GPUs."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from servemark.doctor.finding import Finding, from_error
from servemark.environments.commands import finish
from servemark.environments.docker_cli import docker_engine
from servemark.environments.jmeter import assembled_home, find_java, jmeter_home
from servemark.environments.mms import choose_backend
from servemark.environments.network_failures import TRUST_IT, is_untrusted
from servemark.errors import ServemarkError, SetupError
from servemark.machine.gpus import gpus_here

_LEAST_PYTHON = (3, 10)
_LEAST_RUST = (1, 85)
_PROBE_TIMEOUT_S = 60.0
_INSTALL = "./install_dependencies.sh"
_RUST_SERVER = "https://static.rust-lang.org"
#: A few bytes.
_RUST_CHANNEL = "dist/channel-rust-stable.toml.sha256"
_REACH_TIMEOUT_S = 5.0
_NVIDIA_VENDOR = "0x10de"


def is_set_up() -> bool:
    """Whether this Python has servemark with its load generator."""
    return importlib.util.find_spec("servemark._loadgen") is not None


def python() -> Finding:
    """The Python that runs this, and what setting up needs of it."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < _LEAST_PYTHON:
        return Finding("failure", f"{found}, older than 3.10", "install Python 3.10 or newer and start it with that")
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing and not is_set_up():
        fix = f"{_INSTALL} (Debian and Ubuntu: apt-get install python3-venv)"
        return Finding("failure", f"{found}, without {' and '.join(missing)}", fix)
    return Finding("ok", found)


def server_python() -> Finding:
    """The Python that the server's environment is made with, and so the runtime of the zoo's models."""
    try:
        backend, interpreter = choose_backend(None)
    except ServemarkError as error:
        return from_error("failure", error)
    version = ".".join(map(str, interpreter.version))
    return Finding("ok", f"{version}, {interpreter.executable}; backend {backend}")


def c_compiler() -> Finding:
    """What Rust links with; only to build the load generator."""
    if is_set_up():
        return Finding("not_applicable", "the load generator is built already")
    name = os.environ.get("CC", "cc")
    path = shutil.which(name)
    if path:
        return Finding("ok", path)
    return Finding("failure", f"no {name} on PATH", f"{_INSTALL} (Debian and Ubuntu: apt-get install gcc libc6-dev)")


def rust() -> Finding:
    """A cargo that can build the load generator; where there is none the build fetches one, if it can."""
    # In the root folder, where no rust-toolchain file of a project applies.
    finished = finish(["cargo", "--version"], timeout_s=_PROBE_TIMEOUT_S, cwd=Path("/"))
    match = re.search(r"cargo ((\d+)\.(\d+)\S*)", finished.output) if finished.status == 0 else None
    if match and (int(match[2]), int(match[3])) >= _LEAST_RUST:
        return Finding("ok", f"{match[1]}, {shutil.which('cargo')}")
    found = f"cargo {match[1]}, older than 1.85" if match else "no cargo on PATH that works"
    if is_set_up():
        return Finding("ok", f"{found}; the load generator is built already")
    if (refused := _why_no_rust()) is None:
        return Finding("warning", f"{found}: the first run downloads a Rust of 800 MB", _INSTALL)
    fix = TRUST_IT if is_untrusted(refused) else "check the network and the proxy (HTTPS_PROXY)"
    return Finding("failure", f"{found}, and none can be downloaded: {refused}", f"{_INSTALL}; or {fix}")


def _why_no_rust() -> str | None:
    """Why no Rust can be downloaded from where it is kept; None when that answers."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    server = os.environ.get("RUSTUP_DIST_SERVER") or _RUST_SERVER
    try:
        with urlopen(f"{server.rstrip('/')}/{_RUST_CHANNEL}", timeout=_REACH_TIMEOUT_S):  # noqa: S310
            return None
    except HTTPError as error:
        # A mirror need not have that file. A proxy says with other answers that it lets nobody through.
        return None if error.code == HTTPStatus.NOT_FOUND else f"{server} answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        return f"{server}: {getattr(error, 'reason', None) or error}"


def java() -> Finding:
    """A Java for JMeter."""
    try:
        found = find_java()
    except SetupError as error:
        return from_error("warning", error)
    return Finding("ok", f"{found.version}, {found.executable}")


def jmeter() -> Finding:
    """The JMeter that would be used, or whether one could be assembled."""
    try:
        assembled = assembled_home()
    except SetupError as error:  # there is no cache: the check of that says whether all else fails for it
        return from_error("warning", error)
    if assembled and not os.environ.get("JMETER_HOME"):
        return Finding("ok", f"assembled in {assembled}")
    if os.environ.get("JMETER_HOME"):
        try:
            home = jmeter_home(lambda _: None)
        except SetupError as error:
            return from_error("warning", error)
        return Finding("ok", f"{home.versions['jmeter']}, {home.root} (JMETER_HOME)")
    maven = shutil.which("mvn")
    if maven and java().status == "ok":
        return Finding("ok", f"none yet: the first --engine jmeter assembles it with {maven}")
    lacking = "no Maven" if not maven else "no Java"
    fix = f"{_INSTALL} (Debian and Ubuntu: apt-get install maven default-jre-headless), or set JMETER_HOME"
    return Finding("warning", f"none, and {lacking} to assemble it with", fix)


def docker() -> Finding:
    """A Docker daemon that answers to this user."""
    try:
        engine = docker_engine()
    except SetupError as error:
        return from_error("warning", error)
    return Finding("ok", f"{engine.version}, {engine.architecture}" + (", rootless" if engine.rootless else ""))


def gpu(root: Path = Path("/")) -> Finding:
    """NVIDIA's GPUs, as the driver has them; `root` holds /sys."""
    here = gpus_here()
    if here.names:
        return Finding("ok", f"{', '.join(here.names)}; driver {here.driver}")
    devices = root.glob("sys/bus/pci/devices/*/vendor")
    if not any(file.read_text(encoding="ascii").strip() == _NVIDIA_VENDOR for file in devices):
        return Finding("not_applicable", "no NVIDIA GPU here")
    if here.driver:
        return Finding(
            "warning", f"there is one, but {here.why_fewer}", "unset CUDA_VISIBLE_DEVICES, and see nvidia-smi"
        )
    fix = (
        "install NVIDIA's driver (Ubuntu: sudo ubuntu-drivers install; Debian: nvidia-driver), restart, try nvidia-smi"
    )
    return Finding("warning", f"there is one, but {here.why_fewer}", fix)
