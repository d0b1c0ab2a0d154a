"""A running Multi Model Server process: started with bounded retries, and stopped with everything it started."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servemark.errors import ServerDiedError, ServerStartError
from servemark.machine.processes import members, start_process
from servemark.servers import ServerSettings
from servemark.servers.http.connection import is_ok
from servemark.servers.mms import server_log
from servemark.servers.mms.certificate_store import make_keystore
from servemark.servers.mms.config import log4j_text, properties_text, server_properties
from servemark.servers.mms.dialect import DIALECT
from servemark.servers.mms.instance import Instance, new_instance
from servemark.servers.mms.sites.local import Site, Start
from servemark.servers.ports import LOOPBACK, check_not_taken, started_on_ports
from servemark.workload.address import Address, Tls

_START_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.05


@dataclass
class MmsProcess:
    """A server's process, its instance, its addresses, and where and how it was started."""

    site: Site
    instance: Instance
    process: subprocess.Popen[bytes]
    command: tuple[str | Path, ...]
    properties: Mapping[str, str]
    inference: Address
    management: Address
    log: Callable[[str], None] | None
    _ours: frozenset[str] | None = None

    @property
    def pid(self) -> int:
        """The process that leads the server's session."""
        return self.process.pid

    def tell(self, line: str) -> None:
        """Tell the log, if there is one."""
        if self.log:
            self.log(line)

    def is_alive(self) -> bool:
        """Whether it still runs. It ends when Java does."""
        return self.process.poll() is None

    def check_alive(self) -> None:
        """Raise ServerDiedError when it has ended."""
        if not self.is_alive():
            raise self.death()

    def death(self) -> ServerDiedError:
        """The error of a server that has ended, which says how."""
        memory = server_log.out_of_memory(self.instance.logs, {})
        status = self.process.poll()
        how = f"killed by signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        return ServerDiedError(
            "the server died while it was in use",
            cause=f"out of memory ({memory})" if memory else how,
            next_step="use fewer workers (-w)" if memory else "see the end of its log below",
            detail=server_log.tail(self.instance.logs),
        )

    def files_of_others(self) -> list[Path]:
        """What others had it write into its directory, which goes with it: a profiler's recording, a crash's report."""
        return self.instance.files_beside(self._ours) if self._ours is not None else []

    def came_up(self) -> None:
        """Note that it answers: what is in its directory now is its own."""
        self.record_processes()
        self._ours = self.instance.names()

    def record_processes(self) -> None:
        """Write down which processes belong to it, for whoever has to clean up after us."""
        self.instance = self.instance.with_processes(p.pid for p in members(self.instance.root))


@contextmanager
def started_mms(
    site: Site,
    settings: ServerSettings,
    *,
    tls: bool,
    choose_ports: Callable[[], tuple[int, int]],
    log: Callable[[str], None] | None,
    listen: str = LOOPBACK,
) -> Iterator[MmsProcess]:
    """A server that answers at the address `listen`, stopped at the end with every process it started.

    Raises:
        ServerStartError: it did not come up; `detail` has the end of its log.
        SetupError: its directory cannot be written.
    """
    with started_on_ports(choose_ports, lambda ports: _one_start(site, settings, tls, ports, log, listen), log) as mms:
        yield mms


@contextmanager
def _one_start(
    site: Site,
    settings: ServerSettings,
    tls: bool,
    ports: tuple[int, int],
    log: Callable[[str], None] | None,
    listen: str,
) -> Iterator[MmsProcess]:
    with new_instance() as instance, server_log.followed(instance.logs, log):
        properties = dict(server_properties(settings, *ports, tls=tls, listen=listen))
        if tls:
            properties.update(make_keystore(site.java_home, instance.root, listen))
        instance.configure(properties_text(properties), log4j_text())
        inference, management = (_address(listen, port, tls) for port in ports)
        try:
            start = site.prepare(instance)
            if log:
                log(f"command: {' '.join(map(str, start.command))}")
            process = _start(start, instance)
            mms = MmsProcess(site, instance, process, start.command, properties, inference, management, log)
            mms.instance = instance.with_processes([process.pid])
            _wait_until_up(mms)
            mms.came_up()
            yield mms
        finally:
            site.stop(instance)
            if log:
                log("the server is stopped")


def _start(start: Start, instance: Instance) -> subprocess.Popen[bytes]:
    try:
        return start_process(
            start.command,
            instance=instance.root,
            environ=start.environ,
            output=instance.logs / server_log.OUTPUT,
            cwd=instance.root,
        )
    except OSError as error:
        raise ServerStartError(
            f"cannot start {start.command[0]}",
            cause=error.strerror or str(error),
            next_step="remove the folder environments from the cache; it is installed again",
        ) from error


def _address(listen: str, port: int, tls: bool) -> Address:
    return Address(listen, listen, port, Tls(server_name="localhost", verify=False) if tls else None)


def _wait_until_up(mms: MmsProcess) -> None:
    """Wait until the server listens on both ports (it, not somebody else) and answers."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    wanted = {mms.inference.port, mms.management.port}
    while not (
        mms.site.listens(mms.instance, mms.inference.ip, wanted)
        and is_ok(mms.inference, DIALECT.health(), _START_TIMEOUT_S)
    ):
        ended = not mms.is_alive()
        output = server_log.tail(mms.instance.logs)
        if ended:
            # MMS itself says nothing of a port that it could not have.
            check_not_taken(sorted(wanted), output, mms.inference.ip)
            raise ServerStartError(
                "the server ended while it was starting",
                cause=server_log.start_exception(mms.instance.logs) or _last_words(output, mms.process.poll()),
                next_step="see the end of its log below",
                detail=output,
            )
        if time.monotonic() > deadline:
            raise ServerStartError(
                f"the server did not answer within {_START_TIMEOUT_S:g} s",
                next_step="see the end of its log below; run with -v for all of it",
                detail=output,
            )
        time.sleep(_LOOK_EVERY_S)


def _last_words(output: str, status: int | None) -> str:
    lines = output.strip().splitlines()
    return f"exit status {status}" + (f", {lines[-1].strip()}" if lines else "")
