"""Checks of what there must be enough of: disk, ports, file descriptors, memory."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from servemark.doctor.finding import Finding, from_error
from servemark.doctor.programs import is_set_up
from servemark.environments.cache import cache_dir
from servemark.environments.mms import installed_environment
from servemark.errors import ServerStartError, SetupError
from servemark.machine import cgroups
from servemark.servers import default_workers
from servemark.servers.ports import LOOPBACK, free_port_pair

_MB = 1_000_000
#: The server's environment with MXNet takes 434 MB, the image models 47 MB each; a run some of each.
_FIRST_RUN_BYTES, _LATER_RUN_BYTES, _COMFORTABLE_BYTES = 700 * _MB, 100 * _MB, 2000 * _MB
#: Measured with ResNet-18: a run with one worker needs 400 MB, one with two fails there and goes through with 600 MB.
_SERVER_BYTES, _WORKER_BYTES = 200 * _MB, 200 * _MB
#: Measured: Java reserves addresses that it never uses; it starts with 6 GB of them, not with 4 GB.
_LEAST_ADDRESS_BYTES = 6000 * _MB
#: Measured: the server starts with 64 descriptors, not with 48.
_LEAST_DESCRIPTORS = 64
_DESCRIPTORS_BESIDE_CONNECTIONS = 100
_USERS = 1000
_CONNECT_TIMEOUT_S = 5.0
#: Folders of the cache that a run writes in.
_PARTS = ("environments", "zoo", "instances")


def cache() -> Finding:
    """Whether the cache can be written, programs in it run, and a first run fits."""
    another = "or set SERVEMARK_CACHE to a folder of yours"
    try:
        folder = cache_dir()
    except SetupError as error:
        return from_error("failure", error)
    existing = next(path for path in (folder, *folder.parents) if os.access(path, os.F_OK))
    if not existing.is_dir():
        return Finding("failure", f"{folder}: {existing} is not a folder", f"mv {existing} {existing}.old, {another}")
    try:
        with tempfile.TemporaryDirectory(prefix=".servemark-doctor-", dir=existing) as trial:
            program = Path(trial) / "program"
            program.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
            program.chmod(0o700)
            runs = _runs(program)
    except OSError as error:
        below = [folder, *folder.parents]
        missing = f", and there is no {below[below.index(existing) - 1]}" if existing != folder else ""
        found = f"{folder}: cannot write in {existing}: {error.strerror}{missing}"
        fix = f'sudo chown "$USER" {existing}, {another}' if _is_ours(existing) else another.removeprefix("or ")
        return Finding("failure", found, fix)
    closed = [path for name in _PARTS if (path := folder / name).exists() and not os.access(path, os.W_OK)]
    if closed:
        return Finding("failure", f"cannot write in {closed[0]}", f'sudo chown -R "$USER" {folder}, {another}')
    if not runs:
        found = f"{folder}: programs there do not run (mounted noexec)"
        return Finding("failure", found, "set SERVEMARK_CACHE to a folder of another file system")
    free = shutil.disk_usage(existing).free
    needed = _LATER_RUN_BYTES if _environment_is_installed() else _FIRST_RUN_BYTES
    found = f"{folder}, {_size(free)} free"
    if free < needed:
        return Finding("failure", f"{found}, {_size(needed)} needed", f"free disk space, {another}")
    if free < _COMFORTABLE_BYTES:
        return Finding("warning", f"{found}: little for results and other backends", f"free disk space, {another}")
    return Finding("ok", found)


def _is_ours(folder: Path) -> bool:
    """Whether `folder` is this user's home or in it; others, as where a home is not there, are nobody's to be given."""
    try:
        return folder.is_relative_to(Path.home())
    except RuntimeError:
        return False


def _runs(program: Path) -> bool:
    try:
        return subprocess.run([program], stdin=subprocess.DEVNULL, check=False).returncode == 0
    except PermissionError:
        return False


def _environment_is_installed() -> bool:
    try:
        return installed_environment(None) is not None
    except SetupError:
        return False  # no Python to make one with, which is another check's failure


def temporary_folder() -> Finding:
    """Whether TMPDIR can be written; unlike Python, Rust's tools do not look further when it is wrong."""
    chosen = os.environ.get("TMPDIR")
    try:
        with tempfile.TemporaryFile(dir=chosen):
            pass
    except OSError as error:
        where = f"TMPDIR={chosen}" if chosen else "the temporary folder"
        fix = "export TMPDIR=/tmp, or another folder that you may write"
        return Finding("warning" if is_set_up() else "failure", f"cannot write in {where}: {error.strerror}", fix)
    return Finding("ok", chosen or tempfile.gettempdir())


def ports() -> Finding:
    """Whether a server can listen on the loopback address, and be reached there."""
    fix = "ip link set lo up; or stop what uses the ports: ss -ltnp"
    try:
        with (
            socket.create_server((LOOPBACK, 0)) as listening,
            socket.create_connection(listening.getsockname(), timeout=_CONNECT_TIMEOUT_S),
        ):
            pass
        first, second = free_port_pair()
    except OSError as error:
        return Finding("failure", f"nobody can be reached on {LOOPBACK}: {error.strerror or error}", fix)
    except ServerStartError as error:
        return Finding("failure", error.what, fix)
    return Finding("ok", f"{LOOPBACK} answers; {first} and {second}, say, are free")


def file_descriptors() -> Finding:
    """How many connections the limit leaves room for. Both sides raise their own limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return Finding("ok", "no limit")
    found = f"at most {hard} (ulimit -Hn)"
    fix = f"ulimit -n {_USERS * 4} as root, or raise nofile in /etc/security/limits.conf and log in again"
    if hard < _LEAST_DESCRIPTORS:
        return Finding("failure", f"{found}; a server needs {_LEAST_DESCRIPTORS}", fix)
    users = hard - _DESCRIPTORS_BESIDE_CONNECTIONS
    if users < _USERS:
        return Finding("warning", f"{found}: enough for about {max(users, 1)} users at once", fix)
    return Finding("ok", found)


def memory(root: Path = Path("/")) -> Finding:
    """Whether the server fits with a worker for each CPU, as is the default; `root` holds /proc and /sys."""
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY and addresses < _LEAST_ADDRESS_BYTES:
        found = f"limited to {_size(addresses)} of addresses (ulimit -v); Java needs {_size(_LEAST_ADDRESS_BYTES)}"
        return Finding("failure", found, "ulimit -v unlimited")
    try:
        available = _available_bytes(root)
    except (OSError, KeyError) as error:
        return Finding("not_applicable", f"this system does not say how much is free ({error})")
    cpus = default_workers(root=root)
    needed = _SERVER_BYTES + cpus * _WORKER_BYTES
    found = f"{_size(available)} available; ResNet-18 with {cpus} worker{'s' if cpus > 1 else ''} needs {_size(needed)}"
    if available < needed:
        fix = "free memory, raise the container's limit (docker run --memory), or use fewer workers: -w 1"
        return Finding("failure", found, fix)
    if available < 2 * needed:
        return Finding("warning", found, "free memory, or keep -w low")
    return Finding("ok", found)


def _available_bytes(root: Path) -> int:
    """What programs can still get: of the machine, and of every control group that this process is in."""
    lines = (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines()
    available = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}["MemAvailable"]
    return min([available, *cgroups.memory_left_bytes(root)])


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
