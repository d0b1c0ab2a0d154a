"""Client certificates: each file that cannot be used is named, with what to give instead."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from servemark.errors import UsageError
from servemark.servers.trust import Trust, tls_context, tls_for


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
