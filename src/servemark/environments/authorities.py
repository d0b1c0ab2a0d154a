"""Certificates of authorities: those that a file holds, those that this system trusts, and Python's TLS with them.

Read as other programs read them: a bundle may hold comments in any letters, a mark of its byte order, or one
certificate in its binary form; a company may keep its own authority in a folder (SSL_CERT_DIR) beside the system's
file, and may have made it before its extensions had to follow RFC 5280 to the letter.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PEM = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----\s*(.*?)-----END (?:X509 )?CERTIFICATE-----", re.DOTALL)
#: How the binary form of a certificate begins: a sequence whose length takes two bytes, or three.
_DER = (b"\x30\x82", b"\x30\x83")
#: Where systems keep their bundle, for a Python whose OpenSSL was built to look elsewhere.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def certificates(content: bytes) -> bytes:
    """The certificates in `content`, PEM with whatever is between them or DER, as plain PEM; empty when it has none.

    Raises:
        ValueError: what looks like one is none.
    """
    if content.startswith(_DER):
        return _pem([content])
    return _pem([_der(found[1]) for found in _PEM.finditer(content)])


def system_authorities() -> bytes:
    """The certificates that this system trusts, as PEM; certifi's where it has none.

    They are in the file SSL_CERT_FILE, else OpenSSL's own or the system's, and in every file of the folders
    SSL_CERT_DIR, else OpenSSL's own.
    """
    found: dict[bytes, None] = {}
    judge = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in _files():
        with suppress(OSError):
            for match in _PEM.finditer(path.read_bytes()):
                with suppress(ssl.SSLError, ValueError):  # one that nobody can read keeps no other from being trusted
                    der = _der(match[1])
                    if der not in found:  # most are in the file and in the folder
                        judge.load_verify_locations(cadata=der)
                        found[der] = None
    if found:
        return _pem(list(found))
    import certifi

    return certificates(Path(certifi.where()).read_bytes())


def trusting(pem: bytes) -> ssl.SSLContext:
    """A client's TLS that trusts the certificates in `pem`, and no others.

    Each of them is enough by itself, whoever signed it, and those that lead to it need not follow RFC 5280 to the
    letter: Python asks for that from 3.13 on, and refuses the authorities of many companies.

    Raises:
        ssl.SSLError: `pem` holds no certificate.
    """
    context = ssl.create_default_context(cadata=pem.decode("ascii"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _files() -> Iterator[Path]:
    usual = ssl.get_default_verify_paths()
    file = os.environ.get(usual.openssl_cafile_env)
    if file:
        yield Path(file)
    else:
        yield next((path for name in (usual.openssl_cafile, *_BUNDLES) if (path := Path(name)).is_file()), Path())
    folders = os.environ.get(usual.openssl_capath_env) or usual.openssl_capath
    for folder in filter(None, folders.split(os.pathsep)):
        with suppress(OSError):
            # Of links by a certificate's hash and its own file one is enough.
            yield from dict.fromkeys(path.resolve() for path in sorted(Path(folder).iterdir()) if path.is_file())


def _der(body: bytes) -> bytes:
    # A line of its own may say what is in the certificate, in old bundles within its mark.
    der = ssl.PEM_cert_to_DER_cert(f"{ssl.PEM_HEADER}\n{body.decode('ascii')}{ssl.PEM_FOOTER}")
    if not der.startswith(b"\x30"):
        raise ValueError("it is no certificate")
    return der


def _pem(ders: list[bytes]) -> bytes:
    return "".join(map(ssl.DER_cert_to_PEM_cert, ders)).encode("ascii")
