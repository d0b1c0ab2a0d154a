"""Instances: the directory of one started server, and the cleaning up of those whose owner was killed.

Under ``cache_dir()/instances/<id>/``: configuration, model store, temporary files, logs, and ``instance.json``, which
says which processes belong to it. Its owner holds a lock on it as long as it lives, and has signed that lock; the
kernel lets go of it whatever way the owner ends. An instance of another machine that shares the cache is left alone:
its processes are not here, and its lock may not be seen here.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from servemark.environments import locks
from servemark.environments.cache import cache_dir, cache_error
from servemark.environments.docker_cli import recorded_container, remove_container
from servemark.errors import ServerError
from servemark.machine.processes import ProcessIdentity, identify, kill_members

_RECORD = "instance.json"
_OWNER_LOCK = "owner.lock"
_LONGEST_MAKING_S = 3600.0
#: Names of unix sockets are limited to 104 bytes (macOS) or 108 (Linux); the server's are in its temporary directory.
_LONGEST_SOCKET_PATH = 100
#: As long as any of theirs: Multi Model Server's have the number of a port in their names, vLLM's are UUIDs.
_SOCKET_NAME = "01234567-89ab-cdef-0123-456789abcdef"
_NOBODYS = re.compile(r".*\.new|core(\.\d+)?")


@dataclass(frozen=True)
class Instance:
    """The home of one server. `temporary` is the server's TMPDIR; it is elsewhere when the cache's path is long."""

    root: Path
    temporary: Path
    owner: ProcessIdentity | None
    processes: tuple[ProcessIdentity, ...] = ()

    @property
    def config(self) -> Path:
        """The server's configuration file."""
        return self.root / "config.properties"

    @property
    def log_config(self) -> Path:
        """The server's log4j configuration."""
        return self.root / "log4j2.xml"

    @property
    def store(self) -> Path:
        """The model store."""
        return self.root / "store"

    @property
    def logs(self) -> Path:
        """The folder of the server's logs."""
        return self.root / "logs"

    def names(self) -> frozenset[str]:
        """What lies in its directory now."""
        return frozenset(path.name for path in self.root.iterdir())

    def files_beside(self, ours: frozenset[str]) -> list[Path]:
        """Files in its directory other than `ours`: what somebody had the server write, such as a recording.

        No image of a process's memory (``core``), which nobody asks for and which may be as large as that.
        """
        others = (path for path in self.root.iterdir() if path.name not in ours and not _NOBODYS.fullmatch(path.name))
        return sorted(path for path in others if path.is_file() and not path.is_symlink())

    def with_processes(self, pids: Iterable[int]) -> Instance:
        """The instance with these processes recorded, too; written to its record."""
        found = {identity for identity in map(identify, pids) if identity}
        recorded = replace(self, processes=tuple({*self.processes, *found}))
        recorded.write()
        return recorded

    def configure(self, properties: str, log4j: str) -> None:
        """Write the server's configuration, for nobody else to read: it may hold the key store's password.

        Raises:
            SetupError: the cache cannot be written.
        """
        with _writing():
            self.config.touch(mode=0o600)
            self.config.write_text(properties, encoding="utf-8")
            self.log_config.write_text(log4j, encoding="utf-8")

    def write(self) -> None:
        """Write the record, whole or not at all.

        Raises:
            SetupError: the cache cannot be written.
        """
        text = json.dumps(
            {
                "temporary": str(self.temporary),
                "owner": asdict(self.owner) if self.owner else None,
                "processes": [asdict(identity) for identity in self.processes],
            },
            indent=2,
        )
        unfinished = self.root / (_RECORD + ".new")
        with _writing():
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(self.root / _RECORD)


@contextmanager
def new_instance() -> Iterator[Instance]:
    """A fresh instance, locked by this process; its directories are removed at the end. Stop its processes before.

    Raises:
        SetupError: the cache cannot be written.
    """
    name = secrets.token_hex(4)
    root = _instances() / name
    with _writing(), _creating_or_sweeping():
        # Nobody sweeps it before it is signed, on another machine either.
        unsigned = _instances() / f".{name}"
        unsigned.mkdir()
        owned = (unsigned / _OWNER_LOCK).open("w", encoding="utf-8")
        locks.lock(owned)
        locks.sign(owned)
        unsigned.rename(root)
    with owned:
        instance = Instance(root=root, temporary=root / "tmp", owner=identify(os.getpid()))
        try:
            with _writing():
                if len(os.fsencode(instance.temporary / _SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
                    instance = replace(instance, temporary=Path(tempfile.mkdtemp(prefix="servemark-", dir="/tmp")))
                for folder in (instance.temporary, instance.store, instance.logs):
                    folder.mkdir(exist_ok=True)
            instance.write()
            yield instance
        finally:
            _remove(instance)


def sweep_stale(tell: Callable[[str], None]) -> None:
    """Kill and remove what is left of instances whose owner is gone, containers included; `tell` hears of each.

    Raises:
        ServerError: a left-over process could not be killed.
        SetupError: the cache cannot be written.
    """
    if not _instances().is_dir():
        return
    with _writing(), _creating_or_sweeping():
        for root in sorted(path for path in _instances().iterdir() if path.is_dir()):
            if _is_being_made(root) or _owner_may_live(root):
                continue
            instance = _read(root)
            kill_members(root, instance.processes)
            container = recorded_container(root)
            try:
                if container:
                    remove_container(container)
            except ServerError as error:
                tell(str(error))  # The next run tries again: its daemon may be back then.
                continue
            _remove(instance)
            tell(f"cleaned up the server {root.name}, whose servemark was killed")


def _instances() -> Path:
    return cache_dir() / "instances"


def _is_being_made(root: Path) -> bool:
    """Whether it has no owner yet; one that never got one is removed after a while."""
    with suppress(FileNotFoundError):
        return root.name.startswith(".") and time.time() - root.stat().st_mtime < _LONGEST_MAKING_S
    return True


def _owner_may_live(root: Path) -> bool:
    lock = root / _OWNER_LOCK
    holder = locks.holder_in(lock)
    if holder and holder.is_elsewhere:
        return True
    try:
        return locks.is_locked(lock)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's


def _read(root: Path) -> Instance:
    """The instance as recorded; a record that was never finished tells only the directory."""
    try:
        record = json.loads((root / _RECORD).read_text(encoding="utf-8"))
        processes = tuple(ProcessIdentity(**identity) for identity in record["processes"])
        return Instance(root, Path(record["temporary"]), owner=None, processes=processes)
    except (OSError, ValueError, KeyError, TypeError):
        return Instance(root, root / "tmp", owner=None)


def _remove(instance: Instance) -> None:
    # A file that is not there any more or cannot be removed is the next sweep's: the server itself has ended.
    shutil.rmtree(instance.temporary, ignore_errors=True)
    shutil.rmtree(instance.root, ignore_errors=True)


@contextmanager
def _writing() -> Iterator[None]:
    """Say what to do when the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise cache_error(f"cannot write in the cache {_instances()}", error) from error


@contextmanager
def _creating_or_sweeping() -> Iterator[None]:
    """So that nobody sweeps a directory between its making and its locking."""
    _instances().mkdir(parents=True, exist_ok=True)
    with (_instances() / ".lock").open("w", encoding="ascii") as lock:
        locks.lock(lock, wait=True)
        yield
