"""What ``--server`` accepts, and what it refuses with one line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from servemark.errors import UnreachableError, UsageError
from servemark.servers.http import finding
from servemark.servers.http.finding import Target, find_server, parse_target
from servemark.servers.http.trust import Trust, tls_for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8443", Target("127.0.0.1", None, 8443)),
        ("https://localhost:8443", Target("localhost", "https", 8443)),
        ("HTTP://Example.org", Target("Example.org", "http", None)),
        ("localhost", Target("localhost", None, None)),
        ("http://localhost:80/", Target("localhost", "http", 80)),
        ("[::1]:8080", Target("::1", None, 8080)),
        ("https://[2001:db8::1]", Target("2001:db8::1", "https", None)),
        ("[fe80::1%25eth0]:8080", Target("fe80::1%eth0", None, 8080)),
        ("[fe80::1%eth0]:8080", Target("fe80::1%eth0", None, 8080)),
        ("  host:1 ", Target("host", None, 1)),
    ],
)
def test_targets(text: str, expected: Target) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8080",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:http",
        "host:8080/path",
        "::1",
        "[::g]:80",
        "[::1:80",
        "ftp://host",
        "http://user@host",
        "http://",
        "a:b:c",
        "host:٣",
    ],
)
def test_bad_forms_say_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read the server .*write \[http://\|https://\]HOST\[:PORT\]"):
        parse_target(text)


@pytest.mark.parametrize(
    ("text", "ports"),
    [("host", [8080, 8443]), ("http://host", [8080]), ("https://host", [8443]), ("https://host:80", [80])],
)
def test_without_a_port_it_is_looked_for_at_the_servers_own(
    monkeypatch: pytest.MonkeyPatch, text: str, ports: list[int]
) -> None:
    def look(host: str, at: list[int], _option: str) -> tuple[str, int]:
        raise UnreachableError(f"{host} {at}")

    monkeypatch.setattr(finding, "connectable", look)
    with pytest.raises(UnreachableError) as looked:
        find_server(text, trust=Trust(), progress=print)
    assert looked.value.what == f"host {ports}"


def test_certificates_of_loopback_hosts_are_not_checked_and_others_are() -> None:
    assert not tls_for("localhost", "127.0.0.1", Trust()).verify
    assert not tls_for("localhost", "::1", Trust()).verify
    for host in ("127.0.0.1", "::1", "LOCALHOST.", "models.localhost", "ip6-loopback", socket.gethostname()):
        assert not tls_for(host, "127.0.0.1", Trust()).verify
    other = tls_for("example.org", "192.0.2.1", Trust())
    assert other.verify
    assert b"BEGIN CERTIFICATE" in other.ca_pem
    assert other.server_name == "example.org"
    assert not tls_for("example.org", "192.0.2.1", Trust(insecure=True)).verify


@pytest.mark.parametrize(
    ("host", "ip"),
    [
        ("models.example", "127.0.0.1"),  # --connect-to, a tunnel, /etc/hosts
        ("192.0.2.1", "127.0.0.1"),
        ("localhost.example", "::1"),
        ("localhost", "192.0.2.1"),  # --connect-to from this machine's name to another
    ],
)
def test_a_certificate_is_checked_unless_name_and_place_are_this_machines(host: str, ip: str) -> None:
    assert tls_for(host, ip, Trust()).verify
    assert not tls_for(host, ip, Trust(insecure=True)).verify


def test_a_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no PEM certificate"):
        tls_for("example.org", "192.0.2.1", Trust(ca_file=tmp_path / "text"))
    with pytest.raises(UsageError, match="cannot read the CA file"):
        tls_for("example.org", "192.0.2.1", Trust(ca_file=tmp_path / "missing"))
    with pytest.raises(UsageError, match="contradict"):
        tls_for("example.org", "192.0.2.1", Trust(ca_file=tmp_path / "text", insecure=True))
