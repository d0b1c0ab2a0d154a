"""HTTP connections from servemark itself (not from an engine) to an address: management calls and single requests."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass

import httpx

from servemark.servers.http.trust import tls_context
from servemark.units import NS_PER_MS
from servemark.workload.address import Address
from servemark.workload.headers import replaced, wire
from servemark.workload.scenario import Request


@dataclass(frozen=True)
class Answer:
    """One response. `elapsed_ms` runs from opening the connection to the last byte of the body."""

    status: int
    body: bytes
    elapsed_ms: float

    @property
    def text(self) -> str:
        """The body as text for people."""
        return self.body.decode("utf-8", "replace").strip()


def http_client(address: Address, timeout_s: float) -> httpx.Client:
    """A client that connects to exactly `address` (its ip), whatever its name resolves to, and uses no proxy.

    `timeout_s` limits connecting and every wait for bytes.
    """
    ip = f"[{address.ip}]" if ":" in address.ip else address.ip
    hooks = {}
    # Nothing is verified over plain HTTP, and reading the system's authorities takes as long as a prediction.
    verify: ssl.SSLContext | bool = False
    if address.tls:
        server_name = address.tls.server_name

        def ask_for_name(request: httpx.Request) -> None:
            request.extensions["sni_hostname"] = server_name

        hooks = {"request": [ask_for_name]}
        verify = tls_context(address.tls)
    return httpx.Client(
        base_url=f"{'https' if address.tls else 'http'}://{ip}:{address.port}",
        headers=wire(replaced([("Host", address.authority), ("User-Agent", "servemark")], address.headers)),
        timeout=timeout_s,
        verify=verify,
        trust_env=False,
        event_hooks=hooks,
    )


def is_ok(address: Address, request: Request, timeout_s: float) -> bool:
    """Whether it is answered with 200; it is not where nobody answers in time."""
    try:
        return send_once(address, request, timeout_s).status == 200
    except httpx.TransportError:
        return False


def send_once(address: Address, request: Request, timeout_s: float) -> Answer:
    """Send one request on a connection of its own, and time it.

    Raises:
        httpx.HTTPError: there was no complete response in time.
    """
    with http_client(address, timeout_s) as client:
        started_ns = time.perf_counter_ns()
        response = client.request(
            request.method,
            request.path,
            headers=wire(replaced(request.headers, address.headers)),
            content=request.body or None,
        )
        elapsed_ms = (time.perf_counter_ns() - started_ns) / NS_PER_MS
    return Answer(response.status_code, response.content, elapsed_ms)
