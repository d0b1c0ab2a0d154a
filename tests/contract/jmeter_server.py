"""A threaded HTTP server of known latency for the tests of the engine jmeter: it waits 20 ms, and keeps what came."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servemark.workload.address import Address, Tls

LATENCY_S = 0.02


@dataclass
class Came:
    """A request as the server saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


#: The status and the body for the n-th request (from 0).
Answer = Callable[[int], tuple[int, bytes]]
#: The status and the body for a request, whatever came before.
Say = Callable[[Came], tuple[int, bytes]]


@dataclass
class TimedServer:
    """The running server: where it listens, what came so far, and how long it took to answer each."""

    address: Address
    came: list[Came] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests go away in the middle."""


@contextlib.contextmanager
def timed_server(
    answer: Answer = lambda _: (200, b"ok"),
    *,
    say: Say | None = None,
    latency_s: float = LATENCY_S,
    tls_folder: Path | None = None,
) -> Iterator[TimedServer]:
    """A server on the loopback interface that answers each request after `latency_s`; with TLS, signed by itself."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            began = time.monotonic()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                number = len(served.came)
                served.connections.add(self.client_address[1])
                came = Came(self.command, self.path, list(self.headers.items()), body, self.client_address[1])
                served.came.append(came)
            status, text = say(came) if say else answer(number)
            time.sleep(max(0.0, latency_s - (time.monotonic() - began)))
            head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(text)}\r\nContent-Type: text/plain\r\n"
            head += "Location: /elsewhere\r\n\r\n" if 300 <= status < 400 else "\r\n"
            served.took_s.append(time.monotonic() - began)
            self.wfile.write(head.encode() + text)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    tls = None
    if tls_folder is not None:
        server.socket = _with_tls(server, tls_folder)
        tls = Tls(server_name="localhost", verify=False)
    served = TimedServer(Address("127.0.0.1", "127.0.0.1", server.server_address[1], tls))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _with_tls(server: _Server, folder: Path) -> ssl.SSLSocket:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    what = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command = ["openssl", "req", *what, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
