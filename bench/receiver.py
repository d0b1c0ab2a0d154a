"""The receiver: a server of ours (crates/servemark-bench) that notes when requests arrived, and its own error.

An arrival is the time at which the kernel took in the first bytes of a request, whatever the receiver was doing then:
it owes nothing to when the receiver was woken. How far it is from the truth is measured by sending from here at known
times.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.process import Process
from bench.running import Bench
from bench.server import BODY, PATH
from servemark.errors import ServerStartError

_START_S = 10.0
_FIRST_S = 60.0
_PRIORITY = 2
_REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


class Receiver:
    """A running receiver."""

    def __init__(self, process: Process, notes_path: Path, port: int, priority: str) -> None:
        self._process = process
        self._path = notes_path
        self.port = port
        self.priority = priority

    @property
    def url(self) -> str:
        """Where a request goes."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def await_first(self, tool: Process) -> bool:
        """Wait for the first request; False when `tool` ends, or a minute passes, without one."""
        end = time.monotonic() + _FIRST_S
        while self._process.output.count("\n") < 2:
            if tool.has_ended or time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def finish(self) -> NDArray[np.int64]:
        """End it and return the arrivals, in order, ns since 1970: the kernel's, or where it does not tell, when seen.

        Raises:
            ServerStartError: it failed; says how.
        """
        self._process.close_stdin()
        if self._process.wait(_START_S) != 0:
            raise ServerStartError("the receiver failed", cause=self._process.complaint)
        notes = np.fromfile(self._path, dtype="<i8").astype(np.int64).reshape(-1, 2)
        return np.sort(notes[:, 0] if notes[:, 0].all() else notes[:, 1])


@contextmanager
def receiver(bench: Bench) -> Iterator[Receiver]:
    """Run one, at real-time priority where that is permitted: nothing may keep it from answering."""
    folder = bench.new_folder("receiver")
    words = (bench.programs / "receiver", folder / "notes")
    with Process(words, folder, pipes_stdin=True) as process:
        priority = "ordinary"
        with suppress(OSError):
            os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(_PRIORITY))
            priority = "real-time"
        yield Receiver(process, folder / "notes", await_port(process), priority)


def await_port(process: Process) -> int:
    """The port that a server of ours prints when it listens."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and not process.has_ended:
        if process.output.endswith("\n"):
            return int(process.output)
        time.sleep(0.01)
    raise ServerStartError(f"{Path(process.words[0]).name} did not come up", cause=process.complaint)


@dataclass(frozen=True)
class OwnError:
    """From just before a request is sent to its noted arrival: sending it, and the receiver's error; us."""

    p50_us: float
    p99_us: float
    priority: str


def own_error(bench: Bench, requests: int = 1000) -> OwnError:
    """Send requests one by one, a millisecond apart, spinning until each is due; sending them is in the figure."""
    sent_ns = []
    with receiver(bench) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with _real_time():
            due_ns = time.monotonic_ns()
            for _ in range(requests):
                due_ns += 1_000_000
                while time.monotonic_ns() < due_ns:
                    pass
                sent_ns.append(time.time_ns())
                connection.sendall(_REQUEST)
                connection.recv(4096)
        arrivals_ns = server.finish()
    off = np.sort(arrivals_ns - np.array(sent_ns, dtype=np.int64)) / 1000
    return OwnError(float(off[len(off) // 2]), float(off[int(len(off) * 0.99)]), server.priority)


@contextmanager
def _real_time() -> Iterator[None]:
    """Real-time priority for this process, where that is permitted."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)
