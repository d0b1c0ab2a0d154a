"""Whether somebody listens at an address: TCP connects, or those of a Unix socket, with nothing sent."""

from __future__ import annotations

import socket

from servemark.errors import UnreachableError
from servemark.workload.address import Address

_CONNECT_TIMEOUT_S = 5.0
_LOOK_TIMEOUT_S = 2.0


def connectable(host: str, ports: list[int], option: str) -> tuple[str, int]:
    """The first address of `host`, and of `ports`, to which a connection can be made; `option` named the host.

    The zone of a link-local address is its number on this machine: that is what an engine needs.

    Raises:
        UnreachableError: there is none.
    """
    _check_zone(host, option)
    failures: list[str] = []
    for port in ports:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnreachableError(
                f"the host {host} is not known", cause=str(error), next_step=f"check the name in {option}"
            ) from error
        for *_, sockaddr in found:
            ip = _literal(sockaddr)
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


def check_unix_socket(path: str) -> None:
    """See that somebody listens at a Unix socket.

    Raises:
        UnreachableError: nobody does.
    """
    try:
        with _connected(path):
            return
    except BlockingIOError:  # its queue is full: somebody is there
        return
    except OSError as error:
        raise UnreachableError(
            f"nobody answers at the Unix socket {path}",
            cause=error.strerror or str(error),
            next_step="start the server, or check --unix-socket",
        ) from error


def _literal(sockaddr: tuple[object, ...]) -> str:
    """The address of what ``getaddrinfo`` found, with the number of its zone if it has one."""
    ip, zone = str(sockaddr[0]).partition("%")[0], sockaddr[3] if len(sockaddr) > 3 else 0
    return f"{ip}%{zone}" if zone else ip


def _check_zone(host: str, option: str) -> None:
    zone = host.partition("%")[2] if ":" in host else ""
    names = [name for _, name in socket.if_nameindex()] if zone and not zone.isdecimal() else [zone]
    if zone not in names:
        raise UnreachableError(
            f"this machine has no network interface {zone!r}",
            cause=f"it has {', '.join(names)}",
            next_step=f"name the one that leads to the server behind the % in {option}",
        )


def refuses(address: Address) -> bool:
    """Whether connections there are refused. What is too busy to accept in time is not dead."""
    try:
        if address.unix_socket is not None:
            with _connected(address.unix_socket):
                return False
        with socket.create_connection((address.ip, address.port), timeout=_LOOK_TIMEOUT_S):
            return False
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False


def _connected(path: str) -> socket.socket:
    """A connection to a Unix socket, for whoever closes it."""
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(_LOOK_TIMEOUT_S)
        plain.connect(path)
    except BaseException:
        plain.close()
        raise
    return plain
