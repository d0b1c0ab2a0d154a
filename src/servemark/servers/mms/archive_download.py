"""A short-lived web server of ours that offers one archive to a model server, which downloads it."""

from __future__ import annotations

import secrets
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servemark.workload.address import Address

_CLIENT_TIMEOUT_S = 60


@contextmanager
def downloadable_archive(archive: Path, server: Address, log: Callable[[str], None] | None = None) -> Iterator[str]:
    """While this is open, `archive` can be downloaded at the URL it gives, whose path cannot be guessed.

    It listens only on the local address from which `server` is reached: for a loopback server on loopback.

    Raises:
        OSError: there is no way to `server`, or no free port.
    """
    ip = _local_address(server)
    path = f"/{secrets.token_urlsafe(12)}/{archive.name}"
    with _DownloadServer(ip, _handler(archive, path, log)) as offer:
        thread = threading.Thread(target=offer.serve_forever, kwargs={"poll_interval": 0.1}, name="offer", daemon=True)
        thread.start()
        try:
            host = f"[{ip}]" if ":" in ip else ip
            yield f"http://{host}:{offer.server_address[1]}{path}"
        finally:
            offer.shutdown()
            thread.join()


class _DownloadServer(ThreadingHTTPServer):
    """Listens at an address as the ``socket`` module has it: one of IPv6 has its zone apart."""

    daemon_threads = True
    block_on_close = False
    #: As many workers or models may download at once.
    request_queue_size = 128

    def __init__(self, ip: str, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family, *_, address = socket.getaddrinfo(ip, 0, type=socket.SOCK_STREAM)[0]
        super().__init__(address, handler)  # type: ignore[arg-type]


def _local_address(server: Address) -> str:
    """Our end of the route to `server`. Connecting a datagram socket sends nothing."""
    family, kind, _, _, address = socket.getaddrinfo(server.ip, server.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as route:
        route.connect(address)
        return str(route.getsockname()[0])


def _handler(archive: Path, path: str, log: Callable[[str], None] | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_TIMEOUT_S

        def do_GET(self) -> None:
            if self.path != path:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            with archive.open("rb") as file:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(archive.stat().st_size))
                self.end_headers()
                shutil.copyfileobj(file, self.wfile)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that http.server has
            if log:
                log(f"offer: {self.client_address[0]} {format % args}")

    return Handler
