"""Whether a Ray cluster answers at an address: before Ray is asked, which waits long and ends the process."""

from __future__ import annotations

import re
import socket

from servemark.errors import UnreachableError, UsageError

#: How the connection of an HTTP/2 client begins (RFC 9113, 3.4): a line that no other protocol knows, and settings.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
#: A frame begins with its length in three bytes and its type; a server's first one has its settings.
_FRAME_BYTES, _TYPE_AT, _SETTINGS = 9, 3, 4
_WITHIN_S = 5.0
_NEXT_STEP = "give the HOST:PORT that ray start --head printed, or leave it out for a cluster of this machine alone"


def host_and_port(address: str, named_with: str) -> tuple[str, int]:
    """What of an address of Ray's is its host and its port; `named_with` says where it was given.

    Raises:
        UsageError: it is none, or that of a Ray client, which cannot carry records.
    """
    if address.startswith("ray://"):
        raise UsageError(
            f"{named_with} {address}: a Ray client cannot carry records",
            cause="what it gets goes through the memory of a proxy",
            next_step="run servemark on a node of the cluster, and give HOST:PORT",
        )
    found = re.fullmatch(r"\[?([^\[\]/\s]+?)\]?:(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 1 << 16:
        raise UsageError(f"{named_with} {address} is no HOST:PORT", next_step=_NEXT_STEP)
    return found[1], int(found[2])


def check_answers(address: str, named_with: str) -> None:
    """See that something at `address` speaks what Ray does, within 10 s.

    Raises:
        UsageError: it is no address.
        UnreachableError: nobody answers there, or somebody else.
    """
    host, port = host_and_port(address, named_with)
    what = f"no Ray cluster answers at {address}"
    try:
        with socket.create_connection((host, port), timeout=_WITHIN_S) as connection:
            connection.sendall(_PREFACE)
            connection.settimeout(_WITHIN_S)
            answer = b""
            while len(answer) < _FRAME_BYTES:
                more = connection.recv(_FRAME_BYTES - len(answer))
                if not more:
                    break
                answer += more
    except TimeoutError as error:
        raise UnreachableError(what, cause=f"no answer within {_WITHIN_S:g} s", next_step=_NEXT_STEP) from error
    except OSError as error:
        raise UnreachableError(what, cause=error.strerror or str(error), next_step=_NEXT_STEP) from error
    if len(answer) < _FRAME_BYTES or answer[_TYPE_AT] != _SETTINGS:
        raise UnreachableError(what, cause="something else listens there", next_step=_NEXT_STEP)
