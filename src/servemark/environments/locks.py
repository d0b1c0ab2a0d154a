"""Locks on files in the user's cache, which may lie on a file system that several machines share.

``flock`` is let go of by the kernel whatever way its holder ends, but whether another machine sees it depends on the
file system: on NFS it does (and wants a descriptor that can be written), or does not (``local_lock``), as on many
others. So who holds a lock also writes down who that is: the machine, by name and number, its start (the boot id), and
the process. A lock that is free but names a holder on another machine says nothing of whether that one lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

_MACHINE = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: `machine` is empty where it has no number, `boot` where its starts have none."""

    host: str
    machine: str
    boot: str
    pid: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether it may run on another machine than this one, so that the lock says nothing of it.

        The same start is the same kernel, be it in a container of another name. Another start of the same machine is
        one that is over.
        """
        us = here()
        if self.boot == us.boot:
            return False
        return (self.host, self.machine) != (us.host, us.machine)


def here() -> Holder:
    """Who we are."""
    machine = next((found for path in _MACHINE if (found := _text(Path(path)))), "")
    return Holder(platform.node(), machine, _text(_BOOT), os.getpid())


def lock(file: IO[str] | IO[bytes], *, wait: bool = False) -> bool:
    """Lock `file`, which must be open for writing; False when another holds it, unless this is to `wait` for it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def unlock(file: IO[str] | IO[bytes]) -> None:
    """Let go of a lock that is not to be kept until `file` is closed."""
    fcntl.flock(file, fcntl.LOCK_UN)


def is_locked(path: Path) -> bool:
    """Whether another process that this machine's kernel knows of holds the lock on `path`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    # For writing: NFS gives an exclusive lock on no other descriptor.
    with path.open("r+b") as file:
        return not lock(file)


def sign(file: IO[str]) -> None:
    """Write into the locked `file` who holds it, in the place of what was there."""
    clear(file)
    file.write(json.dumps(asdict(here())) + "\n")
    file.flush()


def clear(file: IO[str]) -> None:
    """Write into the locked `file` that nobody does any more."""
    file.seek(0)
    file.truncate()
    file.flush()


def holder_in(path: Path) -> Holder | None:
    """Who wrote down that it holds the lock on `path`; None when nobody did, or not all of it yet."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return Holder(str(found["host"]), str(found["machine"]), str(found["boot"]), int(found["pid"]))
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
