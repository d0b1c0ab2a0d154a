"""Which addresses are this machine's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import psutil

from servemark.workload.address import Address


def is_loopback(address: Address) -> bool:
    """Whether nobody but the same machine reaches it."""
    return address.unix_socket is not None or ipaddress.ip_address(address.ip.partition("%")[0]).is_loopback


def is_remote(addresses: Iterable[Address]) -> bool:
    """Whether none of these is an address of this machine."""
    own = {item.address.partition("%")[0] for items in psutil.net_if_addrs().values() for item in items}
    ips = [address.ip.partition("%")[0] for address in addresses]  # without the zone
    return not any(ipaddress.ip_address(ip).is_loopback or ip in own for ip in ips)
