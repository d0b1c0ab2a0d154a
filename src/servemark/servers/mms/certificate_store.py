"""A certificate for a server of ours that speaks https, signed by itself: made anew for each instance.

MMS would make one, but not on a JDK as new as ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from servemark.environments.commands import run_command
from servemark.environments.variables import locale_for

_MAKE_TIMEOUT_S = 30.0
_ALIAS = "servemark"
_CERTIFICATE = "certificate.pem"
_VALID_DAYS = "30"


def make_keystore(java_home: Path, folder: Path, listen: str) -> Mapping[str, str]:
    """Make ``keystore.p12`` and, for clients, ``certificate.pem`` in `folder`; MMS's settings that point to the first.

    The certificate is for localhost, 127.0.0.1, ::1, and the address `listen`.

    Raises:
        SetupError: the JDK's keytool failed.
    """
    keystore, password = folder / "keystore.p12", secrets.token_hex(16)
    keytool = java_home / "bin" / "keytool"
    store = ["-keystore", str(keystore), "-storetype", "PKCS12", "-storepass", password, "-alias", _ALIAS]
    own = ",".join(dict.fromkeys(["dns:localhost", "ip:127.0.0.1", "ip:0:0:0:0:0:0:0:1", f"ip:{listen}"]))
    names = ["-dname", "CN=localhost", "-ext", f"san={own}"]
    # RSA, because MMS speaks only TLS 1.2 with ECDHE_RSA.
    key = ["-keyalg", "RSA", "-keysize", "2048", "-validity", _VALID_DAYS]
    what = "make the server's certificate"
    certificate = str(folder / _CERTIFICATE)
    for words in (["-genkeypair", *store, *names, *key], ["-exportcert", "-rfc", "-file", certificate, *store]):
        run_command([keytool, *words], what=what, timeout_s=_MAKE_TIMEOUT_S, environ=locale_for(folder))
    keystore.chmod(0o600)
    return {"keystore": str(keystore), "keystore_pass": password, "keystore_type": "PKCS12"}


def certificate_in(folder: Path) -> Path | None:
    """The certificate that :func:`make_keystore` made in `folder`, if it did."""
    path = folder / _CERTIFICATE
    return path if path.exists() else None
