"""Servers of scripted behaviour on the loopback interface, and plans that talk to them."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from servemark import _loadgen
from servemark.errors import SetupError
from servemark.records import open_records
from servemark.workload.address import Address, Tls
from servemark.workload.engine_plan import (
    EngineArrivals,
    EngineGroup,
    EnginePatch,
    EnginePlan,
    EngineRequest,
    EngineStep,
)

MS = 1_000_000
S = 1_000_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
STREAM_CHUNKED = STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
STREAM_UNTIL_CLOSE = STREAM_HEAD + b"\r\n"
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
#: What must come comes sooner, however busy the machine is.
_LONGEST_S = 20.0

Serve = Callable[[socket.socket], None]


class Server:
    """A listening socket; each connection is served by `serve` in a thread of its own."""

    def __init__(self, listener: socket.socket, serve: Serve) -> None:
        self.port: int = listener.getsockname()[1]
        self.accepted = 0
        self._listener = listener
        self.serve = serve
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connections that there are."""
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self.serve(connection)


@contextlib.contextmanager
def serving(serve: Serve, *, ip: str = "127.0.0.1", backlog: int = 512) -> Iterator[Server]:
    """A server that calls `serve` for each connection, until the end of the block."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ip, 0))
    listener.listen(backlog)
    server = Server(listener, serve)
    try:
        yield server
    finally:
        server.close()


def read_request(connection: socket.socket) -> bytes:
    """One request without a body, or b"" when the client has closed."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        received = connection.recv(65536)
        if not received:
            return b""
        request += received
    return request


def answering(response: bytes) -> Serve:
    """Answer each request with `response`."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(response)

    return serve


def answering_once(response: bytes) -> Serve:
    """Answer the first request with `response` and close."""

    def serve(connection: socket.socket) -> None:
        if read_request(connection):
            connection.sendall(response)
            close_first(connection)

    return serve


def silent(connection: socket.socket) -> None:
    """Read and never answer."""
    while connection.recv(65536):
        pass


def close_first(connection: socket.socket) -> None:
    """Say that nothing more will come, and wait until the client has closed, too."""
    connection.shutdown(socket.SHUT_WR)
    silent(connection)


def reset(connection: socket.socket) -> None:
    """Close so that the peer gets a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def chunk(data: bytes) -> bytes:
    """`data` as one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def streaming(events: int, pause_s: float, *, first_s: float = 0.0) -> Serve:
    """Answer each request with a chunked stream: an event every `pause_s`, each in a write of its own."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_request(connection):
            connection.sendall(STREAM_CHUNKED)
            time.sleep(first_s)
            for number in range(events):
                if number:
                    time.sleep(pause_s)
                connection.sendall(chunk(b"id: %d\r\ndata: {}\r\n\r\n" % number))
            connection.sendall(b"0\r\n\r\n")

    return serve


def saying(*pieces: bytes, then: Serve = silent) -> Serve:
    """Answer the first request with `pieces`, 20 ms apart, and go on as `then` says."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.02)
        then(connection)

    return serve


def hang_up(connection: socket.socket) -> None:
    """Close as one does after the end of a response."""
    connection.close()


def request_of(wire: bytes) -> EngineRequest:
    """The request that goes over the wire so, if its length is told."""
    head, _, body = wire.partition(b"\r\n\r\n")
    start, *fields = head.split(b"\r\n")
    method, target, _ = start.split(b" ")
    headers = tuple((name, value) for name, _, value in (field.partition(b": ") for field in fields))
    return EngineRequest(method, target, headers, body)


def plan_for(
    port: int,
    *,
    users: int = 1,
    loops: int = 0,
    duration_s: float = 0.0,
    ramp_s: float = 0.0,
    think_s: float = 0.0,
    warmup_s: float = 0.0,
    timeout_s: float = 5.0,
    connect_timeout_s: float = 3.0,
    threads: int = 1,
    wires: tuple[bytes, ...] = (GET,),
    patches: tuple[EnginePatch, ...] = (),
    steps: int = 1,
    ip: str = "127.0.0.1",
    tls: Tls | None = None,
    keep_body_bytes: int = 2048,
    seed: int = 0,
    arrivals: EngineArrivals | None = None,
) -> EnginePlan:
    """One group whose users, or `arrivals`, perform `steps` equal steps at one address."""
    requests = tuple(replace(request_of(wire), patches=patches) for wire in wires)
    return EnginePlan(
        addresses=(Address("test", ip, port, tls),),
        steps=tuple(EngineStep(f"step-{index}", 0, requests) for index in range(steps)),
        groups=(
            EngineGroup(
                steps=tuple(range(steps)),
                users=0 if arrivals else users,
                loops=loops,
                duration_ns=round(duration_s * S),
                ramp_ns=round(ramp_s * S),
                think_ns=round(think_s * S),
                arrivals=arrivals,
            ),
        ),
        warmup_ns=round(warmup_s * S),
        timeout_ns=round(timeout_s * S),
        connect_timeout_ns=round(connect_timeout_s * S),
        threads=threads,
        keep_body_bytes=keep_body_bytes,
        seed=seed,
    )


class Records:
    """The records of a finished run, as a structured array sorted by `seq`."""

    def __init__(self, path: Path) -> None:
        self.file = open_records(path)
        self.rows: Any = np.sort(np.array(self.file.memmap()), order="seq")

    @property
    def kinds(self) -> list[str]:
        """The kind of each record."""
        return [self.file.error_kinds[kind] for kind in self.rows["kind"]]

    def flagged(self, name: str) -> list[bool]:
        """Whether each record carries the flag `name`."""
        return [bool(flags & self.file.flags[name]) for flags in self.rows["flags"]]


class Ran(Records):
    """A finished run: its outcome, and its records."""

    def __init__(self, outcome: _loadgen.Outcome, progress: _loadgen.Progress, path: Path) -> None:
        super().__init__(path)
        self.outcome = outcome
        self.progress = progress


class Pause:
    """A pause of users behind each answer, which lasts until the server has done what it does behind it.

    How long that takes nobody knows: its thread may not run meanwhile. So users ask another server, which answers once
    no connection is served any more.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._served = self._pausing = 0

    def behind(self, serve: Serve) -> Serve:
        """`serve`, whose end is waited for."""

        def served(connection: socket.socket) -> None:
            self._change(served=1)
            try:
                serve(connection)
            finally:
                connection.close()
                self._change(served=-1)

        return served

    def wait_begun(self) -> None:
        """Wait until a user has had its answer, and pauses."""
        self._wait_for(lambda: self._pausing > 0)

    def run(self, plan: EnginePlan, path: Path) -> Ran:
        """Run `plan`, of one user a thread, with such a pause behind each step. What ran is told without the pauses."""
        (group,) = plan.groups
        with serving(self._answer) as other:
            pause = EngineStep("pause", len(plan.addresses), (request_of(GET),))
            steps = tuple(step for own in group.steps for step in (own, len(plan.steps)))
            ran = run_plan(
                replace(
                    plan,
                    addresses=(*plan.addresses, Address("pause", "127.0.0.1", other.port)),
                    steps=(*plan.steps, pause),
                    groups=(replace(group, steps=steps),),
                ),
                path,
            )
        pauses = ran.rows["step"] == len(plan.steps)
        assert (ran.rows["kind"][pauses] == 0).all(), "the server did not end what is waited for"
        ran.rows = ran.rows[~pauses]
        return ran

    def _answer(self, connection: socket.socket) -> None:
        while read_request(connection):
            self._change(pausing=1)
            self._wait_for(lambda: self._served == 0)
            self._change(pausing=-1)
            connection.sendall(OK)

    def _change(self, *, served: int = 0, pausing: int = 0) -> None:
        with self._changed:
            self._served += served
            self._pausing += pausing
            self._changed.notify_all()

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(is_so, 20):
                raise TimeoutError


def run_plan(plan: EnginePlan, path: Path) -> Ran:
    """Run `plan` to its end."""
    return finish(_loadgen.start(plan, str(path)), path)


def begin(run: _loadgen.Run) -> int:
    """Have a run that is armed begin soon, once it is ready. Returns the instant."""
    assert run.wait_ready(_LONGEST_S)
    return begin_soon(run.begin_at)


def begin_soon(begin_at: Callable[[int], None]) -> int:
    """Have a run that is ready begin by its `begin_at`. Returns the instant."""
    for longer in range(10):
        begin_ns = time.monotonic_ns() + (20 * MS << longer)
        # That is past where this thread has not run in between.
        with contextlib.suppress(ValueError, SetupError):
            begin_at(begin_ns)
            return begin_ns
    raise AssertionError("it cannot begin")


def in_time(run: Callable[[float], Ran], is_there: Callable[[Ran], bool], within_s: float) -> Ran:
    """What `run` gives within that time, or within a longer one where what the server sends in it was not there yet.

    A server's thread may not run: no time is long enough for what is to come before a timeout.
    """
    for longer in (1, 5, 25):
        ran = run(within_s * longer)
        if is_there(ran):
            break
    return ran


def finish(run: _loadgen.Run, path: Path) -> Ran:
    """Wait for the end of `run`, which must come."""
    assert run.wait(_LONGEST_S), "the run did not end"
    ran = Ran(run.finish(), run.progress(), path)
    assert ran.outcome.records == len(ran.rows)
    assert ran.progress.in_flight == 0
    assert ran.progress.scheduled == len(ran.rows) == ran.progress.succeeded + ran.progress.failed
    assert len(np.unique(ran.rows["seq"])) == len(ran.rows)
    check_times(ran.rows)
    return ran


def check_times(rows: Any) -> None:
    """Assert that the times of each record that was sent follow one another, and that the others have none."""
    sent = rows[rows["sent"] >= 0]
    assert (sent["scheduled"] >= 0).all()
    assert (sent["scheduled"] <= sent["ready"]).all()
    assert (sent["ready"] <= sent["sent"]).all()
    answered = sent[sent["first_byte"] >= 0]
    assert (answered["sent"] <= answered["first_byte"]).all()
    assert (answered["first_byte"] <= answered["end"]).all()
    assert (rows["scheduled"] <= rows["end"]).all()
    unsent = rows[rows["sent"] < 0]
    assert (unsent["first_byte"] == -1).all()
    assert (unsent["bytes_sent"] == 0).all()
