"""Header fields that the user gives (``-H``): read, filled in from the environment, and what of them may be shown.

A value may name variables of the environment, ``$NAME`` or ``${NAME}``; ``$$`` is a dollar. What came from there, and
the values of fields that carry secrets whatever they hold, may be sent and written nowhere.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from servemark.errors import UsageError

#: What stands in the place of a secret.
MASK = "***"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\}|)", re.ASCII)
#: Fields whose values are secrets, and parts of the names of others.
_SECRET_NAMES = {"authorization", "proxy-authorization", "cookie"}
_SECRET_PARTS = ("api-key", "apikey", "token", "secret", "password", "credential", "session")
#: A word before the secret itself, which tells what kind it is: "Bearer".
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\s+")
#: Fields that the engines write themselves, and why.
_OURS = {
    "content-length": "it is counted from the body",
    "transfer-encoding": "bodies are sent whole, with their length",
}
#: Fields of which a request has one.
_ONLY_ONCE = {"host", "content-type"}


@dataclass(frozen=True)
class Header:
    """One field of a request's head.

    Attributes:
        name: as it is sent.
        value: the text that is sent, in UTF-8.
        secrets: parts of the value that may be written nowhere; empty when all of it may be.
        given: the text that it was read from, and `shown` what of that text may be shown.
    """

    name: str
    value: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    given: str = field(default="", repr=False)
    shown: str = ""


def parse_headers(texts: Sequence[str], environment: Mapping[str, str]) -> tuple[Header, ...]:
    """The fields in `texts`, each ``NAME: VALUE``, with the variables of `environment` filled in.

    Raises:
        UsageError: one is malformed, names a variable that is not set, or is not the user's to give. It does not show
            what may be secret.
    """
    headers = tuple(_parse(text, environment) for text in texts)
    names = [header.name.lower() for header in headers]
    for name in _ONLY_ONCE.intersection(names):
        if names.count(name) > 1:
            raise UsageError(f"-H {name.title()} is given twice", next_step="a request has one: give it once")
    return headers


def basic_header(user: str, password: str) -> Header:
    """``Authorization: Basic`` (RFC 7617) of a user in a URL; none of it may be shown."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return Header("Authorization", f"Basic {token}", secrets=tuple(filter(None, (token, password))))


def wire(fields: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The fields of a head as they go out: values in UTF-8, those that were no text as the bytes that they were."""
    return [(name.encode("ascii"), _encoded(value)) for name, value in fields]


def carries_secrets(name: str) -> bool:
    """Whether the values of that header are secrets, whatever they hold."""
    return name.lower() in _SECRET_NAMES or any(part in name.lower() for part in _SECRET_PARTS)


def replaced(own: Sequence[tuple[str, str]], given: Sequence[Header]) -> list[tuple[str, str]]:
    """The fields of a request of ours, those of the same name in the place of which others are given, and the rest."""
    names = {header.name.lower() for header in given}
    kept = [(name, value) for name, value in own if name.lower() not in names]
    return kept + [(header.name, header.value) for header in given]


def _parse(text: str, environment: Mapping[str, str]) -> Header:
    name, colon, raw = text.partition(":")
    if not colon:
        # Whatever this was meant to be, it may be a secret.
        raise UsageError("-H has no colon", next_step="write 'NAME: VALUE', as in -H 'Accept: application/json'")
    if not name:
        raise UsageError("-H has no name before its colon", next_step="write 'NAME: VALUE'")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"-H {name!r} is no name of a header",
            cause="it may hold letters, digits and !#$%&'*+.^_`|~- only",
            next_step="write 'NAME: VALUE', without a space before the colon",
        )
    if name.lower() in _OURS:
        raise UsageError(f"-H {name} cannot be given", cause=_OURS[name.lower()], next_step="leave it out")
    raw = raw.strip(" \t")
    secrets: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        variable = match["plain"] or match["braced"]
        if variable is None:
            raise UsageError(
                f"-H {name} has a $ that begins no name",
                next_step="write $NAME or ${NAME} for a variable of the environment, $$ for a dollar",
            )
        if variable not in environment:
            raise UsageError(
                f"-H {name} needs the environment variable {variable}, which is not set",
                next_step=f"export {variable}, or write $$ for a dollar that is one",
            )
        _check_value(environment[variable], f"the environment variable {variable}, for -H {name},")
        secrets.append(environment[variable])
        return environment[variable]

    _check_value(raw, f"-H {name}")
    value = _VARIABLE.sub(fill, raw).strip(" \t")
    shown = text
    if carries_secrets(name):
        literal = _SCHEME.sub("", _VARIABLE.sub("", raw), count=1) if secrets else raw
        if literal.strip():
            shown = f"{name}: {MASK}"
        secrets += [value, _SCHEME.sub("", value, count=1)]
    return Header(name, value, tuple(dict.fromkeys(filter(None, secrets))), text, shown)


def _check_value(value: str, what: str) -> None:
    if re.search(r"[\r\n]", value):
        raise UsageError(f"{what} holds a line break", next_step="a header is one line")
    try:
        _encoded(value)
    except UnicodeEncodeError:
        raise UsageError(f"{what} holds what is no character", next_step="take it out") from None
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value):
        raise UsageError(f"{what} holds a control character", next_step="take it out")


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
