"""``--server [SCHEME://]HOST[:PORT]``: read, resolved, its scheme found out, and what it speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from servemark.environments.cache import Progress
from servemark.errors import UnreachableError, UsageError
from servemark.servers.dialect import Dialect, DialectName, dialect, dialects
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.http.handshake import Refusal, refusal
from servemark.servers.http.reachability import connectable
from servemark.servers.http.trust import Trust, tls_for, unchecked
from servemark.servers.http.words import WHERE_NOT_ALLOWED, json_object, server_message
from servemark.workload.address import Address
from servemark.workload.endpoint import Place, ipv6_host, without_user
from servemark.workload.headers import Header
from servemark.workload.scenario import Request

if TYPE_CHECKING:
    from servemark.engines import EngineName

_DEFAULT_PORTS = {"http": 8080, "https": 8443}
_PROBE_TIMEOUT_S = 5.0
#: How what was answered is told of a server that does not answer to everybody.
_WANTS_TOKEN = re.compile(r" with 40[13] ")
#: There is such a path, and it is not asked so.
_WRONG_METHOD = 405
#: What no server has: one that has it all the same answers whatever it is asked.
_NOWHERE = Request("GET", "/servemark-asks-what-this-is")
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
        if target.scheme and not any(" answers " in line for line in said):
            said += self._by_the_other_scheme(target, ip, port)
        what = self.named.product if self.named else "model server that is known"
        or_say = "" if self.named else "say with --dialect what it speaks, "
        next_step = f"give the address of its inference API in {option}, {or_say}or measure anything else with the "
        next_step += "benchmark http"
        if any(_WANTS_TOKEN.search(line) for line in said):
            next_step = WHERE_NOT_ALLOWED
        raise UnreachableError(
            f"no {what} answers at {target.host} port {port}", cause="; ".join(said), next_step=next_step
        )

    def _by_the_other_scheme(self, target: Target, ip: str, port: int) -> Iterator[str]:
        """Say that a server speaks TLS which was to be asked without, or none which was to be asked by it."""
        scheme, spoken = ("http", "no TLS") if target.scheme == "https" else ("https", "TLS")
        address = candidate(target.host, ip, port, scheme, self.trust)
        if address.tls:
            refused = refusal(address)
            is_spoken = refused is None or refused.speaks_tls
        else:
            is_spoken = probe(address, _NOWHERE, []) is not None
        if is_spoken:
            yield f"it speaks {spoken}: write {scheme}:// instead of {target.scheme}://"

    def _spoken(self, address: Address, said: list[str]) -> tuple[Dialect, bytes] | None:
        """What is spoken at `address`, and what its health was answered with; `said` is told what was instead."""
        looks = _Answers(address, said)
        if self.named:
            is_there = looks.is_answered(self.named.health(), self.named.is_health) or looks.shows_sign(self.named)
            # TorchServe has all that is asked of MMS, and more: of those with the same sign it is the first to fit.
            alike = [one for one in dialects() if one.sign() == self.named.sign()]
            speaks = next(filter(looks.shows_sign, alike), self.named)
            known = self.named if is_there and speaks.name == self.named.name else None
        else:
            known = next(filter(looks.show, dialects()), None)
        if known and not self.named and looks.may_be_another(known):
            said += looks.told()
            said.append(
                f"it may be a {known.product} (give --dialect {known.name} then), or another that wants a token"
            )
            return None
        if known:
            answer = looks.to(known.health())
            is_health = answer is not None and known.is_health(answer.status, answer.body)
            return known, answer.body if answer and is_health else b""
        said += looks.told()
        if looks.lists_models():
            said.append("it lists models as a management API does: its inference API is by default one port below")
        elif not self.named:
            signs = list(filter(looks.may_be, dialects()))
            if len(signs) == 1:
                (known,), sign = signs, signs[0].sign()
                line = f"it may be a {known.product}, by its answer to {sign.method} {sign.path}: "
                said.append(f"{line}give --dialect {known.name}")
        return None


@dataclass
class _Answers:
    """What is answered at `address`, each request asked once; `said` is told where nothing is."""

    address: Address
    said: list[str]
    is_anybody_there: bool = True
    _answers: dict[Request, Answer | None] = field(default_factory=dict)
    #: What was asked, by what it was answered with where that was not the right answer.
    _others: dict[str, list[str]] = field(default_factory=dict)

    def to(self, request: Request) -> Answer | None:
        """The answer to `request`; None where there is none."""
        if request not in self._answers and self.is_anybody_there:
            self._answers[request] = probe(self.address, request, self.said)
        return self._answers.get(request)

    def is_answered(self, request: Request, is_right: Callable[[int, bytes], bool]) -> bool:
        """Whether the answer `is_right`; one that is not is kept, to be told."""
        answer = self.to(request)
        if answer is None or is_right(answer.status, answer.body):
            return answer is not None
        asked = self._others.setdefault(f"{answer.status} {server_message(answer.body)[:80]!r}", [])
        if (line := f"{request.method} {request.path}") not in asked:
            asked.append(line)
        return False

    def show(self, known: Dialect) -> bool:
        """Whether `known` is spoken, by its health and by its sign."""
        health = known.health()
        is_shown = self.is_answered(health, known.is_health) and self.is_answered(known.sign(), known.is_sign)
        # Where its health is not answered at all nobody is there, whatever it would speak.
        self.is_anybody_there = self.to(health) is not None
        return is_shown and not (_says_nothing(known) and self._has_everything())

    def may_be_another(self, known: Dialect) -> bool:
        """Whether `known` is spoken by one that says nothing, where another that was looked for may want a token.

        A 403 does not tell that where what nobody has is answered so, too.
        """
        statuses = {asked: answer.status for asked, answer in self._answers.items() if answer and asked.method == "GET"}
        nowhere = statuses.get(_NOWHERE)
        return _says_nothing(known) and any(one == 401 or one == 403 != nowhere for one in statuses.values())

    def shows_sign(self, known: Dialect) -> bool:
        """Whether it gives the sign of `known`."""
        answer = self.to(known.sign())
        if answer is None or (answer.status >= 400 and answer.status != _WRONG_METHOD):
            return False
        return known.is_sign(answer.status, answer.body)

    def may_be(self, known: Dialect) -> bool:
        """Whether it gives the sign of `known`, and not whatever it is asked."""
        return self.shows_sign(known) and not (known.is_sign(200, b"") and self._has_everything())

    def lists_models(self) -> bool:
        """Whether it lists what it serves to who manages it."""
        for known in dialects():
            request = known.admin.list_models().request if known.admin else None
            if request and request.method == "GET" and (answer := self.to(request)):
                return answer.status == 200 and isinstance(json_object(answer.body).get("models"), list)
        return False

    def told(self) -> Iterator[str]:
        """What was answered that was not right, in words: what was answered alike is told together."""
        for words, asked in self._others.items():
            yield f"{self.address.url} answers {', '.join(asked)} with {words}"

    def _has_everything(self) -> bool:
        """Whether it answers as if it had what nobody has."""
        return self.to(_NOWHERE) is not None and not self.is_answered(_NOWHERE, lambda status, _: status >= 400)


def _says_nothing(known: Dialect) -> bool:
    """Whether whatever is answered with 200 is its health, and its sign."""
    return known.is_health(200, b"") and known.is_sign(200, b"")


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
