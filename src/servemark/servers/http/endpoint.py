"""The launcher of a plain HTTP endpoint (``run http``): it starts nothing, reads nothing back, and sends nothing.

That the endpoint is there, and still is, is told from a TCP connect, and once from a TLS handshake: what it receives
are the requests of the plan and no others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.environments.cache import Progress
from servemark.errors import ServerDiedError, ServerError
from servemark.servers import ModelSettings, ServedModel, ServerSettings
from servemark.servers.http.handshake import shake_hands, shake_hands_for_jmeter
from servemark.servers.http.reaching import check_unix_socket, connectable, refuses
from servemark.servers.http.trust import Trust, tls_for, unchecked
from servemark.workload.endpoint import Endpoint, Place
from servemark.workload.headers import Header
from servemark.workload.plan import Address
from servemark.workload.scenario import EndpointName

if TYPE_CHECKING:
    from servemark.engines import EngineName
    from servemark.servers.machine.memory import WorkerMemory

#: Looking whether it is alive takes at most this share of the time.
_WATCH_SHARE = 0.05
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
    def serve(self, settings: ServerSettings) -> Iterator[EndpointServer]:
        """The endpoint, reached. It has its own `settings`.

        Raises:
            UsageError: a certificate, a key or the CA file cannot be used.
            UnreachableError: nobody answers there, or not as the scheme says.
        """
        del settings
        if self.unix_socket is not None:
            yield EndpointServer(self.endpoint, self._of_unix_socket(str(self.unix_socket)))
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
        yield EndpointServer(endpoint, address)

    def _of_unix_socket(self, path: str) -> Address:
        check_unix_socket(path)
        place = self.endpoint.place
        return Address(place.host, _THIS_MACHINE, place.port, headers=self.headers, unix_socket=path)

    def worker_memory(self, settings: ServerSettings) -> Mapping[str, WorkerMemory]:
        """Empty: nothing of it is ours."""
        del settings
        return {}


class EndpointServer:
    """An endpoint that answers; see ``servemark.servers.Server``."""

    launcher = "running"
    product = "HTTP endpoint"
    version: str | None = None

    def __init__(self, endpoint: Endpoint, address: Address) -> None:
        self.addresses: Mapping[EndpointName, Address] = {"inference": address}
        at = {"ip": address.ip, "port": address.port}
        if address.unix_socket is not None:
            at = {"unix_socket": address.unix_socket}
        self.facts: Mapping[str, object] = {"url": endpoint.url, **at}
        self._address = address
        self._failed: ServerError | None = None
        self._next_watch_s = 0.0

    @property
    def pid(self) -> int | None:
        """None: its process is not ours."""
        return None

    @contextmanager
    def serve_models(self, settings: ModelSettings) -> Iterator[tuple[ServedModel, ...]]:
        """No models: what it answers is its own affair."""
        del settings
        yield ()

    def read_back(self) -> Mapping[str, Mapping[str, object]]:
        """Empty: it has no settings that could be asked for."""
        return {}

    def memory_bytes(self) -> int | None:
        """None: its processes are not ours to look at."""
        return None

    def cpu_s(self) -> float | None:
        """None: its processes are not ours to look at."""
        return None

    @contextmanager
    def temporary_models(self, names: Sequence[str]) -> Iterator[Callable[[], Mapping[str, str]]]:
        """Nothing is registered there, so that nothing is left."""
        del names
        with nullcontext(dict) as remove:
            yield remove

    def failure(self) -> ServerError | None:
        """Why it can no longer be measured: it refuses connections; None as far as can be told from here."""
        started_s = time.monotonic()
        if self._failed is None and started_s >= self._next_watch_s:
            if refuses(self._address):
                self._failed = ServerDiedError(
                    "the endpoint failed while it was measured",
                    cause=f"{self._address.url} refuses connections",
                    next_step="see the server's own log",
                )
            self._next_watch_s = time.monotonic() + (time.monotonic() - started_s) / _WATCH_SHARE
        return self._failed

    def log_tail(self) -> str:
        """Empty: its log is not ours to read."""
        return ""

    def save_logs(self, folder: Path) -> None:
        """Write what is known of it into ``server.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"facts": dict(self.facts)}, indent=2)
        (folder / "server.json").write_text(f"{text}\n", encoding="utf-8")
