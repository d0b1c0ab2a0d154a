"""Where a running Multi Model Server has its management API: at a port of its own, as a rule the next one."""

from __future__ import annotations

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError
from servemark.servers.http.finding import Found, candidate, probe
from servemark.servers.http.trust import Trust
from servemark.servers.http.words import json_object
from servemark.servers.mms.dialect import DIALECT
from servemark.workload.plan import Address


def find_management(found: Found, port: int | None, trust: Trust, progress: Progress) -> Address | None:
    """The address of the management API of the server that was `found`; None where there is none at the usual port.

    Raises:
        UnreachableError: none answers at `port`, or the engine cannot come to terms with its TLS.
    """
    inference = found.address
    usual = inference.port + 1
    management = _answering(inference, port or usual, trust)
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


def _answering(inference: Address, port: int, trust: Trust) -> Address | None:
    listing = DIALECT.admin.list_models().request
    for scheme in ("https", "http") if inference.tls else ("http", "https"):
        address = candidate(inference.host, inference.ip, port, scheme, trust)
        answer = probe(address, listing, [])
        if answer and answer.status == 200 and isinstance(json_object(answer.body).get("models"), list):
            return address
    return None
