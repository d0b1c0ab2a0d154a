"""A server that we start, whichever it is: on ports of its own, recognised by its processes, and stopped with them all.

Whoever answers on its ports before it listens there itself is somebody else: Triton, for one, shares its ports.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from servemark.errors import ServerDiedError, ServerStartError
from servemark.machine.cpu import processes_cpu_s
from servemark.machine.memory import processes_memory_bytes
from servemark.machine.processes import listening_ports, members, start_process, stop_members
from servemark.servers.mms.instance import Instance, new_instance
from servemark.servers.ports import LOOPBACK, check_not_taken, somebody_listens, started_on_ports

_LOG = "server.log"
_START_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.05
_TAIL_LINES = 20


Ports = tuple[int, ...]


@dataclass(frozen=True)
class OwnStart:
    """How a server is started: its command, the whole of its environment, and what to do where that cannot be run."""

    command: Sequence[str | Path]
    environ: Mapping[str, str]
    or_else: str = "remove the folder environments from the cache; it is installed again"


@dataclass
class OwnProcess:
    """A server's process, with all that it started, in `instance`; it listens on `ports` of `hosts`."""

    instance: Instance
    process: subprocess.Popen[bytes]
    command: tuple[str, ...]
    ports: Ports
    hosts: tuple[str, ...] = (LOOPBACK,)

    @property
    def pid(self) -> int:
        """The process that leads the server's session."""
        return self.process.pid

    def processes(self) -> list[psutil.Process]:
        """The living processes of the server."""
        return members(self.instance.root)

    def spawned(self) -> int:
        """How many processes the leading one has had Python's multiprocessing start, to work for it."""
        children: list[psutil.Process] = []
        with suppress(psutil.Error):
            children = psutil.Process(self.pid).children()
        return sum(_is_spawned(child) for child in children)

    def memory_bytes(self) -> int | None:
        """What they hold in memory; see ``servemark.machine.memory``."""
        return processes_memory_bytes(self.processes())

    def cpu_s(self) -> float | None:
        """The CPU time that they have used; see ``servemark.machine.cpu``."""
        return processes_cpu_s(self.processes())

    def death(self) -> ServerDiedError | None:
        """The error of a server that has ended, which says how; None while it lives."""
        status = self.process.poll()
        if status is None:
            return None
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        return ServerDiedError(
            "the server died while it was in use",
            cause=how,
            next_step="see the end of its log below",
            detail=self.log_tail(),
        )

    def log_tail(self) -> str:
        """The last lines that it printed."""
        with suppress(OSError):
            lines = (self.instance.logs / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join(lines[-_TAIL_LINES:])
        return ""

    def save_log(self, folder: Path) -> None:
        """Copy what it printed into `folder`."""
        with suppress(FileNotFoundError):
            shutil.copyfile(self.instance.logs / _LOG, folder / _LOG)

    def wait_until(self, is_ready: Callable[[OwnProcess], bool], within_s: float = _START_TIMEOUT_S) -> None:
        """Wait until it listens on its ports itself, and `is_ready`; at most for `within_s`.

        Raises:
            PortTakenError: it ended since somebody else had one of them.
            ServerStartError: it ended, or did neither in time; `detail` has the end of what it printed.
        """
        give_up_s = time.monotonic() + within_s
        while not (self._listens() and is_ready(self)):
            tail = self.log_tail()
            if (status := self.process.poll()) is not None:
                check_not_taken(self.ports, tail, *self.hosts)
                lines = tail.splitlines()
                cause = f"exit status {status}" + (f", {lines[-1].strip()}" if lines else "")
                raise ServerStartError(
                    "the server ended while it was starting",
                    cause=cause,
                    next_step="see the end of its log below",
                    detail=tail,
                )
            if time.monotonic() > give_up_s:
                raise ServerStartError(
                    f"the server was not ready within {within_s:g} s",
                    next_step="see the end of its log below",
                    detail=tail,
                )
            time.sleep(_LOOK_EVERY_S)
        self.instance = self.instance.with_processes(process.pid for process in self.processes())

    def _listens(self) -> bool:
        return somebody_listens(self.ports, *self.hosts) and set(self.ports) <= listening_ports(self.processes())

    def stop(self) -> None:
        """End it, and everything that it started; nothing of it is left when this returns."""
        stop_members(self.instance.root)


def _is_spawned(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any("multiprocessing.spawn" in word for word in process.cmdline())
    return False


@contextmanager
def started_process(
    choose_ports: Callable[[], Ports],
    prepare: Callable[[Instance, Ports], OwnStart],
    is_ready: Callable[[OwnProcess], bool],
    log: Callable[[str], None] | None = None,
    within_s: float = _START_TIMEOUT_S,
    hosts: tuple[str, ...] = (LOOPBACK,),
) -> Iterator[OwnProcess]:
    """A server that listens and `is_ready`, stopped at the end with every process it started.

    Args:
        choose_ports: gives all the ports that it listens on; asked again when they turn out to be taken.
        prepare: says how it is started in an instance, on those ports.
        is_ready: whether one that listens on all of them answers as it should.
        log: told its command, and that it is stopped.
        within_s: how long it may take until then.
        hosts: the addresses of this machine at which its ports are.

    Raises:
        ServerStartError: it cannot be started, or did not come up.
        SetupError: its directory cannot be written.
    """

    @contextmanager
    def start(ports: Ports) -> Iterator[OwnProcess]:
        with _one_start(ports, hosts, prepare, log) as process:
            process.wait_until(is_ready, within_s)
            yield process

    with started_on_ports(choose_ports, start, log) as process:
        yield process


@contextmanager
def _one_start(
    ports: Ports,
    hosts: tuple[str, ...],
    prepare: Callable[[Instance, Ports], OwnStart],
    log: Callable[[str], None] | None,
) -> Iterator[OwnProcess]:
    with new_instance() as instance:
        try:
            start = prepare(instance, ports)
            command = tuple(map(str, start.command))
            if log:
                log(f"command: {' '.join(command)}")
            try:
                process = start_process(
                    command,
                    instance=instance.root,
                    environ=start.environ,
                    output=instance.logs / _LOG,
                    cwd=instance.root,
                )
            except OSError as error:
                raise ServerStartError(
                    f"cannot start {command[0]}",
                    cause=error.strerror or str(error),
                    next_step=start.or_else,
                ) from error
            yield OwnProcess(instance.with_processes([process.pid]), process, command, ports, hosts)
        finally:
            stop_members(instance.root)
            if log:
                log("the server is stopped")
