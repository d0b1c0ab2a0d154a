"""Addresses: where an endpoint listens, and how TLS is spoken there."""

from __future__ import annotations

from dataclasses import dataclass, field

from servemark.workload.endpoint import DEFAULT_PORTS, in_url, without_zone
from servemark.workload.headers import Header


@dataclass(frozen=True)
class Tls:
    """How to speak TLS: the name asked for (SNI), and what the certificate is checked against.

    `verify` False checks nothing. `ca_pem` holds the trusted certificates; it is needed when `verify` is True.
    `client_cert_pem` and `client_key_pem` are what the client shows of itself, if asked: its certificate with those
    that lead to its authority, and the key; both empty for nothing.
    """

    server_name: str
    verify: bool
    ca_pem: bytes = b""
    client_cert_pem: bytes = field(default=b"", repr=False)  # its file may hold the key, too
    client_key_pem: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Address:
    """The address at which an endpoint listens.

    Attributes:
        host: the name for the Host header; the zone of an IPv6 address is not sent.
        ip: to connect to; a literal (IPv4 or IPv6, with the number of its zone where it has one: ``fe80::1%2``).
        port: to connect to.
        tls: how to speak TLS, if it does.
        named_port: for the Host header, where that is not the one to connect to.
        headers: fields of every request there, in the place of those of the same name.
        unix_socket: of this machine, to connect to instead of `ip` and `port`.
    """

    host: str
    ip: str
    port: int
    tls: Tls | None = None
    named_port: int | None = None
    headers: tuple[Header, ...] = ()
    unix_socket: str | None = None

    @property
    def authority(self) -> str:
        """``host:port`` as in a URL, IPv6 literals in brackets; the scheme's own port is left out."""
        host = in_url(without_zone(self.host))
        port = self.named_port or self.port
        return host if port == DEFAULT_PORTS["https" if self.tls else "http"] else f"{host}:{port}"

    @property
    def url(self) -> str:
        """``scheme://host:port``, without a path, for people."""
        authority = self.authority.replace(in_url(without_zone(self.host)), in_url(self.host), 1)
        return f"{'https' if self.tls else 'http'}://{authority}"
