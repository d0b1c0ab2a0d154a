"""Whether somebody listens at an address: TCP connects, with nothing sent."""

from __future__ import annotations

import socket

from servemark.errors import UnreachableError
from servemark.workload.plan import Address

_CONNECT_TIMEOUT_S = 5.0
_LOOK_TIMEOUT_S = 2.0


def connectable(host: str, ports: list[int], option: str) -> tuple[str, int]:
    """The first address of `host`, and of `ports`, to which a connection can be made; `option` named the host.

    Raises:
        UnreachableError: there is none.
    """
    failures: list[str] = []
    for port in ports:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(
                f"the host {host} is not known", cause=str(error), next_step=f"check the name in {option}"
            ) from error
        for *_, sockaddr in found:
            ip = str(sockaddr[0])
            try:
                with socket.create_connection((ip, port), timeout=_CONNECT_TIMEOUT_S):
                    return ip, port
            except OSError as error:
                failures.append(f"{ip} port {port}: {error.strerror or error}")
    raise UnreachableError(
        f"nobody answers at {host} port {' or '.join(map(str, ports))}",
        cause="; ".join(failures),
        next_step=f"start the server, or check host and port in {option}",
    )


def refuses(address: Address) -> bool:
    """Whether connections there are refused. What is too busy to accept in time is not dead."""
    try:
        with socket.create_connection((address.ip, address.port), timeout=_LOOK_TIMEOUT_S):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
