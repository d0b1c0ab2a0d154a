"""A Docker daemon for the contract tests: the one that runs, or one of our own that leaves nothing behind."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from servemark.environments.mms_image import BASE_VARIABLE, DEFAULT_BASE

#: Why these tests are skipped; ``tests/conftest.py`` has the commands that enable them.
NO_DAEMON = "no Docker daemon runs, and none can be started here"
NO_BASE = "no base image can be had: neither pulled nor made by debootstrap"

_START_S = 60
_STOP_S = 30
_PULL_S = 300
_DEBOOTSTRAP_S = 600
_PACKAGES = "python3,libgomp1,libstdc++6" + (",libquadmath0" if platform.machine() == "x86_64" else "")


@contextmanager
def docker_daemon() -> Iterator[Mapping[str, str]]:
    """The variables with which a daemon answers that has a base image; the test is skipped when none can be had."""
    if _runs({}):
        with _base_image({}) as base:
            yield {BASE_VARIABLE: base}
        return
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("docker"):
        pytest.skip(NO_DAEMON)
    # Its socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="dockerd-", dir="/tmp"))
    try:
        with _own_daemon(folder) as endpoint, _base_image(endpoint) as base:
            yield {**endpoint, BASE_VARIABLE: base}
    finally:
        _unmount(folder)
        shutil.rmtree(folder)


def _runs(endpoint: Mapping[str, str]) -> bool:
    return shutil.which("docker") is not None and _docker(endpoint, "info").returncode == 0


def _docker(endpoint: Mapping[str, str], *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **endpoint}
    return subprocess.run(["docker", *words], env=environ, capture_output=True, text=True, timeout=timeout_s)


@contextmanager
def _own_daemon(folder: Path) -> Iterator[Mapping[str, str]]:
    endpoint = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    options = [f"--{option}={folder / name}" for option, name in places.items()]
    # Nothing of the machine's network is touched: containers use it as it is.
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (folder / "dockerd.log").open("wb") as log:
        command = ["dockerd", *options, *network, "--host", endpoint["DOCKER_HOST"]]
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_S
        while not _runs(endpoint):
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(NO_DAEMON)
            time.sleep(0.2)
        yield endpoint
    finally:
        daemon.terminate()
        try:
            daemon.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextmanager
def _base_image(endpoint: Mapping[str, str]) -> Iterator[str]:
    """An image to build ours on: the usual one, or a small Debian of our own where no registry can be reached."""
    wanted = os.environ.get(BASE_VARIABLE) or DEFAULT_BASE
    known = _docker(endpoint, "image", "inspect", wanted).returncode == 0
    if known or _docker(endpoint, "pull", wanted, timeout_s=_PULL_S).returncode == 0:
        yield wanted
        return
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip(NO_BASE)
    made = "servemark-test/base:1"
    with tempfile.TemporaryDirectory(prefix="rootfs-", dir="/tmp") as rootfs:
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", rootfs]
        try:
            if subprocess.run(command, capture_output=True, timeout=_DEBOOTSTRAP_S).returncode != 0:
                pytest.skip(NO_BASE)
        except subprocess.TimeoutExpired:
            pytest.skip(NO_BASE)
        packed = subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE)
        importing = ["docker", "import", "-", made]
        subprocess.run(importing, stdin=packed.stdout, env={**os.environ, **endpoint}, check=True, capture_output=True)
        assert packed.wait() == 0
    try:
        yield made
    finally:
        _docker(endpoint, "image", "rm", "--force", made)


def _unmount(folder: Path) -> None:
    """What a daemon leaves mounted when it ends, deepest first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True, capture_output=True)
