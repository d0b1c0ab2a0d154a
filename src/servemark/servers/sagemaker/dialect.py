"""The dialect of a SageMaker container: ``GET /ping`` and ``POST /invocations``, for the one model that it has.

After "Use Your Own Inference Code with Hosting Services" of Amazon's documentation. Multi Model Server answers it, too,
with the model that it was started with, where that is one. Standard library only.
"""

from __future__ import annotations

from servemark.servers.dialect import Ability
from servemark.servers.http.words import decoded, said
from servemark.workload.inputs import Input
from servemark.workload.scenario import Request

_INVOCATIONS = "/invocations"


class SageMakerDialect:
    """What a SageMaker container speaks; see ``servemark.servers.dialect.Dialect``."""

    name = "sagemaker"
    product = "SageMaker container"
    abilities: frozenset[Ability] = frozenset()
    admin = None

    def health(self) -> Request:
        """The request for its health."""
        return Request("GET", "/ping")

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it is 200, whatever it says."""
        del body
        return status == 200

    def sign(self) -> Request:
        """A look at where predictions are asked for, which runs none."""
        return Request("OPTIONS", _INVOCATIONS)

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether there is something: a server may refuse to be asked so, but not for want of the path."""
        del body
        return status != 404

    def prediction(self, model: str, what: Input) -> Request:
        """The request that sends `what` to the one model, whatever it is called."""
        del model
        return Request("POST", _INVOCATIONS, (("Content-Type", what.content_type),), what.body)

    def decode(self, body: bytes) -> object:
        """What the container answered, as JSON has it; the body itself where it is none."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What its status line and its body say: what it means only the container's makers know."""
        del ready_workers
        return said(reason, body, status)


DIALECT = SageMakerDialect()
