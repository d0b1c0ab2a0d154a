"""The handshake before a run is the engine's own: what it takes the run takes, and what it refuses it says in words."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from loadgen_servers import OK, Serve, answering, plan_for, reset, run_plan, serving, silent
from tls_servers import make_certificate, openssl, server_context

from servemark import _loadgen
from servemark.errors import UnreachableError, UsageError
from servemark.servers.http.handshake import refusal, shake_hands, shake_hands_for_jmeter
from servemark.workload.address import Address, Tls

VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name
)
UNCHECKED = Tls("test", verify=False)
P256 = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates of many kinds: all but `plain` are none that ring could check."""
    folder = tmp_path_factory.mktemp("kinds")
    make_certificate(folder, "plain", *P256)
    make_certificate(folder, "rsa", "rsa:2048")
    make_certificate(folder, "rsa1024", "rsa:1024")
    make_certificate(folder, "sha1", "rsa:2048", "-sha1")
    make_certificate(folder, "p521", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1")
    make_certificate(folder, "ed448", "ed448")
    # Without extensions a certificate is of version 1.
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "v1.key", "-out", "v1.csr", "-subj", "/CN=test")
    openssl(folder, "x509", "-req", "-in", "v1.csr", "-signkey", "v1.key", "-days", "2", "-out", "v1.pem")
    assert b"Version: 1 (0x0)" in _text(folder / "v1.pem")
    return folder


def _text(certificate: Path) -> bytes:
    words = ["openssl", "x509", "-in", str(certificate), "-noout", "-text"]
    return subprocess.run(words, check=True, capture_output=True).stdout


def behind(serve: Serve, context: ssl.SSLContext) -> Serve:
    def wrapped(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secure:
            serve(secure)

    return wrapped


def at(port: int, tls: Tls = UNCHECKED) -> Address:
    return Address("test", "127.0.0.1", port, tls)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *((name, ssl.TLSVersion.TLSv1_2) for name in ("plain", "rsa", "rsa1024", "sha1", "v1")),
        *((name, ssl.TLSVersion.TLSv1_3) for name in ("plain", "rsa", "rsa1024", "sha1", "v1", "p521", "ed448")),
    ],
)
def test_nothing_is_checked_where_nothing_is_checked(
    tmp_path: Path, files: Path, name: str, version: ssl.TLSVersion
) -> None:
    context = server_context(files, name)
    context.maximum_version = version
    with serving(behind(answering(OK), context)) as server:
        shake_hands(at(server.port))
        ran = run_plan(plan_for(server.port, loops=2, tls=UNCHECKED), tmp_path / "r")
    assert ran.kinds == ["ok"] * 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v1", "is of another X.509 version than 3"),
        ("rsa1024", "certificate"),
        ("plain", "does not bear the name that was asked for"),
    ],
)
def test_what_a_check_finds_is_said_in_words(tmp_path: Path, files: Path, name: str, words: str) -> None:
    tls = Tls("test", verify=True, ca_pem=(files / "plain.pem").read_bytes() + (files / f"{name}.pem").read_bytes())
    with serving(behind(answering(OK), server_context(files, name))) as server:
        refused = refusal(at(server.port, tls))
        ran = run_plan(plan_for(server.port, loops=1, tls=tls), tmp_path / "r")
    assert refused
    assert refused.speaks_tls
    assert str(refused.error).startswith("the certificate of https://test")
    assert words in refused.error.cause
    assert ran.kinds == ["tls"]
    assert ran.outcome.examples[0].message == f"TLS handshake: {refused.error.cause}"


@pytest.mark.parametrize("ciphers", ["ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256"])
def test_a_server_without_a_cipher_of_ours_is_told_what_is_spoken(files: Path, ciphers: str) -> None:
    context = server_context(files, "rsa")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with serving(behind(answering(OK), context)) as server, pytest.raises(UnreachableError) as raised:
        shake_hands(at(server.port))
    said = str(raised.value)
    assert "the engine speaks TLS 1.2 and 1.3, each with AES-GCM or ChaCha20-Poly1305" in said
    assert "no CBC, no RSA or DHE key exchange" in said
    assert "have the server offer one of these" in said
    assert "client" not in said
    # JMeter may have it: its TLS is Java's.
    with serving(behind(answering(OK), context)) as server:
        shake_hands_for_jmeter(at(server.port))


@pytest.mark.parametrize("name", ["p521", "ed448"])
def test_a_key_that_is_not_to_be_had_with_tls_12(files: Path, name: str) -> None:
    context = server_context(files, name)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(behind(answering(OK), context)) as server:
        refused = refusal(at(server.port))
    assert refused
    assert "in TLS 1.2 no certificate with a P-521 or Ed448 key" in str(refused.error)


@VERSIONS
@pytest.mark.parametrize("shown", [None, "rsa"])
def test_a_demand_for_a_certificate_is_told_from_other_refusals(
    files: Path, version: ssl.TLSVersion, shown: str | None
) -> None:
    context = server_context(files, "plain")
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files / "plain.pem")
    pem, key = ((files / f"{shown}.{kind}").read_bytes() if shown else b"" for kind in ("pem", "key"))
    tls = Tls("test", verify=False, client_cert_pem=pem, client_key_pem=key)
    with serving(behind(answering(OK), context)) as server, pytest.raises(UnreachableError) as raised:
        shake_hands(at(server.port, tls))
    said = str(raised.value)
    assert ("does not accept the client certificate" if shown else "asked for a client certificate") in said
    assert "--client-cert" in said


@VERSIONS
def test_a_server_that_only_asks_for_a_certificate_gets_none(files: Path, version: ssl.TLSVersion) -> None:
    context = server_context(files, "plain")
    context.maximum_version = version
    context.verify_mode = ssl.CERT_OPTIONAL
    with serving(behind(answering(OK), context)) as server:
        shake_hands(at(server.port))


def _greet(connection: socket.socket) -> None:
    connection.sendall(b"220 smtp ready\r\n")
    silent(connection)


@pytest.mark.parametrize(
    ("serve", "within_s", "words"),
    [
        (_greet, 10.0, "what the server sent is not TLS"),
        (lambda connection: connection.recv(1 << 16), 10.0, "closed"),
        (reset, 10.0, "reset"),
        (silent, 0.3, "the server did not finish it in time"),
    ],
    ids=["greets", "closes", "resets", "says_nothing"],
)
def test_what_speaks_no_tls(serve: Serve, within_s: float, words: str) -> None:
    with serving(serve) as server:
        failure = _loadgen.tls_handshake(at(server.port), within_s)
    assert failure
    assert failure.cause == "other"
    assert words in failure.message


def test_what_speaks_no_tls_is_nothing_for_jmeter_either() -> None:
    with serving(_greet) as server, pytest.raises(UnreachableError, match="check that it speaks https"):
        shake_hands_for_jmeter(at(server.port))


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("rsa", "plain", "client certificate: the key does not belong to it"),
        ("plain", "rsa", "client certificate: the key does not belong to it"),
        ("rsa1024", "rsa1024", "client key: of a kind that cannot sign here; keys are RSA of 2,048 to 4,096 bits"),
        ("p521", "p521", "client key: of a kind that cannot sign here; keys are RSA"),
    ],
)
def test_a_key_that_cannot_be_used_is_said_before_anything_is_sent(
    files: Path, certificate: str, key: str, words: str
) -> None:
    pem, key_pem = (files / f"{certificate}.pem").read_bytes(), (files / f"{key}.key").read_bytes()
    with pytest.raises(UsageError) as raised:
        shake_hands(at(1, Tls("test", verify=False, client_cert_pem=pem, client_key_pem=key_pem)))
    assert words in str(raised.value)


def test_an_address_without_tls_has_no_handshake() -> None:
    with pytest.raises(ValueError, match="does not speak TLS"):
        _loadgen.tls_handshake(Address("test", "127.0.0.1", 1), 1.0)
