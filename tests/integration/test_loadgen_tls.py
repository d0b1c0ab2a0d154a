"""TLS: what is checked, what is not, and that bytes travel as over plain TCP."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from loadgen_servers import OK, Pause, Serve, answering, answering_once, plan_for, reset, run_plan, serving, silent

from servemark.records import open_records
from servemark.units import NS_PER_S
from servemark.workload.address import Tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a certificate for "test" that it signed, and one that signed itself."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    (folder / "names").write_text("subjectAltName=DNS:test,IP:127.0.0.1\n")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    openssl("req", *key[:-2], "-keyout", "signed.key", "-out", "signed.csr", "-subj", "/CN=test")
    issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "signed.csr", "-out", "signed.pem", *issue)
    own = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:test"]
    openssl("req", "-x509", *key, "-keyout", "own.key", "-out", "own.pem", *own)
    return folder


def over_tls(
    serve: Serve,
    folder: Path,
    name: str = "signed",
    version: ssl.TLSVersion | None = None,
    *,
    demands_certificate: bool = False,
) -> Serve:
    """`serve`, behind TLS with the certificate `name`; for clients with one of the authority's alone, if it demands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    context.set_alpn_protocols(["http/1.1"])
    if version is not None:
        context.maximum_version = version

    if demands_certificate:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    def wrapped(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            serve(secure)

    return wrapped


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_handshakes_come_before_the_start(tmp_path: Path, certificates: Path, version: ssl.TLSVersion) -> None:
    tls = Tls("test", verify=True, ca_pem=(certificates / "ca.pem").read_bytes())
    with serving(over_tls(answering(OK), certificates, version=version)) as server:
        ran = run_plan(plan_for(server.port, users=4, loops=25, threads=2, tls=tls), tmp_path / "r")
        assert server.accepted == 4
    assert ran.kinds == ["ok"] * 100
    first = ran.rows["tls_us"] > 0
    assert first.sum() == 4
    assert (first == (ran.rows["connect_us"] > 0)).all()
    assert (ran.rows["flags"][first] & ran.file.flags["opened"] == 0).all()
    assert (ran.rows["bytes_received"] == len(OK)).all()


@pytest.mark.parametrize(
    ("name", "trusted", "server_name", "works"),
    [
        ("signed", "ca", "test", True),
        ("signed", "ca", "127.0.0.1", True),
        ("signed", "ca", "other", False),
        ("signed", "own", "test", False),
        ("own", "own", "test", True),
        ("own", "own", "other", False),
        ("own", "ca", "test", False),
    ],
)
def test_a_certificate_must_lead_to_a_trusted_one_and_bear_the_name(
    tmp_path: Path, certificates: Path, name: str, trusted: str, server_name: str, works: bool
) -> None:
    tls = Tls(server_name, verify=True, ca_pem=(certificates / f"{trusted}.pem").read_bytes())
    with serving(over_tls(answering(OK), certificates, name)) as server:
        ran = run_plan(plan_for(server.port, loops=2, tls=tls), tmp_path / "r")
    assert ran.kinds == (["ok"] if works else ["tls"]) * 2
    if not works:
        assert (ran.rows["sent"] == -1).all()
        assert "certificate" in ran.outcome.examples[0].message


def test_without_verification_any_certificate_will_do(tmp_path: Path, certificates: Path) -> None:
    with serving(over_tls(answering(OK), certificates, "own")) as server:
        plan = plan_for(server.port, users=2, loops=3, tls=Tls("elsewhere", verify=False))
        ran = run_plan(plan, tmp_path / "r")
    assert ran.kinds == ["ok"] * 6


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("shown", "works"), [("signed", True), ("own", False), (None, False)])
def test_a_server_that_demands_a_certificate_gets_the_clients(
    tmp_path: Path, certificates: Path, version: ssl.TLSVersion, shown: str | None, works: bool
) -> None:
    certificate, key = ((certificates / f"{shown}.{kind}").read_bytes() if shown else b"" for kind in ("pem", "key"))
    tls = Tls("test", verify=False, client_cert_pem=certificate, client_key_pem=key)
    serve = over_tls(answering(OK), certificates, version=version, demands_certificate=True)
    with serving(serve) as server:
        ran = run_plan(plan_for(server.port, users=2, loops=3, tls=tls), tmp_path / "r")
    if works:
        assert ran.kinds == ["ok"] * 6
    else:
        assert set(ran.kinds) <= {"tls", "reset", "closed_early"}
        assert set(ran.kinds) & {"tls"}


def test_a_server_that_does_not_speak_tls(tmp_path: Path) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 smtp ready\r\n")
        silent(connection)

    with serving(greet) as server:
        ran = run_plan(plan_for(server.port, loops=2, tls=Tls("test", verify=False)), tmp_path / "r")
    assert ran.kinds == ["tls"] * 2


def test_a_connection_that_breaks_in_the_handshake(tmp_path: Path) -> None:
    with serving(reset) as server:
        ran = run_plan(plan_for(server.port, loops=2, tls=Tls("test", verify=False)), tmp_path / "r")
    assert len(ran.kinds) == 2
    assert set(ran.kinds) <= {"tls", "connect"}
    assert (ran.rows["sent"] == -1).all()


def test_a_handshake_that_nobody_answers_times_out(tmp_path: Path) -> None:
    with serving(silent) as server:
        plan = plan_for(server.port, loops=1, connect_timeout_s=0.2, tls=Tls("test", verify=False))
        ran = run_plan(plan, tmp_path / "r")
    assert ran.kinds == ["timeout"]
    assert ran.outcome.examples[0].message == "the connect timed out in the TLS handshake, after 0.2 s"
    assert ran.rows["connect_us"][0] > 0


def test_large_bodies_both_ways(tmp_path: Path, certificates: Path) -> None:
    body = 3_000_000
    wire = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % body + b"x" * body
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body + b"y" * body

    def exchange(connection: socket.socket) -> None:
        while True:
            left = len(wire)
            while left:
                received = connection.recv(65536)
                if not received:
                    return
                left -= len(received)
            connection.sendall(response)

    with serving(over_tls(exchange, certificates)) as server:
        plan = plan_for(server.port, users=2, loops=2, wires=(wire,), tls=Tls("test", verify=False))
        ran = run_plan(plan, tmp_path / "r")
    assert ran.kinds == ["ok"] * 4
    assert (ran.rows["bytes_sent"] == len(wire)).all()
    assert (ran.rows["bytes_received"] == len(response)).all()


def test_an_idle_tls_connection_that_the_server_closed_is_replaced(tmp_path: Path, certificates: Path) -> None:
    pause = Pause()
    with serving(pause.behind(over_tls(answering_once(OK), certificates))) as server:
        ran = pause.run(plan_for(server.port, loops=3, tls=Tls("test", verify=False)), tmp_path / "r")
    assert ran.kinds == ["ok"] * 3
    assert ran.flagged("reconnected") == [False, True, True]


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for tls in (
        Tls("not a name!", verify=False),
        Tls("test", verify=True, ca_pem=b""),
        Tls("test", verify=False, client_cert_pem=b"-", client_key_pem=b"-"),
        Tls("test", verify=True, ca_pem=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            run_plan(plan_for(1, loops=1, tls=tls), tmp_path / "r")


@pytest.mark.parametrize("body_bytes", [2, 3_000, 40_000])
def test_an_answer_that_nobody_asked_for_in_a_record_of_its_own(
    tmp_path: Path, certificates: Path, body_bytes: int
) -> None:
    asked_for = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (body_bytes, b"x" * body_bytes)

    def answer_twice(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.sendall(asked_for)
            connection.sendall(OK)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with serving(over_tls(answer_twice, certificates)) as server:
        plan = plan_for(server.port, loops=3, tls=Tls("test", verify=False))
        ran = run_plan(plan, tmp_path / "r")
        assert server.accepted == 3
    assert ran.kinds == ["ok"] * 3
    assert (ran.rows["bytes_received"] == len(asked_for)).all()


_TOGETHER, _STOPPED_S = 16, 0.3


class _HeldHandshakes:
    """A server's side of TLS: of all connections but the first it sends its part of the handshake when told.

    Each answers one request, when all but the first have one: none that became free sooner would be sent another's.
    The first answers after all others have.
    """

    def __init__(self, folder: Path) -> None:
        self.all_there, self.told, self.all_sent = (threading.Event() for _ in range(3))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "signed.pem", folder / "signed.key")
        self._numbers = itertools.count()
        self._there, self._sent, self._asked = (threading.Barrier(_TOGETHER) for _ in range(3))
        self._answered = threading.Barrier(_TOGETHER + 1)

    def serve(self, connection: socket.socket) -> None:
        is_first = next(self._numbers) == 0
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        if not is_first:
            self._there.wait(10)
            self.all_there.set()
            self.told.wait(10)
        connection.sendall(outgoing.read())
        if not is_first:
            self._sent.wait(10)
            self.all_sent.set()
        while True:
            incoming.write(connection.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                tls.read(65536)
                break
        (self._answered if is_first else self._asked).wait(10)
        tls.write(OK)
        connection.sendall(outgoing.read())
        if not is_first:
            self._answered.wait(10)
        connection.recv(1)


_OPEN_AT_ONCE = f"""
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from test_loadgen_open_loop import arriving, plan_for, run_plan
from servemark.workload.address import Tls
arrivals = arriving(1e6, count={_TOGETHER + 1}, max_connections=100)
ran = run_plan(plan_for(int(sys.argv[2]), arrivals=arrivals, tls=Tls("test", verify=False)), pathlib.Path(sys.argv[3]))
assert set(ran.kinds) == {{"ok"}}, ran.outcome.examples[0].message
"""


def test_handshakes_that_wait_for_each_other_are_the_generators_lag(tmp_path: Path, certificates: Path) -> None:
    handshakes = _HeldHandshakes(certificates)
    with serving(handshakes.serve) as server:
        words = (str(Path(__file__).parent), str(server.port), str(tmp_path / "r"))
        generator = subprocess.Popen([sys.executable, "-c", _OPEN_AT_ONCE, *words])
        try:
            assert handshakes.all_there.wait(20)
            # What the server sends while it is stopped comes to it in one wait.
            generator.send_signal(signal.SIGSTOP)
            os.waitpid(generator.pid, os.WUNTRACED)
            handshakes.told.set()
            assert handshakes.all_sent.wait(10)
            time.sleep(_STOPPED_S)
        finally:
            generator.send_signal(signal.SIGCONT)
            assert generator.wait(20) == 0
    rows = np.array(open_records(tmp_path / "r").memmap())
    opened = np.sort(rows[rows["flags"] & 4 > 0], order="sent")
    assert len(opened) == _TOGETHER
    lag_ns = opened["sent"] - opened["ready"]
    assert (lag_ns > _STOPPED_S / 2 * NS_PER_S).all(), "it came when the generator could not see it"
    # Each waited from when all were told of until the one before it was sent, which is later than when the first was.
    assert (lag_ns[1:] >= opened["sent"][:-1] - opened["sent"][0]).all()
