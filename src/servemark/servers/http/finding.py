"""``--server [SCHEME://]HOST[:PORT]``: read, resolved, its scheme found out, and what it speaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError, UsageError
from servemark.servers.dialect import Dialect, DialectName, dialect, dialects
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.http.handshake import Refusal, refusal
from servemark.servers.http.reachability import connectable
from servemark.servers.http.trust import Trust, tls_for, unchecked
from servemark.servers.http.words import WHERE_NOT_ALLOWED, server_message
from servemark.workload.endpoint import Place, ipv6_host, without_user
from servemark.workload.headers import Header
from servemark.workload.plan import Address
from servemark.workload.scenario import Request

if TYPE_CHECKING:
    from servemark.engines import EngineName

_DEFAULT_PORTS = {"http": 8080, "https": 8443}
_PROBE_TIMEOUT_S = 5.0
#: How what was answered is told of a server that does not answer to everybody.
_WANTS_TOKEN = re.compile(r" with 40[13] ")
#: There is such a path, and it is not asked so.
_WRONG_METHOD = 405
_FORM = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:/\[\]@?#]+))(?::(?P<port>[^/]*))?/?"
)


@dataclass(frozen=True)
class Target:
    """What the user wrote. `scheme` and `port` are None where nothing was written."""

    host: str
    scheme: str | None
    port: int | None


def parse_target(text: str, option: str = "--server") -> Target:
    """Read ``[SCHEME://]HOST[:PORT]``, the value of `option`.

    Raises:
        UsageError: it has another form.
    """
    match = _FORM.fullmatch(text.strip())
    scheme = (match["scheme"] or "").lower() if match else ""
    port = match["port"] if match else None
    if match is None or scheme not in ("", "http", "https") or port == "":
        raise _bad_form(text, option)
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _bad_form(text, option, f"{port!r} is no port from 1 to 65535")
    host = match["host"]
    if match["ipv6"]:
        try:
            host = ipv6_host(match["ipv6"])
        except ValueError as error:
            raise _bad_form(text, option, f"{match['ipv6']!r} is no IPv6 address") from error
    return Target(host=host, scheme=scheme or None, port=int(port) if port is not None else None)


@dataclass(frozen=True)
class Found:
    """A server that answers: where its predictions are asked for, what it speaks, and who judges its TLS.

    `health` is what it answered when its health was asked, which of some dialects is the list of its models.
    """

    address: Address
    dialect: Dialect
    judge: Callable[[Address], Refusal | None]
    health: bytes = b""


def find_server(
    text: str,
    *,
    option: str = "--server",
    named: DialectName | None = None,
    trust: Trust,
    progress: Progress,
    connect_to: Place | None = None,
    headers: tuple[Header, ...] = (),
    engine: EngineName = "native",
) -> Found:
    """The server that `text` names, which speaks the dialect that is `named`, or any that is known.

    One whose dialect is named has to be there, by its health or by a sign of it: LitServe has no list of models, which
    is the health of OpenAI's API. Another is known by both.
    `option` is with which the user named it, for errors. `connect_to` is where to connect instead. `headers` are of
    every request. Where TLS is spoken, `engine` has to come to terms with it.

    Raises:
        UsageError: `text`, or what `trust` says, cannot be used.
        UnreachableError: nobody answers there, or what answers speaks something else.
    """
    target = parse_target(text, option)
    if connect_to is None:
        ports = [target.port] if target.port else [8080, 8443] if not target.scheme else [_DEFAULT_PORTS[target.scheme]]
        ip, port = connectable(target.host, ports, option)
    else:
        ip, port = connectable(connect_to.host, [connect_to.port], "--connect-to")
    look = _Look(
        named=dialect(named) if named else None,
        trust=trust,
        headers=headers,
        judge=refusal if engine == "native" else lambda _: None,
        elsewhere=connect_to is not None,
    )
    found = look.found(target, ip, port, option)
    if said := unchecked(found.address, trust):
        progress(said)
    if trust.client_cert and not found.address.tls:
        url = found.address.url
        raise UsageError(f"{url} does not speak TLS, so --client-cert has no use", next_step="leave it out")
    return found


@dataclass(frozen=True)
class _Look:
    """How a server is looked at."""

    named: Dialect | None
    trust: Trust
    headers: tuple[Header, ...]
    judge: Callable[[Address], Refusal | None]
    elsewhere: bool

    def found(self, target: Target, ip: str, port: int, option: str) -> Found:
        """The address with the scheme by which it answers, and what it speaks."""
        said: list[str] = []
        for scheme in [target.scheme] if target.scheme else ["http", "https"]:
            address = candidate(target.host, ip, port, scheme, self.trust)
            named_port = target.port or _DEFAULT_PORTS[scheme]
            address = replace(address, headers=self.headers, named_port=named_port if self.elsewhere else None)
            if address.tls and (refused := self.judge(address)):
                if refused.speaks_tls:
                    raise refused.error
                said.append(f"{address.url}: {refused.error.cause}")
                continue
            spoken = self._spoken(address, said)
            if spoken:
                return Found(address, spoken[0], self.judge, spoken[1])
            other = self.named and replace(self, named=None)._spoken(address, [])
            if other:
                speaks = other[0]
                said.append(f"it answers as a {speaks.product} does: give --dialect {speaks.name}, or leave it out")
        what = self.named.product if self.named else "model server that is known"
        or_say = "" if self.named else "say with --dialect what it speaks, "
        next_step = f"give the address of its inference API in {option}, {or_say}or measure anything else with the "
        next_step += "benchmark http"
        if any(_WANTS_TOKEN.search(line) for line in said):
            next_step = WHERE_NOT_ALLOWED
        raise UnreachableError(
            f"no {what} answers at {target.host} port {port}", cause="; ".join(said), next_step=next_step
        )

    def _spoken(self, address: Address, said: list[str]) -> tuple[Dialect, bytes] | None:
        """What is spoken at `address`, and what its health was answered with; `said` is told what was instead."""
        answers: dict[Request, Answer | None] = {}

        def asked(request: Request) -> Answer | None:
            if request not in answers:
                answers[request] = probe(address, request, said)
            return answers[request]

        def is_answered(request: Request, is_right: Callable[[int, bytes], bool]) -> bool:
            answer = asked(request)
            if answer is None or is_right(answer.status, answer.body):
                return answer is not None
            words = f"{answer.status} {server_message(answer.body)[:80]!r}"
            line = f"{address.url} answers {request.method} {request.path} with {words}"
            if line not in said:
                said.append(line)
            return False

        def shows_sign(known: Dialect) -> bool:
            answer = asked(known.sign())
            if answer is None or (answer.status >= 400 and answer.status != _WRONG_METHOD):
                return False
            return known.is_sign(answer.status, answer.body)

        def with_health(spoken: Dialect) -> tuple[Dialect, bytes]:
            answer = answers[spoken.health()]
            is_health = answer is not None and spoken.is_health(answer.status, answer.body)
            return spoken, answer.body if answer and is_health else b""

        if self.named:
            is_there = is_answered(self.named.health(), self.named.is_health) or shows_sign(self.named)
            return with_health(self.named) if is_there else None
        for known in dialects():
            health = known.health()
            if is_answered(health, known.is_health) and is_answered(known.sign(), known.is_sign):
                return with_health(known)
            if answers[health] is None:  # nobody is there, whatever it would speak
                return None
        signs = [known for known in dialects() if shows_sign(known)]
        if len(signs) == 1:
            (known,), sign = signs, signs[0].sign()
            line = (
                f"it may be a {known.product}, by its answer to {sign.method} {sign.path}: give --dialect {known.name}"
            )
            said.append(line)
        return None


def _bad_form(text: str, option: str, cause: str = "") -> UsageError:
    return UsageError(
        f"cannot read the server {without_user(text)!r}",
        cause=cause,
        next_step=f"write [http://|https://]HOST[:PORT], IPv6 addresses in brackets: {option} 127.0.0.1:8080",
    )


def candidate(host: str, ip: str, port: int, scheme: str, trust: Trust) -> Address:
    """The address, if that is its scheme."""
    # Plain first: a TLS server refuses plain text at once, but a plain one may wait for more of a TLS greeting.
    return Address(host, ip, port, tls_for(host, ip, trust) if scheme == "https" else None)


def probe(address: Address, request: Request, failures: list[str]) -> Answer | None:
    """What is answered to one request at `address`; None where nothing is, of which `failures` is told.

    Raises:
        UnreachableError: its certificate is not trusted.
    """
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
