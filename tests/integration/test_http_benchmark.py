"""``run http`` from the command line to the result, against real sockets that keep all that comes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from loadgen_servers import Server, serving
from tls_servers import make_certificate, openssl, server_context

import servemark
from servemark.cli import main
from servemark.result import schema_text
from servemark.runner import measuring
from servemark.servers.http import plain
from servemark.workload import inputs

from ..processes import wait_until
from ..validity import status_but_for_the_machine

SECRET = "s3cr3t-with-a-tail"


@dataclass
class Came:
    """What came to a server: requests whole, and the servers' own names that TLS clients asked for."""

    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def heads(self) -> set[bytes]:
        return {request.partition(b"\r\n\r\n")[0] for request in self.requests}

    @property
    def bodies(self) -> set[bytes]:
        return {request.partition(b"\r\n\r\n")[2] for request in self.requests}


def keeping(came: Came, status: int = 200, *, echo: bool = False) -> Callable[[socket.socket], None]:
    """Keep each request in `came`, and answer it with `status`; with `echo` its body is the request."""

    def serve(connection: socket.socket) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                received = connection.recv(65536)
                if not received:
                    return
                buffer += received
            head, _, rest = buffer.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", b"0"))
            while len(rest) < length:
                rest += connection.recv(65536)
            request, buffer = head + b"\r\n\r\n" + rest[:length], rest[length:]
            with came.lock:
                came.requests.append(request)
            body = b"you sent " + request if echo else b"ok"
            connection.sendall(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    return serve


@contextlib.contextmanager
def endpoint(status: int = 200, *, echo: bool = False, ip: str = "127.0.0.1") -> Iterator[tuple[Server, Came]]:
    came = Came()
    with serving(keeping(came, status, echo=echo), ip=ip) as server:
        yield server, came


@dataclass
class Done:
    """One call of the command line: its status, its result, and what it printed."""

    status: int
    result: dict[str, Any]
    out: str
    err: str
    folder: Path

    @property
    def benchmark(self) -> dict[str, Any]:
        return self.result["benchmarks"][0]

    @property
    def step(self) -> dict[str, Any]:
        (step,) = self.benchmark["steps"]
        return step


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> Done:
        folder = tmp_path / "result"
        status = main(["run", "http", "-o", str(folder), "--force", *words])
        printed = capsys.readouterr()
        text = (folder / "result.json").read_text() if (folder / "result.json").exists() else "{}"
        # What is sent is at issue here; on a busy machine the generator may be late.
        status = status_but_for_the_machine(status, json.loads(text))
        return Done(status, json.loads(text), printed.out, printed.err, folder)

    return call


def test_it_sends_the_plans_requests_and_nothing_else(run: Run) -> None:
    with endpoint() as (server, came):
        done = run("--url", f"http://127.0.0.1:{server.port}/a?b=%20#part", "-t", "3", "-l", "4")
        assert server.accepted >= 4, "three users, and a look whether it is there"
    assert done.status == 0
    assert came.requests == [
        b"GET /a?b=%%20 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: servemark\r\n\r\n" % server.port
    ] * (3 * 4)
    assert (done.step["requests"], done.step["succeeded"]) == (12, 12)
    jsonschema.validate(done.result, json.loads(schema_text()))


@pytest.mark.seconds
def test_a_look_whether_it_lives_sends_nothing_while_it_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_LOOK_AT_SERVER_EVERY_S", 0.0)
    monkeypatch.setattr(plain, "_WATCH_SHARE", math.inf)
    with endpoint() as (server, came):
        done = run("--url", f"http://127.0.0.1:{server.port}/", "-t", "1", "--duration", "1.5", "--warmup", "0")
        wait_until(lambda: server.accepted > 4)  # one look before it, and the user
    assert done.step["requests"] == len(came.requests)


def test_the_result_names_the_endpoint_and_no_model(run: Run) -> None:
    with endpoint() as (server, _):
        place = f"127.0.0.1:{server.port}"
        done = run("--url", f"http://{place}/x", "-l", "2")
    benchmark = done.benchmark
    assert (benchmark["name"], benchmark["model"], benchmark["cold_start_ms"]) == ("http", None, None)
    assert benchmark["options"]["url"] == f"http://{place}/x"
    assert (benchmark["options"]["method"], benchmark["options"]["threads"]) == ("GET", 50)
    assert (benchmark["options"]["input_count"], benchmark["options"]["input_sha256"]) == (0, None)
    assert done.result["server"]["product"] == "HTTP endpoint"
    (unchanged,) = [check for check in benchmark["certificate"]["checks"] if check["name"] == "server unchanged"]
    assert unchanged["passed"] is None
    assert "alive" in unchanged["reason"]
    assert f"http {place}: " in done.out
    assert f"GET http://{place}/x" in done.out
    for name in ("summary.csv", "requests.jtl", "server/server.json"):
        assert (done.folder / name).stat().st_size
    assert servemark.open_records(done.folder / benchmark["runs"][0]["records"]).rows == 100


def test_by_itself_the_folder_is_named_after_the_host(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with endpoint() as (server, _):
        status = main(["run", "http", "--url", f"http://127.0.0.1:{server.port}", "-l", "1", "-t", "1"])
    folder = (tmp_path / "servemark-results" / "latest").resolve()
    assert status_but_for_the_machine(status, json.loads((folder / "result.json").read_text())) == 0
    assert folder.name.endswith(f"Z-http-127.0.0.1_{server.port}")


@pytest.mark.parametrize(
    ("words", "line", "kind"),
    [
        ((), b"POST /x HTTP/1.1", b"Content-Type: application/json"),
        (("--method", "put"), b"PUT /x HTTP/1.1", b"Content-Type: application/json"),
        (("--method", "GET"), b"GET /x HTTP/1.1", b"Content-Type: application/json"),
        (("--content-type", "a/b"), b"POST /x HTTP/1.1", b"Content-Type: a/b"),
        (("-H", "content-type: c/d"), b"POST /x HTTP/1.1", b"content-type: c/d"),
    ],
)
def test_a_body_is_posted_unless_another_method_is_given(
    run: Run, tmp_path: Path, words: tuple[str, ...], line: bytes, kind: bytes
) -> None:
    (tmp_path / "body.json").write_bytes(b'{"a": 1}')
    with endpoint() as (server, came):
        url = f"http://127.0.0.1:{server.port}/x"
        run("--url", url, "--body-file", str(tmp_path / "body.json"), "-l", "2", "-t", "1", *words)
    (head,) = came.heads
    assert head.split(b"\r\n")[0] == line
    assert kind in head.split(b"\r\n")
    assert b"Content-Length: 8" in head.split(b"\r\n")
    assert head.lower().count(b"content-type") == 1
    assert came.bodies == {b'{"a": 1}'}


def test_bodies_are_drawn_by_the_seed_from_files_folders_and_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").write_bytes(b"[1]\n\n[2]\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "large").write_bytes(b"x" * 300_000)
    sent = []
    with endpoint() as (server, came):
        for seed in ("1", "1", "2"):
            came.requests.clear()
            paths = ("--body-file", str(tmp_path / "lines.jsonl"), "--body-file", str(tmp_path / "folder"))
            url = f"http://127.0.0.1:{server.port}/"
            done = run("--url", url, *paths, "-t", "1", "-l", "30", "--seed", seed)
            assert done.status == 0
            sent.append([request.partition(b"\r\n\r\n")[2] for request in came.requests])
    assert set(sent[0]) == {b"[1]", b"[2]", b"x" * 300_000}
    assert sent[0] == sent[1] != sent[2]
    options = done.benchmark["options"]
    assert options["input_count"] == 3
    assert options["input_sha256"] == hashlib.sha256(b"[1][2]" + b"x" * 300_000).hexdigest()


def test_ipv6_and_an_open_loop(run: Run) -> None:
    with endpoint(ip="::1") as (server, came):
        done = run("--url", f"http://[::1]:{server.port}/", "--rate", "200", "-l", "40")
    assert done.status == 0
    assert len(came.requests) == done.step["requests"] == 40
    assert done.benchmark["runs"][0]["load"]["kind"] == "open"
    assert f"Host: [::1]:{server.port}".encode() in came.requests[0].split(b"\r\n")


def test_the_status_that_is_expected_is_the_success(run: Run) -> None:
    with endpoint(404) as (server, _):
        words = ("--url", f"http://127.0.0.1:{server.port}/", "-t", "1", "-l", "5")
        plain, expecting = run(*words), run(*words, "--expect-status", "404")
    assert (plain.status, plain.step["errors"]) == (4, {"http_status:404": 5})
    assert (expecting.status, expecting.step["succeeded"]) == (0, 5)
    with endpoint() as (server, _):
        other = run("--url", f"http://127.0.0.1:{server.port}/", "-t", "1", "-l", "5", "--expect-status", "201")
    assert (other.status, other.step["errors"]) == (4, {"unexpected_status:200": 5})


def test_connect_to_goes_elsewhere_with_the_host_of_the_url(run: Run) -> None:
    with endpoint() as (server, came):
        there = ("--connect-to", f"127.0.0.1:{server.port}", "-l", "1", "-t", "1")
        assert run("--url", "http://models.example/x", *there).status == 0
        assert run("--url", "http://models.example:81/x", *there).status == 0
    assert [request.split(b"\r\n")[1] for request in came.requests] == [
        b"Host: models.example",
        b"Host: models.example:81",
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:{free}/", "nobody answers at 127.0.0.1 port {free}: 127.0.0.1 port {free}: Connection ref"),
        ("http://nowhere.invalid/", "the host nowhere.invalid is not known"),
        ("https://127.0.0.1:{plain}/", "the TLS handshake with https://127.0.0.1:{plain} failed"),
    ],
)
def test_what_cannot_be_reached_is_said_before_anything_is_sent(run: Run, url: str, message: str) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.socket() as silent, serving(refuse) as plain:
        silent.bind(("127.0.0.1", 0))  # and keeps everybody else from listening there
        free = silent.getsockname()[1]
        done = run("--url", url.format(free=free, plain=plain.port), "-l", "1")
    assert done.status == 4
    assert message.format(free=free, plain=plain.port) in done.err


@pytest.mark.seconds
def test_an_endpoint_that_goes_away_ends_the_run(run: Run) -> None:
    came = Came()
    answer = keeping(came)
    with serving(lambda connection: answer(connection)) as server:

        def close_when_measured() -> None:
            while len(came.requests) < 20:
                time.sleep(0.01)
            server.close()

        closes = threading.Thread(target=close_when_measured, daemon=True)
        closes.start()
        done = run("--url", f"http://127.0.0.1:{server.port}/", "-t", "2", "--duration", "30", "--warmup", "0")
    assert not closes.is_alive()
    assert done.status == 4
    assert "the endpoint failed while it was measured" in done.err
    assert done.result["partial"]


# --- what others write ---


def test_its_url_may_stand_alone_and_its_body_come_from_standard_input(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs._standard_input.cache_clear()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hello\n\xff")))
    with endpoint() as (server, came):
        done = run(f"http://127.0.0.1:{server.port}/x", "--body-file", "-", "-l", "2", "-t", "1")
    inputs._standard_input.cache_clear()
    assert done.status == 0
    assert came.bodies == {b"hello\n\xff"}
    assert b"POST /x HTTP/1.1" in came.requests[0]
    assert b"Content-Type: application/octet-stream" in came.requests[0]
    digest = hashlib.sha256(b"hello\n\xff").hexdigest()
    assert (done.benchmark["options"]["input_count"], done.benchmark["options"]["input_sha256"]) == (1, digest)


def test_a_header_goes_out_in_utf_8(run: Run) -> None:
    with endpoint() as (server, came):
        done = run(f"http://127.0.0.1:{server.port}/", "-H", "X-Who: \xfc \u20ac", "-l", "1", "-t", "1")
    assert done.status == 0
    assert "X-Who: \xfc \u20ac".encode() in came.requests[0].split(b"\r\n")
    assert "X-Who: \xfc \u20ac" in done.result["command"]


@pytest.mark.parametrize(
    ("expect", "failed", "words"),
    [
        ("not:regex:^no", 0, ""),
        ("not:regex:o", 2, 'the regular expression "o" is found in the body of 2 bytes, at byte 0: "o"'),
        ("not:json:error", 2, "the body is no JSON"),
    ],
)
def test_what_must_not_be_in_a_body(run: Run, expect: str, failed: int, words: str) -> None:
    with endpoint() as (server, _):
        done = run(f"http://127.0.0.1:{server.port}/", "--expect", expect, "-l", "2", "-t", "1")
    assert done.status == (4 if failed else 0)
    assert done.step["errors"] == ({"application": failed} if failed else {})
    assert words in done.out.replace("\n", " ")


@contextlib.contextmanager
def listening(path: Path, came: Came) -> Iterator[None]:
    """A server at a Unix socket, one thread a connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(64)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                keeping(came)(connection)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def test_a_unix_socket_is_connected_to_and_the_host_stays_the_urls(run: Run, tmp_path: Path) -> None:
    came, path = Came(), tmp_path / "s"
    with listening(path, came):
        done = run("http://example.test/x", "--unix-socket", str(path), "-t", "3", "-l", "20")
    assert done.status == 0
    assert came.heads == {b"GET /x HTTP/1.1\r\nHost: example.test\r\nUser-Agent: servemark"}
    assert (done.step["requests"], done.step["succeeded"]) == (60, 60)
    assert done.result["server"]["unix_socket"] == str(path)
    assert "a Unix socket has no time of arrival" in done.benchmark["runs"][0]["load"]["receive_clock"]
    assert f"through {path}" in done.out.replace("\n", " ")
    jsonschema.validate(done.result, json.loads(schema_text()))


def test_a_unix_socket_at_which_nobody_listens_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
    done = run("http://h/", "--unix-socket", str(path), "-l", "1")
    assert done.status == 4
    assert f"nobody answers at the Unix socket {path}: Connection refused" in done.err


# --- secrets ---


def _nowhere(done: Done, *secrets: str) -> None:
    """None of `secrets` is in what was printed, or in any file of the result."""
    texts = {"stdout": done.out.encode(), "stderr": done.err.encode()}
    texts |= {str(path): path.read_bytes() for path in done.folder.rglob("*") if path.is_file()}
    assert len(texts) > 5
    for secret in secrets:
        found = [name for name, content in texts.items() if secret.encode() in content]
        assert not found, f"{secret} is in {found}"


def test_a_token_of_the_environment_is_sent_and_written_nowhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    with endpoint(500, echo=True) as (server, came):
        url = f"http://127.0.0.1:{server.port}/"
        done = run("--url", url, "-H", "Authorization: Bearer $TOKEN", "-l", "3", "-t", "1", "-v")
    assert f"Authorization: Bearer {SECRET}".encode() in came.requests[0].split(b"\r\n")
    _nowhere(done, SECRET)
    assert "Authorization: Bearer $TOKEN" in done.result["command"]
    assert "you sent GET / HTTP/1.1" in done.step["error_examples"][0]["body"]
    assert "***" in done.step["error_examples"][0]["body"]


@pytest.mark.parametrize(
    ("words", "secrets"),
    [
        (("-H", f"Authorization: Bearer {SECRET}"), (SECRET,)),
        ((f"-HX-Api-Key: {SECRET}",), (SECRET,)),
        ((f"--header=Cookie: session={SECRET}",), (SECRET,)),
    ],
)
def test_a_secret_that_is_written_out_is_masked_in_the_command(
    run: Run, words: tuple[str, ...], secrets: tuple[str, ...]
) -> None:
    with endpoint(500, echo=True) as (server, came):
        done = run("--url", f"http://127.0.0.1:{server.port}/", *words, "-l", "3", "-t", "1", "-v")
    assert SECRET.encode() in came.requests[0]
    _nowhere(done, *secrets)
    assert any("***" in word for word in done.result["command"])


def test_user_and_password_of_the_url_are_a_header_and_written_nowhere(run: Run) -> None:
    with endpoint(401, echo=True) as (server, came):
        done = run("--url", f"http://me:{SECRET}@127.0.0.1:{server.port}/", "-l", "3", "-t", "1", "-v")
    (token,) = [line for line in came.requests[0].split(b"\r\n") if line.startswith(b"Authorization: Basic ")]
    _nowhere(done, SECRET, token.decode().split()[-1])
    assert f"http://***@127.0.0.1:{server.port}/" in done.result["command"]


# --- TLS ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate for models.example and 127.0.0.1 that it signed."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "names").write_text("subjectAltName=DNS:models.example,IP:127.0.0.1\n")
    openssl("req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=models.example")
    issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *issue)
    return folder


@contextlib.contextmanager
def tls_endpoint(folder: Path, *, demands_certificate: bool = False) -> Iterator[tuple[Server, Came]]:
    came = Came()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.sni_callback = lambda _socket, name, _context: came.names.append(name)
    if demands_certificate:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    answer = keeping(came)

    def wrapped(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            answer(secure)

    with serving(wrapped) as server:
        yield server, came


def test_https_is_checked_or_not_by_the_rule_of_loopback_addresses(run: Run, certificates: Path) -> None:
    with tls_endpoint(certificates) as (server, came):
        words = ("--url", f"https://127.0.0.1:{server.port}/", "-l", "2", "-t", "2")
        unchecked = run(*words)
        checked = run(*words, "--ca-file", str(certificates / "ca.pem"))
        assert (unchecked.status, checked.status, len(came.requests)) == (0, 0, 8)
        stranger = ("--url", "https://other.example/", "--connect-to", f"127.0.0.1:{server.port}", "-l", "1")
        named_otherwise = run(*stranger, "--ca-file", str(certificates / "ca.pem"))
    assert "is not checked: 127.0.0.1 is this machine" in unchecked.err
    assert "is not checked" not in checked.err
    assert named_otherwise.status == 4
    assert "the certificate of https://other.example is not trusted" in named_otherwise.err
    assert "--ca-file, or --insecure" in named_otherwise.err


def test_a_certificate_of_any_kind_will_do_on_this_machine(run: Run, tmp_path: Path) -> None:
    openssl(
        tmp_path, "req", "-newkey", "rsa:1024", "-nodes", "-keyout", "server.key", "-out", "csr", "-subj", "/CN=old"
    )
    openssl(tmp_path, "x509", "-req", "-in", "csr", "-signkey", "server.key", "-out", "server.pem")
    with serving(over_tls(tmp_path)) as server:
        done = run("--url", f"https://127.0.0.1:{server.port}/", "-l", "2", "-t", "2")
    assert done.status == 0
    assert "is not checked" in done.err


def test_a_server_without_a_common_cipher_is_told_so_once_and_before_the_run(run: Run, tmp_path: Path) -> None:
    make_certificate(tmp_path, "server", "rsa:2048")
    with serving(over_tls(tmp_path, "AES128-SHA256")) as server:
        done = run("--url", f"https://127.0.0.1:{server.port}/", "-l", "2", "-t", "2")
    assert done.status == 4
    assert done.err.count("the engine speaks TLS 1.2 and 1.3") == 1
    assert "client certificate" not in done.err


def over_tls(folder: Path, ciphers: str = "DEFAULT:@SECLEVEL=0") -> Callable[[socket.socket], None]:
    context = server_context(folder, "server")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)

    def wrapped(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secure:
            keeping(Came())(secure)

    return wrapped


def test_connect_to_asks_for_the_name_in_the_url_and_checks_it(run: Run, certificates: Path) -> None:
    with tls_endpoint(certificates) as (server, came):
        there = ("--connect-to", f"127.0.0.1:{server.port}", "--ca-file", str(certificates / "ca.pem"))
        done = run("--url", "https://models.example/x", *there, "-l", "2", "-t", "1")
    assert done.status == 0
    assert set(came.names) == {"models.example"}
    assert b"Host: models.example" in came.requests[0].split(b"\r\n")
    assert len(came.requests) == 2


def test_a_client_certificate_is_shown_to_a_server_that_demands_one(run: Run, certificates: Path) -> None:
    mine = ("--client-cert", str(certificates / "server.pem"), "--client-key", str(certificates / "server.key"))
    with tls_endpoint(certificates, demands_certificate=True) as (server, came):
        words = ("--url", f"https://127.0.0.1:{server.port}/", "-l", "2", "-t", "2")
        assert run(*words, *mine).status == 0
        assert len(came.requests) == 4
        refused = run(*words)
        assert len(came.requests) == 4
    assert refused.status == 4
    # TLS 1.3 says so only behind the handshake: not a request was lost to it.
    assert "the server asked for a client certificate" in refused.err
    assert "--client-cert" in refused.err


def test_a_key_of_a_kind_that_the_engine_does_not_know_is_a_usage_error(run: Run, certificates: Path) -> None:
    made = certificates / "p521.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1", "-nodes", "-days", "2", "-subj", "/CN=c"]
    subprocess.run(["openssl", "req", "-x509", *curve, "-keyout", made, "-out", "c"], cwd=certificates, check=True)
    made.write_bytes(made.read_bytes() + (certificates / "c").read_bytes())
    with tls_endpoint(certificates) as (server, _):
        done = run("--url", f"https://127.0.0.1:{server.port}/", "-l", "1", "--client-cert", str(made))
    assert done.status == 2
    assert "TLS cannot be set up: client key: of a kind that cannot sign here; keys are RSA of" in done.err
