"""The table of difficult responses over real sockets: each gives its record, and none is trusted for too long."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from loadgen_servers import Pause, Ran, close_first, in_time, plan_for, read_request, reset, run_plan, serving
from responses import Case, cases
from tls_servers import Channel, make_certificate, server_context

from servemark.workload.address import Tls

#: Longer responses take too many packets of a byte.
_DRIBBLED_BYTES = 200
_TIMEOUT_S = 0.2

CASES = list(cases())
DRIBBLED = [case for case in CASES if len(case.response) <= _DRIBBLED_BYTES and case.kind != "timeout"]

Send = Callable[[socket.socket, bytes], None]
#: The packets in which a response is sent.
Pack = Callable[[Channel, bytes], list[bytes]]


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
                close_first(connection)
                return
            if self._case.then == "RST":
                # What was sent is read before the reset is seen.
                time.sleep(0.05)
                reset(connection)
                return


class AnsweringOverTls:
    """The same behind TLS. What ends the connection says so first (close_notify), unless it `is_cut_off`."""

    def __init__(self, case: Case, pack: Pack, context: ssl.SSLContext, *, is_cut_off: bool) -> None:
        self.requests: list[int] = []
        self._case = case
        self._pack = pack
        self._context = context
        self._is_cut_off = is_cut_off
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        channel = Channel(connection, self._context)
        with self._lock:
            number = len(self.requests)
            self.requests.append(0)
        while channel.read_request():
            self.requests[number] += 1
            packets = self._pack(channel, self._case.response)
            if self._case.then == "FIN" and not self._is_cut_off:
                # In the packet of the last bytes, if it is one.
                packets = [*packets[:-1], b"".join(packets[-1:]) + channel.farewell()]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for packet in packets:
                    connection.sendall(packet)
            if self._case.then == "FIN":
                close_first(connection)
                return
            if self._case.then == "RST":
                time.sleep(0.05)
                reset(connection)
                return


def in_one_record(channel: Channel, response: bytes) -> list[bytes]:
    return [channel.sealed(response)] if response else []


def in_records_of_a_byte(channel: Channel, response: bytes) -> list[bytes]:
    return [channel.sealed(bytes([byte])) for byte in response]


def in_a_record_cut_at_each_byte(channel: Channel, response: bytes) -> list[bytes]:
    return [bytes([byte]) for packet in in_one_record(channel, response) for byte in packet]


def check(
    case: Case, serve: Answering | AnsweringOverTls, path: Path, *, in_bytes: bool, tls: Tls | None = None
) -> None:
    wire = f"{case.method} / HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    # What comes behind an answer in a packet of its own is told from the next one by coming while nothing is asked.
    has_more = case.counted < len(case.response) and in_bytes
    has_end = case.then == "FIN" and b"Content-Length" in case.response
    pause = Pause() if case.kind == "ok" and (has_more or has_end) else None

    def run(timeout_s: float) -> Ran:
        serve.requests.clear()
        with serving(pause.behind(serve) if pause else serve) as server:
            plan = plan_for(server.port, loops=2, timeout_s=timeout_s, wires=(wire,), tls=tls)
            return pause.run(plan, path) if pause else run_plan(plan, path)

    def is_there(ran: Ran) -> bool:
        return ran.rows["bytes_received"].tolist() == [case.counted] * 2

    ran = in_time(run, is_there, _TIMEOUT_S) if case.kind == "timeout" else run(10.0)
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
    check(case, Answering(case, in_one_piece), tmp_path / "r", in_bytes=False)


@pytest.mark.parametrize("case", DRIBBLED, ids=lambda case: case.name)
def test_a_response_in_single_bytes(case: Case, tmp_path: Path) -> None:
    check(case, Answering(case, in_single_bytes), tmp_path / "r", in_bytes=True)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("certificate")
    make_certificate(folder, "own", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return server_context(folder, "own")


def check_over_tls(case: Case, pack: Pack, context: ssl.SSLContext, path: Path, *, is_cut_off: bool = False) -> None:
    serve = AnsweringOverTls(case, pack, context, is_cut_off=is_cut_off)
    in_bytes = pack is in_records_of_a_byte
    check(case, serve, path, in_bytes=in_bytes, tls=Tls("test", verify=False))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_response_in_one_piece_over_tls(case: Case, context: ssl.SSLContext, tmp_path: Path) -> None:
    check_over_tls(case, in_one_record, context, tmp_path / "r")


@pytest.mark.parametrize("pack", [in_records_of_a_byte, in_a_record_cut_at_each_byte])
@pytest.mark.parametrize("case", DRIBBLED, ids=lambda case: case.name)
def test_a_response_in_single_bytes_over_tls(case: Case, pack: Pack, context: ssl.SSLContext, tmp_path: Path) -> None:
    check_over_tls(case, pack, context, tmp_path / "r")


@pytest.mark.parametrize("pack", [in_one_record, in_records_of_a_byte])
@pytest.mark.parametrize("case", [case for case in CASES if case.then == "FIN"], ids=lambda case: case.name)
def test_an_end_over_tls_that_is_not_announced(case: Case, pack: Pack, context: ssl.SSLContext, tmp_path: Path) -> None:
    words = "close_notify" if case.cut_kind else case.words
    cut = replace(case, kind=case.cut_kind or case.kind, words=words)
    check_over_tls(cut, pack, context, tmp_path / "r", is_cut_off=True)
