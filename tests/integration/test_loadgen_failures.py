"""Every error kind, produced by a server that really behaves so; and large bodies, in both directions."""

from __future__ import annotations

import itertools
import queue
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from generator_process import in_a_process
from loadgen_servers import (
    GET,
    MS,
    OK,
    Pause,
    Ran,
    Records,
    Serve,
    answering,
    answering_once,
    in_time,
    plan_for,
    read_request,
    request_of,
    reset,
    run_plan,
    serving,
    silent,
)

from servemark import _loadgen
from servemark.workload.engine_plan import EngineGroup, EngineStep


def reset_after_request(connection: socket.socket) -> None:
    read_request(connection)
    reset(connection)


def stall_in_the_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
    silent(connection)


#: How servers fail by what they do; by what they send: test_loadgen_responses.
CASES: list[tuple[str, Serve, str, int, str, bytes]] = [
    ("reset", reset_after_request, "reset", 0, "reset by peer", b""),
    ("stall", stall_in_the_body, "timeout", 200, "within {timeout_s:g} s", b"part"),
]


@pytest.mark.parametrize(
    ("serve", "kind", "status", "words", "body"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_goes_wrong_is_a_record_of_its_kind(
    tmp_path: Path, serve: Serve, kind: str, status: int, words: str, body: bytes
) -> None:

    tried_s: list[float] = []

    def run(timeout_s: float) -> Ran:
        tried_s.append(timeout_s)
        with serving(serve) as server:
            ran = run_plan(plan_for(server.port, loops=2, timeout_s=timeout_s), tmp_path / "r")
            assert server.accepted == 2
        return ran

    is_timeout = kind == "timeout"
    ran = in_time(run, lambda ran: bool((ran.rows["status"] == status).all()), 0.3 if is_timeout else 10.0)
    assert ran.kinds == [kind, kind]
    assert ran.rows["status"].tolist() == [status, status]
    assert (ran.rows["sent"] >= 0).all()
    assert (ran.rows["bytes_sent"] == len(GET)).all()
    assert ran.flagged("opened") == [False, True]
    (example,) = ran.outcome.examples
    assert (example.kind, example.status, example.step, example.body) == (kind, status, 0, body)
    assert words.format(timeout_s=tried_s[-1]) in example.message
    assert example.seq == ran.rows["seq"][0]
    assert example.at_ns == ran.rows["end"][0]
    if is_timeout:
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


def test_an_answer_that_nobody_asked_for_ends_an_idle_connection(tmp_path: Path) -> None:
    pause = Pause()

    def answer_again_later(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(OK)
            pause.wait_begun()
            connection.sendall(OK)

    with serving(pause.behind(answer_again_later)) as server:
        ran = pause.run(plan_for(server.port, loops=2), tmp_path / "r")
        assert server.accepted == 2
    assert ran.kinds == ["ok"] * 2
    assert ran.flagged("reconnected") == [False, True]


@pytest.mark.parametrize("behind", [b"", b"H", OK * 2000], ids=len)
def test_nothing_is_sent_before_what_lies_behind_an_answer_is_seen(tmp_path: Path, behind: bytes) -> None:
    """The answer just fills the buffer that it is read into."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body_bytes = 65536 - len(head % 65000)
    answer = head % body_bytes + b"x" * body_bytes

    def answer_at_once(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        while read_request(connection):
            # In two pieces, so that no packet ends with the answer: what lies behind it comes with it.
            connection.sendall(answer[:1000])
            connection.sendall(answer[1000:] + behind)

    with serving(answer_at_once) as server:
        ran = run_plan(plan_for(server.port, loops=20), tmp_path / "r")
        assert server.accepted == (20 if behind else 1)
    assert ran.kinds == ["ok"] * 20
    assert (ran.rows["bytes_received"] == 65536).all()


def test_an_answer_while_the_next_request_is_sent_ends_the_connection(tmp_path: Path) -> None:
    wire = large_request(20_000_000)
    requests: list[int] = []

    def answer_early(connection: socket.socket) -> None:
        requests.append(0)
        while connection.recv(1000):
            requests[-1] += 1
            connection.sendall(OK + OK)
            time.sleep(0.2)

    with serving(answer_early) as server:
        ran = run_plan(plan_for(server.port, loops=3, wires=(wire,)), tmp_path / "r")
        assert server.accepted == 3
    assert ran.kinds == ["ok"] * 3
    assert ran.flagged("cut_body") == [True] * 3
    assert (ran.rows["bytes_received"] == len(OK)).all()


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


def much(megabytes: int, *, chunked: bool) -> Iterator[bytes]:
    """The pieces of a large answer."""
    piece = bytes(1_000_000)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (megabytes * len(piece))
    framed = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    yield b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    yield from itertools.repeat(framed, megabytes)
    yield b"0\r\n\r\n" if chunked else b""


def sending_much(*, chunked: bool) -> Serve:
    """Answer each request with 64 MB."""

    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            for piece in much(64, chunked=chunked):
                connection.sendall(piece)

    return serve


MUCH = b"GET /much HTTP/1.1\r\n\r\n"


def most_kib() -> int:
    """The most memory that this process has had."""
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(most)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_64_mb_answer_takes_no_memory(tmp_path: Path, chunked: bool) -> None:
    with serving(sending_much(chunked=chunked)) as server:
        run_plan(plan_for(server.port, loops=1, wires=(MUCH,)), tmp_path / "warm")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # what was the most before counts no more
        before_kib = most_kib()
        ran = run_plan(plan_for(server.port, loops=2, users=2, wires=(MUCH,)), tmp_path / "r")
        grown_kib = most_kib() - before_kib
    assert ran.kinds == ["ok"] * 4
    assert (ran.rows["bytes_received"] > 64_000_000).all()
    assert grown_kib < 16 * 1024


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_answer_delays_no_other(tmp_path: Path, chunked: bool) -> None:
    """Two large ones and then a small one lie there together: the generator is stopped while they are sent.

    Its connections have brought as much before, so that they take it.
    """
    asked: queue.SimpleQueue[tuple[bytes, socket.socket]] = queue.SimpleQueue()
    is_sent = threading.Event()

    def hand_over(connection: socket.socket) -> None:
        request = read_request(connection)
        if request == MUCH:
            connection.sendall(answer)
            read_request(connection)
        asked.put((request, connection))
        is_sent.wait(20)
        answering(OK)(connection)

    answer = b"".join(much(4, chunked=chunked))
    with serving(hand_over) as server:
        plan = plan_for(server.port, loops=2, users=2, wires=(MUCH,))
        small = EngineStep("small", 0, (request_of(GET),))
        beside = EngineGroup((1,), users=1, loops=0, duration_ns=0, ramp_ns=0, think_ns=0, background=True)
        plan = replace(plan, steps=(*plan.steps, small), groups=(*plan.groups, beside))
        with in_a_process(plan, tmp_path / "r") as generator:
            by_request = [asked.get(timeout=20) for _ in range(3)]
            large = [connection for request, connection in by_request if request == MUCH]
            (of_small,) = (connection for request, connection in by_request if request != MUCH)
            with generator.stopped():
                left = [(one, answer[one.send(answer, socket.MSG_DONTWAIT) :]) for one in large]
                of_small.sendall(OK)
            for one, rest in left:
                one.sendall(rest)
            is_sent.set()
            generator.finish()
    ran = Records(tmp_path / "r")
    assert set(ran.kinds) == {"ok"}
    # In the order in which they were read: 64 KiB at a time, so that the small one has its turn before their end.
    assert ran.file.memmap()["step"][:3].tolist() == [0, 0, 1]


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from loadgen_servers import S, OK, answering, plan_for, serving
        from servemark import _loadgen
        from servemark.records import open_records
        with serving(answering(OK)) as server:
            limit = 4096 + _loadgen.RECORD_ROW_BYTES * 100 + 17
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
        "local",
    )
    assert _loadgen.RECORD_FLAGS == {
        "warmup": 1,
        "cut_body": 2,
        "opened": 4,
        "reconnected": 8,
        "streamed": 16,
        "closed_loop": 32,
        "clock_read": 64,
        "unsure_sent": 128,
    }
