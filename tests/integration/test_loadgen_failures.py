"""Every error kind, produced by a server that really behaves so; and large bodies, in both directions."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from loadgen_servers import (
    GET,
    MS,
    OK,
    Serve,
    answering,
    answering_once,
    plan_for,
    read_request,
    reset,
    run_plan,
    serving,
    silent,
)

from servemark import _loadgen


def reset_after_request(connection: socket.socket) -> None:
    read_request(connection)
    reset(connection)


def reset_in_the_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
    time.sleep(0.05)
    reset(connection)


def stall_in_the_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
    silent(connection)


CASES: list[tuple[str, Serve, str, int, str, bytes]] = [
    ("reset", reset_after_request, "reset", 0, "reset by peer", b""),
    ("reset in the body", reset_in_the_body, "reset", 200, "reset by peer", b"part"),
    ("closed at once", answering_once(b""), "closed_early", 0, "before any byte", b""),
    ("closed in the head", answering_once(b"HTTP/1.1 200"), "closed_early", 0, "head", b""),
    (
        "closed in the body",
        answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        "closed_early",
        200,
        "5 bytes",
        b"half",
    ),
    (
        "closed before the last chunk",
        answering_once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        "closed_early",
        200,
        "last chunk",
        b"half",
    ),
    ("garbage", answering(b"220 smtp ready\r\n"), "protocol", 0, "does not begin with HTTP", b""),
    (
        "endless head",
        answering(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 1_000_000),
        "protocol",
        0,
        "64 KiB",
        b"",
    ),
    (
        "two lengths",
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        "protocol",
        0,
        "conflicting",
        b"",
    ),
    ("no answer", silent, "timeout", 0, "within 0.3 s", b""),
    ("stall", stall_in_the_body, "timeout", 200, "within 0.3 s", b"part"),
    (
        "busy",
        answering(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbus\r\n1\r\ny\r\n0\r\n\r\n"),
        "http_status",
        503,
        "status 503",
        b"busy",
    ),
]


@pytest.mark.parametrize(
    ("serve", "kind", "status", "words", "body"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_goes_wrong_is_a_record_of_its_kind(
    tmp_path: Path, serve: Serve, kind: str, status: int, words: str, body: bytes
) -> None:
    timeout_s = 0.3 if kind == "timeout" else 10.0
    with serving(serve) as server:
        ran = run_plan(plan_for(server.port, loops=2, timeout_s=timeout_s), tmp_path / "r")
        keeps_connection = kind == "http_status"
        assert server.accepted == (1 if keeps_connection else 2)
    assert ran.kinds == [kind, kind]
    assert ran.rows["status"].tolist() == [status, status]
    assert (ran.rows["sent"] >= 0).all()
    assert (ran.rows["bytes_sent"] == len(GET)).all()
    assert ran.flagged("opened") == [False, not keeps_connection]
    (example,) = ran.outcome.examples
    assert (example.kind, example.status, example.step, example.body) == (kind, status, 0, body)
    assert words in example.message
    assert example.seq == ran.rows["seq"][0]
    assert example.at_ns == ran.rows["end"][0]
    if kind == "timeout":
        assert (ran.rows["end"] - ran.rows["ready"] >= 300 * MS).all()


def test_a_refused_connection(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ran = run_plan(plan_for(unused.getsockname()[1], users=2, loops=2, steps=2), tmp_path / "r")
    assert ran.kinds == ["connect"] * 8
    for column in ("ready", "sent", "first_byte"):
        assert (ran.rows[column] == -1).all()
    assert "refused" in ran.outcome.examples[0].message


def test_a_connect_that_nobody_answers_times_out(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        ran = run_plan(plan_for(address[1], loops=1, connect_timeout_s=0.3), tmp_path / "r")
        for filler in fillers:
            filler.close()
    assert ran.kinds == ["timeout"]
    assert ran.rows["sent"].tolist() == [-1]
    assert ran.rows["end"][0] >= 300 * MS
    assert ran.outcome.examples[0].message == "the connect timed out, after 0.3 s"


def test_a_server_that_closes_each_connection_serves_every_request(tmp_path: Path) -> None:
    close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    with serving(answering_once(close)) as server:
        ran = run_plan(plan_for(server.port, users=2, loops=5), tmp_path / "r")
        assert server.accepted == 10
    assert ran.kinds == ["ok"] * 10
    assert sum(ran.flagged("opened")) == 8
    assert not any(ran.flagged("reconnected"))
    assert (ran.rows["connect_us"] > 0).all()


def test_a_body_that_ends_with_its_connection(tmp_path: Path) -> None:
    with serving(answering_once(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000)) as server:
        ran = run_plan(plan_for(server.port, loops=3), tmp_path / "r")
    assert ran.kinds == ["ok"] * 3
    assert (ran.rows["bytes_received"] == 200_019).all()


def test_a_second_answer_that_nobody_asked_for_ends_the_connection(tmp_path: Path) -> None:
    with serving(answering(OK + OK)) as server:
        ran = run_plan(plan_for(server.port, loops=3), tmp_path / "r")
        assert server.accepted == 3
    assert ran.kinds == ["ok"] * 3
    assert (ran.rows["bytes_received"] == len(OK)).all()


def test_an_answer_to_head_has_no_body(tmp_path: Path) -> None:
    wire = b"HEAD / HTTP/1.1\r\n\r\n"
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")) as server:
        ran = run_plan(plan_for(server.port, loops=3, wires=(wire,), head_only=True), tmp_path / "r")
        assert server.accepted == 1
    assert ran.kinds == ["ok"] * 3


def test_an_answer_in_single_bytes(tmp_path: Path) -> None:
    def dribble(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_request(connection):
            for byte in b"HTTP/1.1 103 Early\r\n\r\n" + OK:
                connection.send(bytes([byte]))

    with serving(dribble) as server:
        ran = run_plan(plan_for(server.port, loops=2), tmp_path / "r")
        assert server.accepted == 1
    assert ran.kinds == ["ok"] * 2


def large_request(body_bytes: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % body_bytes + b"x" * body_bytes


def test_a_large_request_reaches_a_slow_reader(tmp_path: Path) -> None:
    wire = large_request(5_000_000)
    counts: list[int] = []

    def read_slowly(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        time.sleep(0.1)
        count = 0
        while count < len(wire):
            received = connection.recv(256 * 1024)
            if not received:
                return
            count += len(received)
            time.sleep(0.001)
        counts.append(count)
        connection.sendall(OK)

    with serving(read_slowly) as server:
        ran = run_plan(plan_for(server.port, users=2, loops=1, wires=(wire,), timeout_s=20), tmp_path / "r")
    assert ran.kinds == ["ok"] * 2
    assert counts == [len(wire)] * 2
    assert (ran.rows["bytes_sent"] == len(wire)).all()
    assert not any(ran.flagged("cut_body"))


def test_an_answer_before_the_end_of_the_request(tmp_path: Path) -> None:
    wire = large_request(20_000_000)
    done = threading.Event()

    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        done.wait(10)
        reset(connection)

    with serving(refuse) as server:
        ran = run_plan(plan_for(server.port, loops=2, wires=(wire,)), tmp_path / "r")
        done.set()
    assert ran.kinds == ["http_status"] * 2
    assert ran.flagged("cut_body") == [True, True]
    assert (ran.rows["bytes_sent"] < len(wire)).all()
    assert ran.outcome.examples[0].body == b"big"


def test_a_64_mb_answer_takes_no_memory(tmp_path: Path) -> None:
    size = 64_000_000
    piece = bytes(1_000_000)

    def send_much(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(piece)):
                connection.sendall(piece)

    with serving(send_much) as server:
        run_plan(plan_for(server.port, loops=1), tmp_path / "warm")
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ran = run_plan(plan_for(server.port, loops=2, users=2), tmp_path / "r")
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert ran.kinds == ["ok"] * 4
    assert (ran.rows["bytes_received"] > size).all()
    assert grown_kib < 16 * 1024


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from loadgen_servers import S, OK, answering, plan_for, serving
        from servemark import _loadgen
        from servemark.records import open_records
        with serving(answering(OK)) as server:
            limit = 4096 + 88 * 100 + 17
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            run = _loadgen.start(plan_for(server.port, users=2, duration_s=60, threads=2), sys.argv[1])
            assert run.wait(20)
            outcome = run.finish()
            print(outcome.write_error)
            assert outcome.scheduling_ended_ns < 20 * S
            rows = open_records(Path(sys.argv[1])).memmap()
            assert len(rows) == 100, len(rows)
            assert (rows["status"] == 200).all()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "r")],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "File too large (os error 27)\n"


def test_a_file_that_cannot_be_created(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        _loadgen.start(plan_for(1, loops=1), str(tmp_path))


def test_the_kinds_are_the_documented_ones() -> None:
    assert _loadgen.ERROR_KINDS == (
        "ok",
        "connect",
        "tls",
        "timeout",
        "reset",
        "closed_early",
        "protocol",
        "http_status",
        "unexpected_status",
        "application",
        "cancelled",
    )
    assert _loadgen.RECORD_FLAGS == {"warmup": 1, "cut_body": 2, "opened": 4, "reconnected": 8}
