"""A SageMaker container that runs: of one model, or of several where it can be told what to serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from servemark.errors import UsageError
from servemark.servers import Server, ServerSettings
from servemark.servers.http.finding import Found
from servemark.servers.mms.management_address import answers_there
from servemark.servers.mms.running import server_with_management
from servemark.servers.sagemaker.dialect import SageMakerDialect

if TYPE_CHECKING:
    from servemark.servers.running import RunningLauncher


@contextmanager
def running_server(asked: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[Server]:
    """The container that was `found`; told by their names are its models only where the user names one.

    Raises:
        UsageError: a port is given for a management API, which is not apart.
    """
    if asked.management_port:
        raise UsageError(
            f"--management-port makes no sense with a {found.dialect.product}",
            cause="what calls it has go to the same port",
        )
    several = answers_there(found.address) and asked.is_named
    known = replace(found, dialect=SageMakerDialect(is_multi_model=several))
    if not several:
        yield asked.plain(known, settings)
        return
    with server_with_management(asked, known, settings, found.address) as server:
        yield server
