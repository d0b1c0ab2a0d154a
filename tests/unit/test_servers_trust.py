"""Client certificates: each file that cannot be used is named, with what to give instead."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from servemark.environments.authorities import system_authorities, trusting
from servemark.errors import UsageError
from servemark.servers.http.trust import Trust, tls_context, tls_for


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two certificates and their keys, one of them encrypted too, and a file with both."""
    folder = tmp_path_factory.mktemp("client")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("one", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    rsa = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl("req", "-x509", *rsa, "-keyout", "rsa.key", "-out", "rsa.pem", "-subj", "/CN=rsa")
    openssl("pkey", "-in", "one.key", "-aes256", "-passout", "pass:x", "-out", "encrypted.key")
    openssl("ec", "-in", "one.key", "-aes256", "-passout", "pass:x", "-out", "old-encrypted.key")
    (folder / "both.pem").write_bytes((folder / "one.pem").read_bytes() + (folder / "one.key").read_bytes())
    (folder / "text").write_text("nothing")
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return folder


@pytest.mark.parametrize(("certificate", "key"), [("one.pem", "one.key"), ("both.pem", None), ("both.pem", "one.key")])
def test_a_certificate_and_its_key(files: Path, certificate: str, key: str | None) -> None:
    trust = Trust(client_cert=files / certificate, client_key=files / key if key else None)
    tls = tls_for("h", "127.0.0.1", trust)
    assert tls.client_cert_pem == (files / certificate).read_bytes()
    assert tls.client_key_pem == (files / (key or certificate)).read_bytes()
    tls_context(tls)
    assert "PRIVATE" not in repr(tls)


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("one.pem", "other.key", "one.pem; give --client-key the key that the certificate was made of"),
        ("one.pem", "rsa.key", "rsa.key does not belong to the certificate"),
        ("rsa.pem", "one.key", "one.key does not belong to the certificate"),
        ("one.pem", "encrypted.key", "encrypted.key is encrypted; decrypt it"),
        ("one.pem", "old-encrypted.key", "old-encrypted.key is encrypted; decrypt it"),
        ("one.pem", None, "there is no PEM private key in"),
        ("one.pem", "text", "there is no PEM private key in"),
        ("one.key", "one.key", "holds no PEM certificate; give --client-cert and --client-key PEM files"),
        ("broken.pem", "one.key", "broken.pem or its key cannot be used"),
        ("none.pem", "one.key", "cannot read the client certificate"),
        ("one.pem", "none.key", "cannot read the client key"),
    ],
)
def test_what_cannot_be_used_is_named(files: Path, certificate: str, key: str | None, message: str) -> None:
    trust = Trust(client_cert=files / certificate, client_key=files / key if key else None)
    with pytest.raises(UsageError) as refused:
        tls_for("h", "127.0.0.1", trust)
    assert message in str(refused.value)


def test_a_key_alone_is_refused(files: Path) -> None:
    with pytest.raises(UsageError, match="--client-key needs --client-cert"):
        tls_for("h", "127.0.0.1", Trust(client_key=files / "one.key"))


@pytest.mark.parametrize(
    "form", ["utf-8 comments", "byte order mark", "der", "text before", "windows", "old mark", "two"]
)
def test_a_ca_file_is_read_in_every_form_that_people_have(files: Path, tmp_path: Path, form: str) -> None:
    pem = (files / "one.pem").read_bytes()
    text = subprocess.run(
        ["openssl", "x509", "-text", "-in", files / "one.pem"], capture_output=True, check=True
    ).stdout
    forms = {
        "utf-8 comments": "# Główny urząd, Área de Certificación, 認證\n".encode() + pem + "# füür\n".encode(),
        "byte order mark": b"\xef\xbb\xbf" + pem,
        "der": ssl.PEM_cert_to_DER_cert(pem.decode()),
        "text before": text,
        "windows": pem.replace(b"\n", b"\r\n"),
        "old mark": pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
        "two": pem + b"# between\n" + (files / "other.pem").read_bytes(),
    }
    (tmp_path / "ca").write_bytes(forms[form])
    tls = tls_for("example.org", "192.0.2.1", Trust(ca_file=tmp_path / "ca"))
    expected = [pem, (files / "other.pem").read_bytes()] if form == "two" else [pem]
    assert tls.ca_pem == b"".join(expected)
    assert len(tls_context(tls).get_ca_certs()) + _not_authorities(tls.ca_pem) == len(expected)


def _not_authorities(pem: bytes) -> int:
    return 0 if ssl.create_default_context(cadata=pem.decode()).get_ca_certs() else pem.count(b"BEGIN")


def test_a_client_certificate_may_begin_with_a_byte_order_mark(files: Path, tmp_path: Path) -> None:
    for name in ("one.pem", "one.key"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf# B\xc3\xbcro\n" + (files / name).read_bytes())
    tls = tls_for("h", "127.0.0.1", Trust(client_cert=tmp_path / "one.pem", client_key=tmp_path / "one.key"))
    assert tls.client_cert_pem.startswith(b"# B")
    tls_context(tls)


def test_the_systems_authorities_are_those_of_its_file_and_of_its_folders(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = ((files / name).read_bytes() for name in ("one.pem", "other.pem"))
    (tmp_path / "file").write_bytes(
        "# żółw\n".encode() + one + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    for name, content in (("a", other), ("b", one)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "company.crt").write_bytes(content)
        (tmp_path / name / "12345678.0").symlink_to("company.crt")
    (tmp_path / "a" / "README").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "file"))
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{tmp_path / 'missing'}")
    assert system_authorities() == one + other
    monkeypatch.delenv("SSL_CERT_FILE")
    assert other in system_authorities(), "a folder adds to what the system has"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing"))
    assert system_authorities().count(b"BEGIN CERTIFICATE") > 50, "certifi's"


def test_what_is_trusted_is_not_held_to_the_letter_of_rfc_5280(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ssl.create_default_context

    def strict(*args: Any, **options: Any) -> ssl.SSLContext:  # as Python does from 3.13 on
        context = real(*args, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    for context in (
        trusting((files / "one.pem").read_bytes()),
        tls_context(tls_for("example.org", "192.0.2.1", Trust(ca_file=files / "one.pem"))),
    ):
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
