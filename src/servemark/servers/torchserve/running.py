"""A TorchServe that somebody else started: measured as a Multi Model Server is, with its tokens and its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from servemark.errors import UsageError
from servemark.servers import ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.http.finding import Found
from servemark.servers.mms.management_address import find_management
from servemark.servers.mms.running import RunningServer, server_with_management
from servemark.servers.torchserve.dialect import DIALECT
from servemark.servers.torchserve.metrics import counted_at

if TYPE_CHECKING:
    from servemark.servers.running import RunningLauncher

_LOOK_TIMEOUT_S = 10.0
#: Where its metrics are by default: as far above the port of its inference API.
_METRICS_ABOVE = 2


@contextmanager
def running_server(asked: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[RunningServer]:
    """The server that was `found`, with its management API where that can be reached.

    Raises:
        UsageError: it wants a token, and there is none, or not the one that it has now.
        UnreachableError: no management API answers at the port that was given for it.
    """
    if DIALECT.wants_token(send_once(found.address, DIALECT.health(), _LOOK_TIMEOUT_S).body):
        given = asked.tokens is not None
        raise UsageError(
            f"the TorchServe at {found.address.url} " + ("has other tokens" if given else "wants a token"),
            cause="it writes new ones at each start" if given else "",
            next_step="give its key_file.json, which is in the folder in which it was started, with --token-file",
        )
    headers = (asked.tokens.management,) if asked.tokens else ()
    management = find_management(found, asked.management_port, asked.trust, asked.progress, headers)
    metrics = replace(found.address, port=found.address.port + _METRICS_ABOVE)
    counted = partial(counted_at, metrics)
    with server_with_management(asked, found, settings, management, counted=counted) as server:
        yield server
