"""``--mms [SCHEME://]HOST[:PORT]``: read, resolved, its scheme found out, and proved to be a Multi Model Server."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import certifi
import httpx

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError, UsageError
from servemark.servers.connection import Answer, send_once
from servemark.servers.inference import ping_request, server_message
from servemark.workload.plan import Address, Tls
from servemark.workload.scenario import EndpointName, Request

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


@dataclass(frozen=True)
class Trust:
    """How far certificates are checked. By default: loopback hosts not, all others against the system's CAs."""

    ca_file: Path | None = None
    insecure: bool = False


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
    if match["ipv6"]:
        try:
            ipaddress.IPv6Address(match["ipv6"].partition("%")[0])
        except ValueError as error:
            raise _bad_form(text, f"{match['ipv6']!r} is no IPv6 address") from error
    host = match["ipv6"] or match["host"]
    return Target(host=host, scheme=scheme or None, port=int(port) if port is not None else None)


def find_server(
    text: str, *, management_port: int | None, trust: Trust, progress: Progress
) -> Mapping[EndpointName, Address]:
    """The addresses of the server that `text` names; "management" is missing when its API cannot be reached.

    Raises:
        UsageError: `text`, or what `trust` says, cannot be used.
        UnreachableError: nobody answers there, or what answers is no Multi Model Server, or no management API
            answers at the port that was given for it.
    """
    target = parse_target(text)
    ports = [target.port] if target.port else [8080, 8443] if not target.scheme else [_DEFAULT_PORTS[target.scheme]]
    ip, port = _connectable(target.host, ports)
    schemes = [target.scheme] if target.scheme else ["http", "https"]
    inference = _inference(target.host, ip, port, schemes, trust)
    if inference.tls and not inference.tls.verify:
        why = "as asked with --insecure" if trust.insecure else f"{target.host} is this machine"
        progress(f"the certificate of {inference.url} is not checked: {why}")
    addresses: dict[EndpointName, Address] = {"inference": inference}
    management = _management(inference, management_port or port + 1, trust)
    if management:
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
        f"cannot read the server {text!r}",
        cause=cause,
        next_step="write [http://|https://]HOST[:PORT], IPv6 addresses in brackets: --mms 127.0.0.1:8080",
    )


def _connectable(host: str, ports: list[int]) -> tuple[str, int]:
    """The first address of `host`, and of `ports`, to which a connection can be made."""
    failures: list[str] = []
    for port in ports:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(
                f"the host {host} is not known", cause=str(error), next_step="check the name in --mms"
            ) from error
        for *_, sockaddr in found:
            ip = str(sockaddr[0])
            try:
                with socket.create_connection((ip, port), timeout=_PROBE_TIMEOUT_S):
                    return ip, port
            except OSError as error:
                failures.append(f"{ip} port {port}: {error.strerror or error}")
    raise UnreachableError(
        f"nobody answers at {host} port {' or '.join(map(str, ports))}",
        cause="; ".join(failures),
        next_step="start the server, or check host and port in --mms",
    )


def _inference(host: str, ip: str, port: int, schemes: list[str], trust: Trust) -> Address:
    """The address with the scheme by which a Multi Model Server answers."""
    answered: list[str] = []
    for address in _candidates(host, ip, port, schemes, trust):
        answer = _probe(address, ping_request(), answered)
        if answer is None:
            continue
        if _is_mms_health(answer):
            return address
        answered.append(f"{address.url} answers GET /ping with {answer.status} {server_message(answer.text)[:80]!r}")
    raise UnreachableError(
        f"no Multi Model Server answers at {host} port {port}",
        cause="; ".join(answered),
        next_step="give the address of its inference API in --mms",
    )


def _management(inference: Address, port: int, trust: Trust) -> Address | None:
    """The address at which the management API answers, or None."""
    schemes = ["https", "http"] if inference.tls else ["http", "https"]
    for address in _candidates(inference.host, inference.ip, port, schemes, trust):
        answer = _probe(address, Request("GET", "/models?limit=1"), [])
        if answer and answer.status == 200 and isinstance(_json_object(answer).get("models"), list):
            return address
    return None


def _candidates(host: str, ip: str, port: int, schemes: list[str], trust: Trust) -> Iterator[Address]:
    # Plain first: a TLS server refuses plain text at once, but a plain one may wait for more of a TLS greeting.
    for scheme in schemes:
        yield Address(host, ip, port, _tls(host, ip, trust) if scheme == "https" else None)


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


def _tls(host: str, ip: str, trust: Trust) -> Tls:
    """How to speak TLS to that host.

    Raises:
        UsageError: the CA file cannot be used.
    """
    if trust.ca_file and trust.insecure:
        raise UsageError("--ca-file and --insecure contradict each other", next_step="give one of them")
    loopback = ipaddress.ip_address(ip.partition("%")[0]).is_loopback
    if trust.insecure or (loopback and not trust.ca_file):
        return Tls(server_name=host, verify=False)
    return Tls(server_name=host, verify=True, ca_pem=_read_ca(trust.ca_file) if trust.ca_file else _system_cas())


def _read_ca(path: Path) -> bytes:
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the CA file {path}", cause=error.strerror or str(error), next_step="give --ca-file a PEM file"
        ) from error
    try:
        ssl.create_default_context(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(
            f"the CA file {path} holds no PEM certificate", next_step="give --ca-file a PEM file"
        ) from error
    return pem


def _system_cas() -> bytes:
    """The system's trusted certificates as PEM; certifi's where the system has none."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if found:
        return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode("ascii")
    return Path(certifi.where()).read_bytes()


def _is_mms_health(answer: Answer) -> bool:
    return answer.status == 200 and isinstance(_json_object(answer).get("status"), str)


def _json_object(answer: Answer) -> Mapping[str, object]:
    try:
        value = json.loads(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
