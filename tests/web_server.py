"""A small web server on the loopback interface, whose answers are scripted to the byte."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

#: Told the handler of a GET, which it answers.
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def web_server(answers: dict[str, Answer], tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serves `answers` by path, and 404 for any other; gives its URL. `tls` is a certificate and its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            self.close_connection = True
            found = answers.get(self.path.split("?")[0])
            if found is None:
                self.send_error(404)
            else:
                found(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sending(
    body: bytes, *, status: int = 200, length: int | None = None, kind: str = "application/octet-stream", **headers: str
) -> Answer:
    """Answers with `body`; `length` is what the head says of it, -1 nothing. ``X_Y`` is the header X-Y."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Connection", "close")
        request.send_header("Content-Type", kind)
        if length != -1:
            request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def redirecting(to: str) -> Answer:
    """Answers with a redirection."""
    return sending(b"", status=302, Location=to)


@contextmanager
def pythons_web_server(folder: Path) -> Iterator[str]:
    """Python's own web server as a process, which serves `folder`; gives its URL."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None
            yield f"http://127.0.0.1:{port[1]}/"
        finally:
            server.terminate()
