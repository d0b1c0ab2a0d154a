"""The launcher of a plain HTTP endpoint (``run http``): it starts nothing, reads nothing back, and sends nothing.

That the endpoint is there, and still is, is told from a TCP connect, and once from a TLS handshake: what it receives
are the requests of the plan and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.environments.cache import Progress
from servemark.servers import ServerSettings
from servemark.servers.http.dialect import DIALECT
from servemark.servers.http.handshake import shake_hands, shake_hands_for_jmeter
from servemark.servers.http.plain import PlainServer, StillModels
from servemark.servers.http.reachability import check_unix_socket, connectable
from servemark.servers.http.trust import Trust, tls_for, unchecked
from servemark.workload.address import Address
from servemark.workload.endpoint import Endpoint, Place
from servemark.workload.headers import Header

if TYPE_CHECKING:
    from servemark.engines import EngineName
    from servemark.machine.memory import WorkerMemory

#: Where a Unix socket is.
_THIS_MACHINE = "127.0.0.1"


class EndpointLauncher:
    """Finds the endpoint.

    Args:
        endpoint: what its URL names.
        headers: of every request.
        trust: how far its certificate is checked, and the client's own.
        connect_to: where to connect instead of the URL's host and port.
        unix_socket: of this machine, to connect to instead.
        engine: which is to send there: each has a TLS of its own.
        progress: told what is left out, for people.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        headers: tuple[Header, ...] = (),
        trust: Trust | None = None,
        connect_to: Place | None = None,
        unix_socket: Path | None = None,
        engine: EngineName = "native",
        progress: Progress = lambda _: None,
    ) -> None:
        self.endpoint = endpoint
        self.headers = headers
        self.trust = trust or Trust()
        self.connect_to = connect_to
        self.unix_socket = unix_socket
        self.engine = engine
        self.progress = progress

    @contextmanager
    def serve(self, settings: ServerSettings) -> Iterator[PlainServer]:
        """The endpoint, reached. It has its own `settings`.

        Raises:
            UsageError: a certificate, a key or the CA file cannot be used.
            UnreachableError: nobody answers there, or not as the scheme says.
        """
        del settings
        if self.unix_socket is not None:
            yield _server(self.endpoint, self._of_unix_socket(str(self.unix_socket)))
            return
        endpoint, at = self.endpoint, self.connect_to or self.endpoint.place
        option = "--connect-to" if self.connect_to else "--url"
        ip, port = connectable(at.host, [at.port], option)
        host = endpoint.place.host
        address = Address(
            host,
            ip,
            port,
            tls_for(host, ip, self.trust) if endpoint.scheme == "https" else None,
            named_port=endpoint.place.port if self.connect_to else None,
            headers=self.headers,
        )
        if address.tls:
            (shake_hands if self.engine == "native" else shake_hands_for_jmeter)(address)
        if said := unchecked(address, self.trust):
            self.progress(said)
        yield _server(endpoint, address)

    def _of_unix_socket(self, path: str) -> Address:
        check_unix_socket(path)
        place = self.endpoint.place
        return Address(place.host, _THIS_MACHINE, place.port, headers=self.headers, unix_socket=path)

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """Empty: nothing of it is ours."""
        del settings
        return {}


def _server(endpoint: Endpoint, address: Address) -> PlainServer:
    at: dict[str, object] = {"ip": address.ip, "port": address.port}
    if address.unix_socket is not None:
        at = {"unix_socket": address.unix_socket}
    facts = {"url": endpoint.url, **at}
    return PlainServer(StillModels(DIALECT), {"inference": address}, facts, called="endpoint")
