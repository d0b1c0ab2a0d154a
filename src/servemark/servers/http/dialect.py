"""The dialect of an HTTP endpoint of which nothing is known: whatever it is asked is the user's affair.

No server is recognised by it: it belongs to the benchmark http, whose requests the user wrote. Standard library only.
"""

from __future__ import annotations

from servemark.servers.dialect import Ability
from servemark.servers.http.words import decoded, said
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat


class HttpDialect:
    """What any HTTP server speaks; see ``servemark.servers.dialect.Dialect``."""

    name = "http"
    product = "HTTP endpoint"
    abilities: frozenset[Ability] = frozenset({"health"})
    expects: Expect | None = None
    tokens: TokenFormat | None = None
    admin = None

    def health(self) -> Request:
        """A request for its root."""
        return Request("GET", "/")

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it answered at all."""
        del status, body
        return True

    def sign(self) -> Request:
        """The same: nothing tells one from another."""
        return self.health()

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether it answered at all."""
        return self.is_health(status, body)

    def prediction(self, model: str, what: Input) -> Request:
        """`what`, sent to its root."""
        del model
        return Request("POST", "/", (("Content-Type", what.content_type),), what.body)

    def decode(self, body: bytes) -> object:
        """What it answered, as JSON has it; the body itself where it is none."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What its status line and its body say: what it means only its makers know."""
        del ready_workers
        return said(reason, body, status)


DIALECT = HttpDialect()
