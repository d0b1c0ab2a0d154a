"""The checkout of MMS in which a subcommand is called, which is the server where no other is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from servemark.options.server import ServerOptions


def or_here(chosen: ServerOptions, say: Callable[[str], None]) -> ServerOptions:
    """`chosen`; where that names no server, the one of the checkout that we are in, which is said."""
    if (
        chosen.server_kind != "mms"
        or chosen.source is not None
        or chosen.image is not None
        or chosen.docker
        or chosen.server is not None
    ):
        return chosen
    # What knows checkouts knows compilers, too, which most have no use for.
    from servemark.environments.source import find_checkout

    found = find_checkout(Path.cwd())
    if found is None:
        return chosen
    say(f"using --source {found}, because this is a checkout of Multi Model Server")
    return replace(chosen, source=found)
