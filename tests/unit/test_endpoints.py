"""``--url`` and ``--connect-to``: every form that is read, and every one that is refused."""

from __future__ import annotations

import socket

import pytest

from servemark.errors import UnreachableError, UsageError
from servemark.servers.http import reachability
from servemark.servers.http.reachability import connectable
from servemark.servers.http.trust import Trust, tls_for
from servemark.workload.address import Address, Tls
from servemark.workload.endpoint import Place, parse_place, parse_url, without_user


@pytest.mark.parametrize(
    ("text", "scheme", "place", "target", "url"),
    [
        ("http://h", "http", ("h", 80), "/", "http://h/"),
        ("http://h/", "http", ("h", 80), "/", "http://h/"),
        ("HTTPS://Example.org/A", "https", ("Example.org", 443), "/A", "https://Example.org/A"),
        ("http://h:8080/a/b?x=1&y=%20#part", "http", ("h", 8080), "/a/b?x=1&y=%20", "http://h:8080/a/b?x=1&y=%20"),
        ("http://h?x=1", "http", ("h", 80), "/?x=1", "http://h/?x=1"),
        ("http://h/?", "http", ("h", 80), "/?", "http://h/?"),
        ("http://h#part", "http", ("h", 80), "/", "http://h/"),
        ("http://127.0.0.1:80/x", "http", ("127.0.0.1", 80), "/x", "http://127.0.0.1/x"),
        ("https://[::1]:8443/x", "https", ("::1", 8443), "/x", "https://[::1]:8443/x"),
        ("http://[2001:db8::1]", "http", ("2001:db8::1", 80), "/", "http://[2001:db8::1]/"),
        ("http://[fe80::1%25lo]:81/x", "http", ("fe80::1%lo", 81), "/x", "http://[fe80::1%25lo]:81/x"),
        ("http://[fe80::1%eth0.5]/", "http", ("fe80::1%eth0.5", 80), "/", "http://[fe80::1%25eth0.5]/"),
        ("http://[fe80::1%252]/", "http", ("fe80::1%2", 80), "/", "http://[fe80::1%252]/"),
        ("http://[fe80::1%25wl%2dan]/", "http", ("fe80::1%wl-an", 80), "/", "http://[fe80::1%25wl-an]/"),
        ("http://a_b-c.d~e/x?q=http://k/@", "http", ("a_b-c.d~e", 80), "/x?q=http://k/@", None),
        ("http://h//double/../kept", "http", ("h", 80), "//double/../kept", "http://h//double/../kept"),
        ("http://u:p@h/x", "http", ("h", 80), "/x", "http://h/x"),
    ],
)
def test_a_url_is_read(text, scheme, place, target, url):
    endpoint = parse_url(text)
    assert (endpoint.scheme, endpoint.place, endpoint.target) == (scheme, Place(*place), target)
    assert url in (None, endpoint.url)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "does not begin with http:// or https://"),
        ("h:80/x", "does not begin with http:// or https://"),
        ("localhost:8080", "does not begin with"),
        ("//h/x", "does not begin with"),
        ("http:/h", "does not begin with"),
        ("ftp://h/x", "ftp is neither http nor https"),
        ("http://", "it names no host"),
        ("http:///x", "it names no host"),
        ("http://:80/", "it names no host"),
        ("http://h:/", "'' is no port from 1 to 65535"),
        ("http://h:0/", "'0' is no port from 1 to 65535"),
        ("http://h:65536/", "'65536' is no port"),
        ("http://h:-1/", "'-1' is no port"),
        ("http://h:http/", "'http' is no port"),
        ("http://h:80:81/", "'80:81' is no port"),
        ("http://::1/", "it names no host"),
        ("http://[::1/", "its host holds a character that no host has"),
        ("http://[::g]/", "'::g' is no IPv6 address"),
        ("http://[]/", "'' is no IPv6 address"),
        ("http://[fe80::1%]/", "'fe80::1%' is no IPv6 address"),
        ("http://[fe80::1%25a%2fb]/", "'fe80::1%25a%2fb' is no IPv6 address"),
        ("http://[::1]x/", "its host holds a character that no host has"),
        ("http://h$/", "its host holds a character that no host has"),
        ("http://h/a b", "it holds a space, or a character that is not ASCII; percent-encode it"),
        ("http://h/\t", "it holds a space, or a character that is not ASCII"),
        ("http://h/\r\nX: y", "it holds a space, or a character that is not ASCII"),
        ("http://b\xfccher/", "it holds a space, or a character that is not ASCII"),
        ("http://h/%zz", "a % in it is not followed by two hexadecimal digits; write %25"),
        ("http://h/100%", "a % in it is not followed by two"),
        ("http://@h/", "there is no user before its @"),
        ("http://:pw@h/", "there is no user before its @"),
    ],
)
def test_a_malformed_url_is_refused(text, cause):
    with pytest.raises(UsageError, match="cannot read the URL") as refused:
        parse_url(text)
    assert cause in str(refused.value)


@pytest.mark.parametrize("text", ["http://me:s3cret@h:x/", "http://me:s3cret@h/ ", "me:s3cret@h"])
def test_a_refusal_shows_no_password(text):
    with pytest.raises(UsageError) as refused:
        parse_url(text)
    assert "s3cret" not in str(refused.value)


def test_user_and_password_become_a_header_and_are_nowhere_else():
    endpoint = parse_url("http://me:p%40ss:w@h/x")
    assert endpoint.credentials is not None
    assert endpoint.credentials.value == "Basic bWU6cEBzczp3"
    assert "ss" not in repr(endpoint)
    assert without_user("http://me:p@h/x?y=a@b") == "http://***@h/x?y=a@b"
    assert without_user("http://h/x?y=a@b") == "http://h/x?y=a@b"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("h:80", ("h", 80)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:443", ("::1", 443)),
        ("[fe80::1%25lo]:1", ("fe80::1%lo", 1)),
    ],
)
def test_a_place_to_connect_to(text, place):
    assert parse_place(text) == Place(*place)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("h", "it names no port"),
        ("h:", "'' is no port"),
        (":80", "it names no host"),
        ("h:99999", "'99999' is no port"),
        ("http://h:80", "'//h:80' is no port"),
        ("h:80/x", "'80/x' is no port"),
        ("[::1]", "it names no port"),
        ("[::x]:80", "'::x' is no IPv6 address"),
    ],
)
def test_a_malformed_place_is_refused(text, cause):
    with pytest.raises(UsageError, match="as HOST:PORT") as refused:
        parse_place(text)
    assert cause in str(refused.value)


@pytest.mark.parametrize(
    ("address", "authority"),
    [
        (Address("h", "127.0.0.1", 8080), "h:8080"),
        (Address("h", "127.0.0.1", 80), "h"),
        (Address("h", "127.0.0.1", 443), "h:443"),
        (Address("h", "127.0.0.1", 443, Tls("h", verify=False)), "h"),
        (Address("::1", "::1", 81), "[::1]:81"),
        (Address("fe80::1%lo", "fe80::1%1", 81), "[fe80::1]:81"),  # the zone is this machine's affair
        (Address("h", "127.0.0.1", 9999, named_port=80), "h"),
        (Address("h", "127.0.0.1", 9999, named_port=81), "h:81"),
    ],
)
def test_the_host_header_names_what_was_asked_for_and_no_port_that_goes_without_saying(address, authority):
    assert address.authority == authority


def test_a_zone_is_shown_and_its_number_is_connected_to():
    (index, name) = next(found for found in socket.if_nameindex() if found[1] == "lo")
    address = Address(f"fe80::1%{name}", f"fe80::1%{index}", 81)
    assert address.url == "http://[fe80::1%25lo]:81"
    assert tls_for(f"fe80::1%{name}", address.ip, Trust(insecure=True)).server_name == "fe80::1"
    assert reachability._literal(("fe80::1%lo", 81, 0, index)) == f"fe80::1%{index}"
    assert reachability._literal(("::1", 81, 0, 0)) == "::1"


def test_an_interface_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(UnreachableError, match=r"no network interface 'eth77': it has .*lo.* in --url"):
        connectable("fe80::1%eth77", [80], "--url")
