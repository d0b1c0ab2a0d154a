"""``-H``: what is read, what is filled in from the environment, what of it may be shown, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from servemark.errors import UsageError
from servemark.runner.redaction import Redaction
from servemark.servers.http.connection import http_client
from servemark.workload.address import Address
from servemark.workload.compiling import compile_request
from servemark.workload.headers import MASK, Header, basic_header, parse_headers, replaced
from servemark.workload.scenario import Request

ENVIRONMENT = {"TOKEN": "abc-123", "EMPTY": "", "LINES": "a\nb", "KANJI": "\u6f22", "_A1": "x"}


def one(text: str) -> Header:
    (header,) = parse_headers([text], ENVIRONMENT)
    return header


@pytest.mark.parametrize(
    ("text", "name", "value", "secrets"),
    [
        ("Accept: application/json", "Accept", "application/json", ()),
        ("accept:text/plain", "accept", "text/plain", ()),
        ("X-Empty:", "X-Empty", "", ()),
        ("X-Time: 12:30", "X-Time", "12:30", ()),
        ("X-Price: 3$$", "X-Price", "3$", ()),
        ("X-Umlaut: \xe4", "X-Umlaut", "\xe4", ()),
        ("X-Euro: \u20ac $KANJI", "X-Euro", "\u20ac \u6f22", ("\u6f22",)),
        ("X-Bytes: \udcff", "X-Bytes", "\udcff", ()),
        ("X-Run: a-$_A1-${TOKEN}b", "X-Run", "a-x-abc-123b", ("x", "abc-123")),
        ("X-Run: $$TOKEN", "X-Run", "$TOKEN", ()),
        ("X-Run: [$EMPTY]", "X-Run", "[]", ()),
        ("Authorization: Bearer $TOKEN", "Authorization", "Bearer abc-123", ("abc-123", "Bearer abc-123")),
        ("Authorization: Basic dTpw", "Authorization", "Basic dTpw", ("Basic dTpw", "dTpw")),
        ("x-api-key: k", "x-api-key", "k", ("k",)),
    ],
)
def test_a_header_is_sent_as_written_with_variables_filled_in(text, name, value, secrets):
    header = one(text)
    assert (header.name, header.value, header.secrets) == (name, value, secrets)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Accept: application/json", "Accept: application/json"),
        ("Authorization: Bearer $TOKEN", "Authorization: Bearer $TOKEN"),
        ("Authorization: ${TOKEN}", "Authorization: ${TOKEN}"),
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("Authorization: Bearer", "Authorization: ***"),
        ("Cookie: id=7; csrf=$TOKEN", "Cookie: ***"),
        ("Proxy-Authorization: Basic dTpw", "Proxy-Authorization: ***"),
        ("X-Api-Key: $$", "X-Api-Key: ***"),
        ("X-Auth-Token: t", "X-Auth-Token: ***"),
        ("X-Run: $TOKEN", "X-Run: $TOKEN"),
    ],
)
def test_the_command_in_the_result_keeps_names_of_variables_and_no_value_that_is_a_secret(text, shown):
    header = one(text)
    assert (header.given, header.shown) == (text, shown)
    assert "abc-123" not in repr(header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Accept", "-H has no colon; write 'NAME: VALUE'"),
        ("", "-H has no colon"),
        (": x", "-H has no name before its colon"),
        ("Accept : x", "-H 'Accept ' is no name of a header"),
        ("X\xe4: x", "is no name of a header"),
        ("X-A: a\r\nX-B: b", "-H X-A holds a line break"),
        ("X-A: a\nb", "-H X-A holds a line break"),
        ("X-A: \ud800", "-H X-A holds what is no character"),
        ("X-A: a\0b", "-H X-A holds a control character"),
        ("X-A: $NOT_SET", "-H X-A needs the environment variable NOT_SET, which is not set; export NOT_SET"),
        ("X-A: ${NOT_SET}", "needs the environment variable NOT_SET"),
        ("X-A: 5$", "-H X-A has a $ that begins no name; write $NAME or ${NAME}"),
        ("X-A: ${TOKEN", "has a $ that begins no name"),
        ("X-A: $1", "has a $ that begins no name"),
        ("X-A: $LINES", "the environment variable LINES, for -H X-A, holds a line break"),
        ("Content-Length: 3", "-H Content-Length cannot be given: it is counted from the body"),
        ("transfer-encoding: chunked", "-H transfer-encoding cannot be given"),
    ],
)
def test_a_malformed_header_is_refused_without_showing_a_value(text, message):
    with pytest.raises(UsageError) as refused:
        one(text)
    assert message in str(refused.value)
    assert "abc-123" not in str(refused.value)


def test_of_some_headers_there_is_one():
    with pytest.raises(UsageError, match="-H Host is given twice"):
        parse_headers(["Host: a", "host: b"], {})
    assert len(parse_headers(["X-A: a", "X-A: b"], {})) == 2


def test_a_user_of_a_url_becomes_a_header_that_is_all_secret():
    header = basic_header("me", "p\xe4ss")
    assert header.value == "Basic bWU6cMOkc3M="
    assert set(header.secrets) == {"bWU6cMOkc3M=", "p\xe4ss"}
    assert "bWU6" not in repr(header)


def test_given_headers_stand_in_the_place_of_ours_whatever_their_letters():
    own = [("Content-Type", "image/jpeg"), ("X-Own", "1")]
    assert replaced(own, parse_headers(["content-type: a/b", "X-New: 2"], {})) == [
        ("X-Own", "1"),
        ("content-type", "a/b"),
        ("X-New", "2"),
    ]


def test_a_request_goes_out_with_them():
    headers = parse_headers(["User-Agent: mine", "Host: other", "X-A: a", "X-A: b", "Content-Type: text/plain"], {})
    request = Request("POST", "/x", (("Content-Type", "image/jpeg"),), b"body")
    sent = compile_request(request, Address("h", "127.0.0.1", 8080, headers=headers))
    assert (sent.method, sent.target, sent.body) == (b"POST", b"/x", b"body")
    assert sent.headers == (
        (b"Host", b"other"),
        (b"User-Agent", b"mine"),
        (b"X-A", b"a"),
        (b"X-A", b"b"),
        (b"Content-Type", b"text/plain"),
    )


def test_values_go_out_in_utf_8_and_bytes_that_are_no_text_as_they_came():
    headers = parse_headers(["X-A: \xfc\u20ac", "X-B: \udcff"], {})
    sent = compile_request(Request("GET", "/"), Address("h", "127.0.0.1", 8080, headers=headers))
    assert sent.headers[1:3] == ((b"X-A", b"\xc3\xbc\xe2\x82\xac"), (b"X-B", b"\xff"))
    client = http_client(Address("h", "127.0.0.1", 8080, headers=headers), 1.0)
    assert (b"X-A", b"\xc3\xbc\xe2\x82\xac") in client.headers.raw


@pytest.mark.parametrize("secret", ["gr\xfc\xdfe-an-alle", "\u6f22\u5b57\u6f22\u5b57-x", "abc-\udcff-defg"])
def test_a_secret_that_is_no_ascii_is_masked_in_each_spelling(secret):
    (header,) = parse_headers(["Authorization: $SECRET"], {"SECRET": secret})
    redaction = Redaction([header])
    sent = secret.encode("utf-8", "surrogateescape")
    for said in (secret, sent.decode("utf-8", "replace"), sent.decode("latin-1"), quote(sent)):
        assert redaction.text(f"you sent {said}!") == f"you sent {MASK}!"
