"""TLS: how far a server's certificate is checked, and what the client shows of itself."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.authorities import BYTE_ORDER_MARK, certificates, system_authorities, trusting
from servemark.errors import UsageError
from servemark.workload.address import Address, Tls
from servemark.workload.endpoint import without_zone

#: OpenSSL refuses short keys and old digests of its own accord: where nothing is checked they are nobody's business.
_ANY_KEY = "DEFAULT:@SECLEVEL=0"
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"}
_PEM_FILE = "give --client-cert and --client-key PEM files"


@dataclass(frozen=True)
class Trust:
    """How far certificates are checked, and the client's own.

    By default those of this machine, by the name that the user gave, are not checked, all others against the system's
    authorities. `client_cert` is a
    PEM file with the client's certificate and those that lead to its authority; its key is in `client_key`, or in the
    same file.
    """

    ca_file: Path | None = None
    insecure: bool = False
    client_cert: Path | None = None
    client_key: Path | None = None


def tls_for(host: str, ip: str, trust: Trust) -> Tls:
    """How to speak TLS to `host`, which is a name or an address, at the address `ip`.

    Whether the certificate is checked goes by the name: one that leads to this machine by --connect-to, a tunnel or
    /etc/hosts stays that of another, and what is sent is meant for that one.

    Raises:
        UsageError: a file cannot be used, or options contradict each other.
    """
    if trust.ca_file and trust.insecure:
        raise UsageError("--ca-file and --insecure contradict each other", next_step="give one of them")
    certificate, key = _client(trust)
    if trust.insecure or (_is_loopback(ip) and _names_this_machine(host) and not trust.ca_file):
        return Tls(without_zone(host), verify=False, client_cert_pem=certificate, client_key_pem=key)
    trusted = _read_ca(trust.ca_file) if trust.ca_file else system_authorities()
    return Tls(without_zone(host), verify=True, ca_pem=trusted, client_cert_pem=certificate, client_key_pem=key)


def unchecked(address: Address, trust: Trust) -> str:
    """What to say of a certificate that is not checked; '' when there is nothing to say."""
    if address.tls is None or address.tls.verify:
        return ""
    why = "as asked with --insecure" if trust.insecure else f"{address.host} is this machine"
    return f"the certificate of {address.url} is not checked: {why}"


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What `tls` says, as Python's ssl module has it.

    Raises:
        ssl.SSLError: `ca_pem` holds no certificate, or certificate and key of the client do not belong together.
    """
    if tls.verify:
        context = trusting(tls.ca_pem)  # the engine, which asks for no more than this, has the last word
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers(_ANY_KEY)
    if tls.client_cert_pem:
        _show(context, tls.client_cert_pem, tls.client_key_pem)
    return context


def _names_this_machine(host: str) -> bool:
    """Whether `host` says that it is this machine: a loopback address, a name for it, or the machine's own name."""
    name = host.lower().rstrip(".")
    if name in _LOOPBACK_NAMES or name.endswith(".localhost") or name == socket.gethostname().lower():
        return True
    try:
        return _is_loopback(host)
    except ValueError:
        return False


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip.partition("%")[0]).is_loopback


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Have `context` show the client's certificate."""
    # Python reads them from a file only: one that nobody else can read, for this moment.
    with tempfile.NamedTemporaryFile(prefix="servemark-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password=_no_password)


def _client(trust: Trust) -> tuple[bytes, bytes]:
    """The client's certificate and key, proved to belong together; both empty for none.

    Raises:
        UsageError: they cannot be used.
    """
    if trust.client_cert is None:
        if trust.client_key is not None:
            raise UsageError("--client-key needs --client-cert", next_step="name the certificate that it belongs to")
        return b"", b""
    certificate = _read(trust.client_cert, "client certificate", _PEM_FILE)
    key_file = trust.client_key or trust.client_cert
    key = _read(key_file, "client key", _PEM_FILE)
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        raise UsageError(f"the client certificate {trust.client_cert} holds no PEM certificate", next_step=_PEM_FILE)
    if b"PRIVATE KEY-----" not in key:
        raise UsageError(
            f"there is no PEM private key in {key_file}",
            next_step="give --client-key the key's file" if trust.client_key is None else _PEM_FILE,
        )
    if b"ENCRYPTED" in key:
        raise UsageError(
            f"the client key {key_file} is encrypted",
            next_step=f"decrypt it into a file that only you can read: openssl pkey -in {key_file} -out FILE",
        )
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers(_ANY_KEY)
        _show(context, certificate, key)
    except (ssl.SSLError, ValueError) as error:
        # A key of another kind than the certificate's finds no certificate.
        mismatch = any(word in str(error).upper() for word in ("MISMATCH", "NO_CERTIFICATE_ASSIGNED"))
        raise UsageError(
            f"the client key {key_file} does not belong to the certificate {trust.client_cert}"
            if mismatch
            else f"the client certificate {trust.client_cert} or its key cannot be used",
            cause="" if mismatch else str(error),
            next_step="give --client-key the key that the certificate was made of" if mismatch else _PEM_FILE,
        ) from error
    return certificate, key


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # or Python would ask for its password on the terminal


def _read_ca(path: Path) -> bytes:
    content = _read(path, "CA file", "give --ca-file a PEM file")
    try:
        pem = certificates(content)
        cause = ""
        if pem:
            trusting(pem)
    except (ssl.SSLError, ValueError) as error:
        pem, cause = b"", str(error)
    if not pem:
        raise UsageError(
            f"the CA file {path} holds no PEM certificate", cause=cause, next_step="give --ca-file a PEM file"
        )
    return pem


def _read(path: Path, what: str, next_step: str) -> bytes:
    try:
        return path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {path}", cause=error.strerror or str(error), next_step=next_step
        ) from error
