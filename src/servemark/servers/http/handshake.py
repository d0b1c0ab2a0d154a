"""One TLS handshake before anything is measured, made by the engine itself: it is the judge of what it can speak to.

Python's own TLS has other ciphers, takes other keys and checks other things: what it says of a server, good or bad, is
nothing that a run could rely on.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from servemark import _loadgen
from servemark.errors import UnreachableError, UsageError
from servemark.servers.http.trust import tls_context
from servemark.workload.address import Address

_TIMEOUT_S = 5.0

_NEXT_STEPS = {
    "untrusted": "give its authority with --ca-file, or --insecure to check nothing",
    "client_certificate": "give one that it accepts with --client-cert",
    "nothing_in_common": "have the server offer one of these",
    "other": "check that it speaks https",
}


@dataclass(frozen=True)
class Refusal:
    """Why there is no handshake with an address. `speaks_tls` says that TLS is what is spoken there all the same."""

    error: UnreachableError
    speaks_tls: bool


def refusal(address: Address) -> Refusal | None:
    """Shake hands as the native engine will, and nothing more; None when that works.

    Raises:
        UsageError: a certificate or key of ours is of a kind that the engine does not know.
    """
    try:
        failure = _loadgen.tls_handshake(address, _TIMEOUT_S)
    except ValueError as error:  # Python's own TLS takes more kinds of keys, and has taken these.
        raise UsageError(
            "TLS cannot be set up", cause=str(error), next_step="check --ca-file and --client-cert"
        ) from error
    if failure is None:
        return None
    what = (
        "the certificate of {} is not trusted" if failure.cause == "untrusted" else "the TLS handshake with {} failed"
    )
    return Refusal(
        UnreachableError(what.format(address.url), cause=failure.message, next_step=_NEXT_STEPS[failure.cause]),
        speaks_tls=failure.cause != "other",
    )


def shake_hands(address: Address) -> None:
    """Shake hands as the native engine will, and nothing more.

    Raises:
        UsageError: a certificate or key of ours is of a kind that the engine does not know.
        UnreachableError: there is no handshake; says whose doing that is.
    """
    if found := refusal(address):
        raise found.error


def shake_hands_for_jmeter(address: Address) -> None:
    """Prove that TLS is spoken there, by Python's: JMeter has Java's, which checks nothing and has old ciphers too.

    Raises:
        UnreachableError: it is not.
    """
    assert address.tls is not None
    context = tls_context(address.tls)
    try:
        with (
            socket.create_connection((address.ip, address.port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address.tls.server_name),
        ):
            pass
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"the TLS handshake with {address.url} failed",
            cause=getattr(error, "reason", None) or str(error),
            next_step="check that it speaks https",
        ) from error
