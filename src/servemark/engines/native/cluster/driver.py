"""What this process is to Ray: the driver of a cluster, or one that was; of the first Ray keeps who may join it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from servemark.engines.native.cluster.answering import host_and_port
from servemark.engines.native.cluster.asking import is_stuck
from servemark.engines.native.cluster.local import JOINING
from servemark.errors import ClusterLostError, UsageError

#: Ray reads these once in a process.
_KEPT = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_NEXT_STEP = "use a process of its own for each"


@dataclass(frozen=True)
class _Joined:
    """A cluster that we connected this process to, and with which variables; one started for it has no address."""

    address: str | None
    variables: Mapping[str, str | None]

    @property
    def in_words(self) -> str:
        return f"the Ray cluster at {self.address}" if self.address else "a Ray cluster of this machine alone"


_first: _Joined | None = None
_now: _Joined | None = None


def joins(address: str | None) -> None:
    """Keep in mind that this process is being connected, to the cluster at `address` or one that is started for it."""
    global _first, _now
    _now = _joined(address)
    _first = _first or _now


def leaves() -> None:
    """Keep in mind that it is no driver any more."""
    global _now
    _now = None


def is_alone() -> bool:
    """Whether the cluster whose driver it is was started for us, on this machine alone."""
    return _now is not None and _now.address is None


def own_address() -> str | None:
    """The address of the cluster whose driver this process is."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    address: str = ray.get_runtime_context().gcs_address
    return address


def check_joins(address: str | None, named_with: str) -> None:
    """Refuse a cluster that this process cannot be connected to: that at `address`, or one that is started for it.

    Raises:
        UsageError: it is the driver of another, or was connected to one that others may join.
        ClusterLostError: Ray does not come back from what it was asked before.
    """
    if is_stuck():
        what = "Ray cannot be used in this process any more"
        raise ClusterLostError(what, cause="its cluster has gone and Ray waits for it", next_step=_NEXT_STEP)
    own, asked = own_address(), _joined(address)
    if own is not None and address is not None and not _are_one(address, own):
        raise UsageError(
            f"{named_with} {address} is not the Ray cluster that this process is connected to, {own}",
            next_step=f"leave it out, or {_NEXT_STEP}",
        )
    if own is None:
        before, is_alike = _first, _first is None or _first.variables == asked.variables
    else:  # by us, or by the program, whose cluster is taken as it is
        before, is_alike = _now, _now is None or (_now.address is None) == (address is None)
    if before is not None and not is_alike:
        raise UsageError(
            f"this process cannot be connected to {asked.in_words}",
            cause=f"it was to {before.in_words} before, and Ray keeps in a process who may join",
            next_step=_NEXT_STEP,
        )


def _joined(address: str | None) -> _Joined:
    variables = {name: os.environ.get(name) for name in _KEPT}
    return _Joined(address, variables if address is not None else variables | JOINING)


def _are_one(one: str, other: str) -> bool:
    """Whether both addresses are of the same socket, whatever names or addresses its machine has."""
    hosts, ports = zip(*(host_and_port(address, "Ray") for address in (one, other)), strict=True)
    if ports[0] != ports[1]:
        return False
    first, second = map(_addresses, hosts)
    return hosts[0] == hosts[1] or bool(first & second) or (_any_is_here(first) and _any_is_here(second))


def _addresses(host: str) -> set[tuple[int, str]]:
    """The family and number of each address that a name has."""
    with suppress(OSError):
        return {(family, str(to[0])) for family, *_, to in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)}
    return set()


def _any_is_here(addresses: set[tuple[int, str]]) -> bool:
    """Whether one of them is this machine's: only such a one can be bound to."""
    for family, address in addresses:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind((address, 0))
            return True
    return False
