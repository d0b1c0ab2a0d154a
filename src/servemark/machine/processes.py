"""Processes of a server: found, identified and stopped, every one of them, whoever started them.

A server's processes carry a mark in their environment that all their children inherit. So they are found even after
their parents died or after the servemark that started them was killed; a process number that another program got in the
meantime is never mistaken for one of them.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from servemark.errors import ServerError

#: Environment variable with the instance's directory.
MARK = "SERVEMARK_INSTANCE"

#: How long a server gets to end by itself.
GRACE_S = 3.0
_KILL_ROUNDS = 20
_REAP_S = 1.0
_LOADING_S = 1.0
_LOOK_AGAIN_S = 0.001


@dataclass(frozen=True)
class ProcessIdentity:
    """A process number and when that process started, in a form that does not change when the clock is set."""

    pid: int
    started: str


def boot_id() -> str:
    """What tells this start of this machine from every other; the machine's name where the system has no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def network_id() -> int:
    """What tells the network of this process from others of this machine's, as containers have; 0 if unknown."""
    try:
        return Path("/proc/self/ns/net").stat().st_ino
    except OSError:
        return 0


def identify(pid: int) -> ProcessIdentity | None:
    """Which process has that number now; None when none has."""
    try:
        # Field 22 of stat: start time in clock ticks since boot. The name in field 2 may hold spaces and parentheses.
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        return ProcessIdentity(pid, f"{boot_id()}:{ticks}")
    except (OSError, IndexError):
        pass  # No such process, or not Linux: psutil tells which.
    try:
        return ProcessIdentity(pid, f"{psutil.Process(pid).create_time():.2f}")
    except psutil.Error:
        return None


def start_process(
    command: Sequence[str | Path], *, instance: Path, environ: Mapping[str, str], output: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, marked with `instance`, its stdout and stderr appended to `output`.

    When this returns `members` finds it.
    """
    with output.open("ab") as sink:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**environ, MARK: str(instance)},
            cwd=cwd,
            start_new_session=True,
        )
    # Popen returns when the new program is being loaded; its environment can be read a moment later.
    seen, give_up_s = psutil.Process(process.pid), time.monotonic() + _LOADING_S
    while process.poll() is None and not _is_marked(seen, instance) and time.monotonic() < give_up_s:
        time.sleep(_LOOK_AGAIN_S)
    return process


def members(instance: Path, recorded: Iterable[ProcessIdentity] = ()) -> list[psutil.Process]:
    """The living processes of an instance: those with its mark, those recorded, and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if _is_marked(process, instance):
            found[process.pid] = process
    for identity in recorded:
        with suppress(psutil.Error):
            if identify(identity.pid) == identity:
                found.setdefault(identity.pid, psutil.Process(identity.pid))
    for process in list(found.values()):
        with suppress(psutil.Error):
            if process.ppid() not in found:  # Its parent's descendants are its own, and each look goes through all.
                found.update((child.pid, child) for child in process.children(recursive=True))
    return [process for process in found.values() if process.pid != os.getpid() and _lives(process)]


def stop_members(instance: Path, recorded: Iterable[ProcessIdentity] = (), grace_s: float = GRACE_S) -> None:
    """Ask every process of an instance to end, and kill what has not after `grace_s`. None is left when this returns.

    Ctrl-C shortens the wait; the killing is done whatever happens, and the interruption is raised after it.
    """
    recorded = tuple(recorded)
    try:
        asked = members(instance, recorded)
        # A process that has hidden its mark is known by its parent, which may end first.
        recorded += tuple(filter(None, (identify(process.pid) for process in asked)))
        _signal(asked, signal.SIGTERM)
        psutil.wait_procs(asked, timeout=grace_s)
    finally:
        kill_members(instance, recorded)


def kill_members(instance: Path, recorded: Iterable[ProcessIdentity] = ()) -> None:
    """Kill every process of an instance, those that it starts meanwhile included.

    Raises:
        ServerError: something could not be killed; says which process.
    """
    recorded = tuple(recorded)
    interruption: KeyboardInterrupt | None = None
    alive: list[psutil.Process] = []
    for _ in range(_KILL_ROUNDS):
        try:
            alive = members(instance, recorded)
            if not alive:
                break
            _signal(alive, signal.SIGKILL)
            psutil.wait_procs(alive, timeout=_REAP_S)
        except KeyboardInterrupt as again:
            interruption = again
    else:
        pids = ", ".join(str(process.pid) for process in alive)
        raise ServerError(f"processes {pids} of the server could not be killed", next_step=f"kill -9 {pids}")
    if interruption:
        raise interruption


def listening_ports(processes: Iterable[psutil.Process]) -> set[int]:
    """The TCP ports on which any of `processes` listens."""
    ports: set[int] = set()
    for process in processes:
        with suppress(psutil.Error):
            ports |= {c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return ports


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _is_marked(process: psutil.Process, instance: Path) -> bool:
    # Gone, a zombie, or another user's: none of those is a living process that we started.
    with suppress(psutil.Error, OSError):
        return process.environ().get(MARK) == str(instance)
    return False


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
