"""Addresses and ports for servers that we start, and other ports where somebody else was quicker."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from servemark.errors import ServerStartError, UsageError

LOOPBACK = "127.0.0.1"
#: Below the range from which systems take the ports of outgoing connections (32768 on), which a load test eats.
_PORTS = range(18000, 32000, 2)
_CHOICES = 100
_START_TRIES = 3
_ACCEPTED_WITHIN_S = 1.0

_Ports = TypeVar("_Ports", bound=Sequence[int])
_Started = TypeVar("_Started")


class PortTakenError(Exception):
    """Somebody else got a port between our choosing it and the server's binding it."""


def parse_listen(text: str) -> str:
    """An address for servers of ours, as a person names it: of IPv4, and not all of them at once.

    Raises:
        UsageError: it is none.
    """
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no IPv4 address", next_step="hostname -I lists those of this machine") from error
    if address.is_unspecified:
        raise UsageError(
            f"{address} is every address of this machine",
            next_step="name the one by which the server is to be reached; hostname -I lists them",
        )
    return str(address)


def check_listen(host: str) -> None:
    """Refuse an address that is another machine's.

    Raises:
        UsageError: nobody can listen there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        try:
            candidate.bind((host, 0))
        except OSError as error:
            is_others = error.errno == errno.EADDRNOTAVAIL
            raise UsageError(
                f"this machine has no address {host}" if is_others else f"no server can listen on {host}",
                cause="" if is_others else error.strerror or str(error),
                next_step="name one of its own: hostname -I lists them",
            ) from error


def free_port_pair(host: str = LOOPBACK) -> tuple[int, int]:
    """Two ports, one after the other, on which nobody listens now; see ``free_ports``."""
    first, second = free_ports(2, host)
    return first, second


def free_ports(count: int, *hosts: str) -> tuple[int, ...]:
    """Find `count` ports, one after the other, on which nobody listens now at any of `hosts`, or at the loopback's.

    Somebody else may take them before the server does: whoever starts one has to be ready to try again
    (``started_on_ports``).

    Raises:
        ServerStartError: there seem to be none.
    """
    for _ in range(_CHOICES):
        first = random.choice(_PORTS)
        ports = tuple(range(first, first + count))
        if all(is_free(port, host) for host in hosts or (LOOPBACK,) for port in ports):
            return ports
    where = f"{' and '.join(hosts or (LOOPBACK,))} between {_PORTS.start} and {_PORTS.stop}"
    raise ServerStartError(f"found no free ports on {where}", next_step="stop what uses them")


def check_ports(ports: Sequence[int], host: str = LOOPBACK) -> None:
    """Refuse ports that were asked for and cannot be had.

    Raises:
        ServerStartError: names the port, and says why.
    """
    for port in ports:
        error = _refusal(port, host)
        if error:
            raise ServerStartError(
                f"the server cannot listen on {host} port {port}",
                cause=error.strerror or str(error),
                next_step="stop what uses it, or give another --port"
                + ("; the management API gets the one above" if len(ports) > 1 else ""),
            )


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on that port of that address now."""
    return _refusal(port, host) is None


def somebody_listens(ports: Iterable[int], *hosts: str) -> bool:
    """Whether connections to each of `ports` are accepted at one of `hosts`, or else at the loopback's, by whomever.

    To be asked while one waits for a server: telling whose the ports are takes a look at every process of the machine.
    """
    return all(any(_accepts(host, port) for host in hosts or (LOOPBACK,)) for port in ports)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _ACCEPTED_WITHIN_S).close()
    except OSError:
        return False
    return True


def check_not_taken(ports: Sequence[int], printed: str, *hosts: str) -> None:
    """Raise PortTakenError when a server that ended at its start could not have one of its ports.

    Args:
        ports: all that it was to listen on.
        printed: the end of what it printed; whoever had the port may have let go of it since.
        hosts: where; the loopback address unless they are given.
    """
    for port in sorted(ports):
        if not all(is_free(port, host) for host in hosts or (LOOPBACK,)):
            raise PortTakenError(f"port {port} was taken meanwhile")
    if "address already in use" in printed.lower():
        raise PortTakenError("one of its ports was taken meanwhile")


@contextmanager
def started_on_ports(
    choose: Callable[[], _Ports],
    start: Callable[[_Ports], AbstractContextManager[_Started]],
    log: Callable[[str], None] | None,
) -> Iterator[_Started]:
    """What `start` starts on the ports that `choose` gives, which is asked again where they turn out to be taken.

    Raises:
        ServerStartError: each of a few times somebody else had one of them.
    """
    with ExitStack() as stack:
        for tries_left in reversed(range(_START_TRIES)):
            attempt = ExitStack()
            try:
                started = attempt.enter_context(start(choose()))
                stack.push(attempt.pop_all())
                break
            except PortTakenError as error:
                if not tries_left:
                    raise ServerStartError(
                        f"the server could not have a port in {_START_TRIES} tries",
                        cause=str(error),
                        next_step="stop what uses the ports, or run again",
                    ) from error
                if log:
                    log(f"{error}; trying others")
        yield started


def _refusal(port: int, host: str) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As Java does: connections that are still dying do not keep a port from the next server.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError as error:
            return error
    return None
