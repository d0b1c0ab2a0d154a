"""Servers behind TLS whose records, alerts and ends are laid on the wire one by one, as a test wants them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from loadgen_servers import Serve

_Result = TypeVar("_Result")


def openssl(folder: Path, *arguments: str) -> None:
    """Run ``openssl`` in `folder`."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificate(folder: Path, name: str, *key: str) -> None:
    """A certificate `name`.pem for "test" that signs itself, and `name`.key, made as `key` says ("rsa:2048" ...)."""
    new_key = ["-newkey", *key, "-nodes", "-keyout", f"{name}.key"]
    openssl(folder, "req", "-x509", *new_key, "-days", "2", "-out", f"{name}.pem", "-subj", "/CN=test")


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    """The context of a server that has the certificate `name`, whatever its kind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


class Channel:
    """The server's side of one TLS connection: what it would send is had as bytes, and sent as the caller likes."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pump(self._tls.do_handshake)
        connection.sendall(self._outgoing.read())

    def read_request(self) -> bytes:
        """One request without a body, or b"" when the client has closed."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            try:
                received = self._pump(lambda: self._tls.read(65536))
            except (ssl.SSLError, OSError):
                return b""
            if not received:
                return b""
            request += received
        return request

    def sealed(self, data: bytes) -> bytes:
        """The records that carry `data`."""
        self._tls.write(data)
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """The record that says that nothing more will come (close_notify)."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()

    def alert(self) -> bytes:
        """A fatal alert: the server is made to believe that the client sent something impossible."""
        self._incoming.write(b"\x17\x03\x03\x00\x20" + bytes(32))
        with contextlib.suppress(ssl.SSLError):
            self._tls.read(1)
        return self._outgoing.read()

    def _pump(self, act: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                self.connection.sendall(self._outgoing.read())
                received = self.connection.recv(65536)
                if not received:
                    raise ssl.SSLEOFError from None
                self._incoming.write(received)


def over_channel(serve: Callable[[Channel], None], context: ssl.SSLContext) -> Serve:
    """`serve`, for the channel of each connection."""

    def wrapped(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):
            serve(Channel(connection, context))

    return wrapped
