"""``--mms [SCHEME://]HOST[:PORT]``: read, resolved, its scheme found out, and proved to be a Multi Model Server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError, UsageError
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.http.handshake import Refusal, refusal
from servemark.servers.http.reaching import connectable
from servemark.servers.http.trust import Trust, tls_for, unchecked
from servemark.servers.mms.inference import ping_request, server_message
from servemark.workload.endpoint import Place, ipv6_host, without_user
from servemark.workload.headers import Header
from servemark.workload.plan import Address
from servemark.workload.scenario import EndpointName, Request

if TYPE_CHECKING:
    from servemark.engines import EngineName

_DEFAULT_PORTS = {"http": 8080, "https": 8443}
_PROBE_TIMEOUT_S = 5.0
_FORM = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/\[\]@?#]+))(?::(?P<port>[^/]*))?/?"
)


@dataclass(frozen=True)
class Target:
    """What the user wrote. `scheme` and `port` are None where nothing was written."""

    host: str
    scheme: str | None
    port: int | None


def parse_target(text: str) -> Target:
    """Read ``[SCHEME://]HOST[:PORT]``.

    Raises:
        UsageError: it has another form.
    """
    match = _FORM.fullmatch(text.strip())
    scheme = (match["scheme"] or "").lower() if match else ""
    port = match["port"] if match else None
    if match is None or scheme not in ("", "http", "https") or port == "":
        raise _bad_form(text)
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _bad_form(text, f"{port!r} is no port from 1 to 65535")
    host = match["host"]
    if match["ipv6"]:
        try:
            host = ipv6_host(match["ipv6"])
        except ValueError as error:
            raise _bad_form(text, f"{match['ipv6']!r} is no IPv6 address") from error
    return Target(host=host, scheme=scheme or None, port=int(port) if port is not None else None)


def find_server(
    text: str,
    *,
    management_port: int | None,
    trust: Trust,
    progress: Progress,
    connect_to: Place | None = None,
    headers: tuple[Header, ...] = (),
    engine: EngineName = "native",
) -> Mapping[EndpointName, Address]:
    """The addresses of the server that `text` names; "management" is missing when its API cannot be reached.

    `connect_to` is where to connect instead; the management API is expected beside it. `headers` are of every request
    to the inference API. Where TLS is spoken, `engine` has to come to terms with it.

    Raises:
        UsageError: `text`, or what `trust` says, cannot be used.
        UnreachableError: nobody answers there, or what answers is no Multi Model Server, or no management API
            answers at the port that was given for it.
    """
    target = parse_target(text)
    if connect_to is None:
        ports = [target.port] if target.port else [8080, 8443] if not target.scheme else [_DEFAULT_PORTS[target.scheme]]
        ip, port = connectable(target.host, ports, "--mms")
    else:
        ip, port = connectable(connect_to.host, [connect_to.port], "--connect-to")
    judge = refusal if engine == "native" else lambda _: None
    inference = _inference(target, ip, port, trust, headers, judge, elsewhere=connect_to is not None)
    if said := unchecked(inference, trust):
        progress(said)
    if trust.client_cert and not inference.tls:
        raise UsageError(f"{inference.url} does not speak TLS, so --client-cert has no use", next_step="leave it out")
    addresses: dict[EndpointName, Address] = {"inference": inference}
    management = _management(inference, management_port or port + 1, trust)
    if management:
        if management.tls and (refused := judge(management)):
            raise refused.error
        addresses["management"] = management
    elif management_port:
        raise UnreachableError(
            f"no management API answers at {target.host} port {management_port}",
            next_step="check --management-port, or leave it out to use the server as it is",
        )
    else:
        progress(
            f"no management API answers at port {port + 1}, so settings cannot be read back; "
            "where it is elsewhere, give --management-port"
        )
    return addresses


def _bad_form(text: str, cause: str = "") -> UsageError:
    return UsageError(
        f"cannot read the server {without_user(text)!r}",
        cause=cause,
        next_step="write [http://|https://]HOST[:PORT], IPv6 addresses in brackets: --mms 127.0.0.1:8080",
    )


def _inference(
    target: Target,
    ip: str,
    port: int,
    trust: Trust,
    headers: tuple[Header, ...],
    judge: Callable[[Address], Refusal | None],
    *,
    elsewhere: bool,
) -> Address:
    """The address with the scheme by which a Multi Model Server answers; `elsewhere` than `target` names."""
    answered: list[str] = []
    for scheme in [target.scheme] if target.scheme else ["http", "https"]:
        address = _candidate(target.host, ip, port, scheme, trust)
        named_port = target.port or _DEFAULT_PORTS[scheme]
        address = replace(address, headers=headers, named_port=named_port if elsewhere else None)
        if address.tls and (refused := judge(address)):
            if refused.speaks_tls:
                raise refused.error
            answered.append(f"{address.url}: {refused.error.cause}")
            continue
        answer = _probe(address, ping_request(), answered)
        if answer is None:
            continue
        if _is_mms_health(answer):
            return address
        answered.append(f"{address.url} answers GET /ping with {answer.status} {server_message(answer.text)[:80]!r}")
    raise UnreachableError(
        f"no Multi Model Server answers at {target.host} port {port}",
        cause="; ".join(answered),
        next_step="give the address of its inference API in --mms, or measure anything else with the benchmark http",
    )


def _management(inference: Address, port: int, trust: Trust) -> Address | None:
    """The address at which the management API answers, or None."""
    for scheme in ("https", "http") if inference.tls else ("http", "https"):
        address = _candidate(inference.host, inference.ip, port, scheme, trust)
        answer = _probe(address, Request("GET", "/models?limit=1"), [])
        if answer and answer.status == 200 and isinstance(_json_object(answer).get("models"), list):
            return address
    return None


def _candidate(host: str, ip: str, port: int, scheme: str, trust: Trust) -> Address:
    # Plain first: a TLS server refuses plain text at once, but a plain one may wait for more of a TLS greeting.
    return Address(host, ip, port, tls_for(host, ip, trust) if scheme == "https" else None)


def _probe(address: Address, request: Request, failures: list[str]) -> Answer | None:
    try:
        return send_once(address, request, _PROBE_TIMEOUT_S)
    except httpx.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise UnreachableError(
                f"the certificate of {address.url} is not trusted",
                cause=str(error).partition("CERTIFICATE_VERIFY_FAILED] ")[2].partition(" (_ssl")[0],
                next_step="give its authority with --ca-file, or --insecure to check nothing",
            ) from error
        failures.append(f"{address.url}: {error or type(error).__name__}")
        return None


def _is_mms_health(answer: Answer) -> bool:
    return answer.status == 200 and isinstance(_json_object(answer).get("status"), str)


def _json_object(answer: Answer) -> Mapping[str, object]:
    try:
        value = json.loads(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
