"""Scenarios: the ordered steps that each virtual user performs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: The two addresses of a model server that a step can go to.
EndpointName = Literal["inference", "management"]

#: Stand-ins in a numbered request's path or body that the engine overwrites, in place, for each request:
#: the virtual user's number, and the request's sequence number, as zero-padded decimals of this width.
USER_MARK = "{user:010d}"
SEQ_MARK = "{seq:020d}"


@dataclass(frozen=True)
class Request:
    """One concrete HTTP request. `path` is the request target; `body` is sent with its Content-Length.

    In a `numbered` request USER_MARK and SEQ_MARK are replaced, for each request sent, by the numbers they name.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    numbered: bool = False


@dataclass(frozen=True)
class Step:
    """A named request, and the pool of concrete requests it draws from (by the run's seed).

    A response succeeds when its status is 2xx.
    """

    name: str
    requests: tuple[Request, ...]
    endpoint: EndpointName = "inference"


@dataclass(frozen=True)
class Scenario:
    """The steps that a virtual user performs, in order, in every loop."""

    steps: tuple[Step, ...]
