"""The table of difficult responses over real sockets: each gives its record, and none is trusted for too long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loadgen_servers import Serve, plan_for, read_request, reset, run_plan, serving, silent
from responses import Case, cases

#: Longer responses take too many packets of a byte.
_DRIBBLED_BYTES = 200
_TIMEOUT_S = 0.2

CASES = list(cases())
Send = Callable[[socket.socket, bytes], None]


def in_one_piece(connection: socket.socket, response: bytes) -> None:
    connection.sendall(response)


def in_single_bytes(connection: socket.socket, response: bytes) -> None:
    for byte in response:
        connection.send(bytes([byte]))
        time.sleep(0)


class Answering:
    """Answers each request as a case says; counts the requests of each connection."""

    def __init__(self, case: Case, send: Send) -> None:
        self.requests: list[int] = []
        self._case = case
        self._send = send
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            number = len(self.requests)
            self.requests.append(0)
        while read_request(connection):
            self.requests[number] += 1
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._send(connection, self._case.response)
            if self._case.then == "FIN":
                connection.shutdown(socket.SHUT_WR)
                silent(connection)
                return
            if self._case.then == "RST":
                # What was sent is read before the reset is seen.
                time.sleep(0.05)
                reset(connection)
                return


def check(case: Case, send: Send, path: Path) -> None:
    serve: Serve = Answering(case, send)
    wire = f"{case.method} / HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    timeout_s = _TIMEOUT_S if case.kind == "timeout" else 10.0
    # What comes behind an answer in a packet of its own is told from the next one by coming while nothing is asked.
    has_more = case.counted < len(case.response) and send is in_single_bytes
    has_end = case.then == "FIN" and b"Content-Length" in case.response
    think_s = 0.3 if case.kind == "ok" and (has_more or has_end) else 0.0
    head_only = case.method == "HEAD"
    with serving(serve) as server:
        plan = plan_for(server.port, loops=2, timeout_s=timeout_s, think_s=think_s, wires=(wire,), head_only=head_only)
        ran = run_plan(plan, path)
        assert serve.requests == ([2] if case.is_reused else [1, 1])
    assert ran.kinds == [case.kind] * 2
    assert ran.rows["status"].tolist() == [case.status] * 2
    assert ran.rows["bytes_received"].tolist() == [case.counted] * 2
    assert (ran.rows["bytes_sent"] == len(wire)).all()
    assert ((ran.rows["first_byte"] >= 0) == bool(case.response.strip(b"\r\n"))).all()
    assert not any(ran.flagged("cut_body"))
    assert len(set(ran.rows["connection"].tolist())) == (1 if case.is_reused else 2)
    if case.kind == "ok":
        assert not ran.outcome.examples
    else:
        (example,) = ran.outcome.examples
        assert case.words in example.message
        assert example.body == case.body[:2048]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_response_in_one_piece(case: Case, tmp_path: Path) -> None:
    check(case, in_one_piece, tmp_path / "r")


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if len(case.response) <= _DRIBBLED_BYTES and case.kind != "timeout"],
    ids=lambda case: case.name,
)
def test_a_response_in_single_bytes(case: Case, tmp_path: Path) -> None:
    check(case, in_single_bytes, tmp_path / "r")
