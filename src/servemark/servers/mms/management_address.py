"""The address of a running server's management API: a port of its own, as a rule the next one, or the same."""

from __future__ import annotations

from dataclasses import replace

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError
from servemark.servers.http.finding import Found, candidate, probe
from servemark.servers.http.trust import Trust
from servemark.servers.http.words import json_object
from servemark.servers.mms.dialect import DIALECT
from servemark.workload.address import Address
from servemark.workload.headers import Header


def find_management(
    found: Found, port: int | None, trust: Trust, progress: Progress, headers: tuple[Header, ...] = ()
) -> Address | None:
    """The address of the management API of the server that was `found`; None where there is none at the usual ports.

    `headers` are of every request to it.

    Raises:
        UnreachableError: none answers at `port`, or the engine cannot come to terms with its TLS.
    """
    inference = found.address
    usual = inference.port + 1
    for candidate_port in (port,) if port else (usual, inference.port):
        management = _answering(inference, candidate_port, trust, headers)
        if management:
            if management.tls and (refused := found.judge(management)):
                raise refused.error
            return management
    if port:
        raise UnreachableError(
            f"no management API answers at {inference.host} port {port}",
            next_step="check --management-port, or leave it out to use the server as it is",
        )
    progress(
        f"no management API answers at port {usual}, so settings cannot be read back; "
        "where it is elsewhere, give --management-port"
    )
    return None


def answers_there(address: Address) -> bool:
    """Whether a management API answers at `address`."""
    answer = probe(address, DIALECT.admin.list_models().request, [])
    return bool(answer and answer.status == 200 and isinstance(json_object(answer.body).get("models"), list))


def _answering(inference: Address, port: int, trust: Trust, headers: tuple[Header, ...]) -> Address | None:
    for scheme in ("https", "http") if inference.tls else ("http", "https"):
        address = replace(candidate(inference.host, inference.ip, port, scheme, trust), headers=headers)
        if answers_there(address):
            return address
    return None
