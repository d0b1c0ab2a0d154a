"""TLS connections that end badly: what came before counts, however the network cut it, and nothing else does."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loadgen_servers import OK, Pause, Serve, plan_for, reset, run_plan, serving, silent
from tls_servers import Channel, make_certificate, over_channel, server_context

from servemark.workload.address import Tls

UNCHECKED = Tls("test", verify=False)
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
TOO_LARGE_UNTIL_CLOSE = b"HTTP/1.1 413 Too Large\r\n\r\nbig"
#: A record that no key opens.
FORGED = b"\x17\x03\x03\x00\x20" + bytes(32)


@pytest.fixture(scope="module", params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda one: one.name)
def context(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("certificate")
    make_certificate(folder, "own", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    made = server_context(folder, "own")
    made.maximum_version = request.param
    return made


Cut = Callable[[bytes, bytes], list[bytes]]


def together(first: bytes, second: bytes) -> list[bytes]:
    return [first + second]


def apart(first: bytes, second: bytes) -> list[bytes]:
    return [first, second]


def byte_by_byte(first: bytes, second: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in first + second]


def ending(response: bytes, end: Callable[[Channel], bytes], cut: Cut, context: ssl.SSLContext) -> Serve:
    """Answer with `response` and `end` behind it, cut as `cut` says."""

    def serve(channel: Channel) -> None:
        while channel.read_request():
            for packet in cut(channel.sealed(response), end(channel)):
                channel.connection.sendall(packet)
            silent(channel.connection)

    return over_channel(serve, context)


@pytest.mark.parametrize("cut", [together, apart, byte_by_byte])
@pytest.mark.parametrize("end", [Channel.alert, lambda _: FORGED], ids=["alert", "forged"])
@pytest.mark.parametrize("response", [HALF, UNTIL_CLOSE], ids=["half", "until_close"])
def test_what_came_before_a_broken_record_is_in_the_record(
    tmp_path: Path, context: ssl.SSLContext, response: bytes, end: Callable[[Channel], bytes], cut: Cut
) -> None:
    with serving(ending(response, end, cut, context)) as server:
        ran = run_plan(plan_for(server.port, loops=2, tls=UNCHECKED), tmp_path / "r")
    assert ran.kinds == ["tls"] * 2
    assert ran.rows["status"].tolist() == [200] * 2
    assert ran.rows["bytes_received"].tolist() == [len(response)] * 2
    assert ran.outcome.examples[0].body == response.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("cut", [together, apart, byte_by_byte])
@pytest.mark.parametrize("end", [Channel.alert, lambda _: FORGED], ids=["alert", "forged"])
def test_a_whole_answer_stays_one_when_its_connection_breaks_behind_it(
    tmp_path: Path, context: ssl.SSLContext, end: Callable[[Channel], bytes], cut: Cut
) -> None:
    pause = Pause()
    with serving(pause.behind(ending(OK, end, cut, context))) as server:
        ran = pause.run(plan_for(server.port, loops=2, tls=UNCHECKED), tmp_path / "r")
        assert server.accepted == 2
    assert ran.kinds == ["ok"] * 2
    assert ran.rows["bytes_received"].tolist() == [len(OK)] * 2


#: Runs a plan in a program that does not ignore SIGPIPE, and prints what became of its requests.
_CLIENT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
sys.path.insert(0, sys.argv[1])
from loadgen_servers import plan_for, run_plan
from servemark.workload.address import Tls
wire = b"POST / HTTP/1.1\\r\\nHost: test\\r\\nContent-Length: 20000000\\r\\n\\r\\n" + bytes(20_000_000)
ran = run_plan(plan_for(int(sys.argv[2]), loops=1, wires=(wire,), tls=Tls("test", verify=False)), Path(sys.argv[3]))
print(*ran.kinds, *ran.rows["status"].tolist())
"""


@pytest.mark.parametrize(
    ("answer", "is_announced", "expected"),
    [
        (TOO_LARGE, False, {"http_status 413"}),
        (TOO_LARGE_UNTIL_CLOSE, True, {"http_status 413"}),
        (b"", False, {"reset 0", "closed_early 0"}),  # by whether it was stopped while it wrote or while it read
    ],
    ids=["with_length", "until_close", "none"],
)
def test_an_answer_counts_although_the_rest_of_the_body_cannot_be_written(
    tmp_path: Path, context: ssl.SSLContext, answer: bytes, is_announced: bool, expected: set[str]
) -> None:
    is_started, clients = threading.Event(), []

    def refuse(channel: Channel) -> None:
        """Answer, close and break the connection while the client is stopped, which then finds all of it at once."""
        channel.connection.recv(1)
        is_started.wait(10)
        client = clients[0].pid
        os.kill(client, signal.SIGSTOP)
        os.waitpid(client, os.WUNTRACED)
        if answer:
            channel.connection.sendall(channel.sealed(answer) + (channel.farewell() if is_announced else b""))
        channel.connection.shutdown(socket.SHUT_WR)
        reset(channel.connection)
        time.sleep(0.05)
        os.kill(client, signal.SIGCONT)

    with serving(over_channel(refuse, context)) as server:
        words = [sys.executable, "-c", _CLIENT, str(Path(__file__).parent), str(server.port), str(tmp_path / "r")]
        client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        clients.append(client)
        is_started.set()
        try:
            said, _ = client.communicate(timeout=30)
        finally:
            client.kill()
    assert client.returncode == 0
    assert said.strip() in expected
