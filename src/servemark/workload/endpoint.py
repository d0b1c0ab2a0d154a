"""An HTTP endpoint: the URL of the benchmark http, and ``--connect-to``. Nothing is looked up here."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from servemark.errors import UsageError
from servemark.workload.headers import MASK, Header, basic_header

DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<user>[^/?#]*)@)?"
    r"(?P<place>\[[^/?#\]]*\][^/?#]*|[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_PLACE = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<host>[A-Za-z0-9._~-]*))(?::(?P<port>.*))?", re.DOTALL)
_WRITE_URL = "write http(s)://HOST[:PORT]/PATH, IPv6 addresses in brackets"


@dataclass(frozen=True)
class Place:
    """A host, without brackets and with the zone of an IPv6 address (``fe80::1%eth0``), and a port."""

    host: str
    port: int


@dataclass(frozen=True)
class Endpoint:
    """What a URL names.

    Attributes:
        scheme: http or https.
        place: host and port, the scheme's own when none was written.
        target: path and query, as they are sent.
        credentials: the header that its user and password become.
    """

    scheme: str
    place: Place
    target: str
    credentials: Header | None = None

    @property
    def authority(self) -> str:
        """Host and port as in a URL; the scheme's own port is left out."""
        host = in_url(self.place.host)
        return host if self.place.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.place.port}"

    @property
    def url(self) -> str:
        """The URL without user, password and fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(text: str) -> Endpoint:
    """Read ``http(s)://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]``; a fragment is dropped, for it is never sent.

    Raises:
        UsageError: it has another form; does not show user and password.
    """
    shown = without_user(text)

    def refused(cause: str, next_step: str = _WRITE_URL) -> UsageError:
        return UsageError(f"cannot read the URL {shown!r}", cause=cause, next_step=next_step)

    if not text.isascii() or not text.isprintable() or " " in text:
        raise refused(
            "it holds a space, or a character that is not ASCII",
            "percent-encode it in path and query, write a host in its xn-- form",
        )
    match = _URL.fullmatch(text)
    if match is None:
        raise refused("it does not begin with http:// or https://")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise refused(f"{scheme} is neither http nor https")
    target = (match["path"] or "/") + (match["query"] or "")
    if re.search(r"%(?![0-9A-Fa-f]{2})", target):
        raise refused("a % in it is not followed by two hexadecimal digits", "write %25 for a percent sign")
    place = _place(match["place"], DEFAULT_PORTS[scheme])
    if isinstance(place, str):
        raise refused(place)
    credentials = None
    if match["user"] is not None:
        user, _, password = match["user"].partition(":")
        if not user:
            raise refused("there is no user before its @")
        credentials = basic_header(unquote(user), unquote(password))
    return Endpoint(scheme, place, target, credentials)


def parse_place(text: str) -> Place:
    """Read ``HOST:PORT``, as ``--connect-to`` has it.

    Raises:
        UsageError: it has another form.
    """
    place = _place(text, None)
    if isinstance(place, str):
        raise UsageError(
            f"cannot read {without_user(text)!r} as HOST:PORT",
            cause=place,
            next_step="as in --connect-to 127.0.0.1:8080, IPv6 addresses in brackets",
        )
    return place


def ipv6_host(text: str) -> str:
    """The address within the brackets of a URL, its zone (the network interface of a link-local one) behind a ``%``.

    RFC 6874 writes ``%25lo``, and people ``%lo``, as they see it elsewhere.

    Raises:
        ValueError: it is none.
    """
    address, mark, zone = text.partition("%")
    ipaddress.IPv6Address(address)
    if not mark:
        return address
    zone = unquote(zone[2:] if zone.startswith("25") and len(zone) > 2 else zone)
    if not zone or not zone.isprintable() or not zone.isascii() or any(letter in " /%[]" for letter in zone):
        raise ValueError("its zone is no network interface")
    return f"{address}%{zone}"


def without_zone(host: str) -> str:
    """`host` as it is told to a server: the zone of an address says something on this machine alone."""
    return host.partition("%")[0] if ":" in host else host


def in_url(host: str) -> str:
    """`host` as it is written in a URL: addresses of IPv6 in brackets, their zone as RFC 6874 has it."""
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def without_user(url: str) -> str:
    """`url` with its user and password masked, so that it can be shown."""
    return re.sub(r"^([^/?#@]*//)?[^/?#]*@", rf"\g<1>{MASK}@", url, count=1)


def _place(text: str, default_port: int | None) -> Place | str:
    """Host and port, or what is wrong with them."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return "its host holds a character that no host has"
    host = match["host"]
    if match["ipv6"] is not None:
        try:
            host = ipv6_host(match["ipv6"])
        except ValueError:
            return f"{match['ipv6']!r} is no IPv6 address"
    if not host:
        return "it names no host"
    port = match["port"]
    if port is None:
        return "it names no port" if default_port is None else Place(host, default_port)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return f"{port!r} is no port from 1 to 65535"
    return Place(host, int(port))
