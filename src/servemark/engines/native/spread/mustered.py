"""What is seen to of generators that have been started, before anything is asked of them."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.engines.native.sending import build
from servemark.engines.native.spread import RemoteGenerator
from servemark.errors import SetupError, UsageError
from servemark.machine.network import is_loopback
from servemark.machine.processes import boot_id
from servemark.version import version
from servemark.workload.engine_plan import EnginePlan


def check_alike(generators: Sequence[RemoteGenerator]) -> None:
    """Refuse generators of another version or build: what they would send, record or say could be something else.

    Raises:
        SetupError: names their machines.
    """
    own = version(), build()
    others = {
        f"{one.facts.host} has {one.facts.version}, build {one.facts.build}"
        for one in generators
        if (one.facts.version, one.facts.build) != own
    }
    if others:
        raise SetupError(
            f"generators of one run need the same servemark, {own[0]}, build {own[1]}",
            cause="; ".join(sorted(others)),
            next_step="install the same wheel there",
        )


def check_reachable(generators: Sequence[RemoteGenerator], plan: EnginePlan, *, is_ours: bool) -> None:
    """Refuse a server with an address that means another machine elsewhere; one that `is_ours` always has such a one.

    Raises:
        UsageError: names the address, and who cannot reach it.
    """
    own = boot_id()
    elsewhere = sorted({one.facts.host for one in generators if one.facts.boot != own})
    local = [address.url for address in plan.addresses if is_loopback(address)]
    if elsewhere and local:
        raise UsageError(
            f"generators on {', '.join(elsewhere)} cannot reach {local[0]}",
            cause="that address is each machine's own",
            next_step="a server that servemark starts for a run listens on this machine alone: start it with servemark "
            "serve --listen ADDRESS, and name it with --server"
            if is_ours
            else "name the server by an address that they reach",
        )
