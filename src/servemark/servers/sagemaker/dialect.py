"""The dialect of a SageMaker container: ``GET /ping`` and ``POST /invocations``, for the one model that it has.

After "Use Your Own Inference Code with Hosting Services" of Amazon's documentation, and of one for several models after
"Build Your Own Container for SageMaker AI Multi-Model Endpoints": ``POST /models/NAME/invoke``, and calls that load and
unload, which are those of Multi Model Server. That answers all of it, with the model that it was started with where
that is one. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from servemark.servers.dialect import Ability, Admin
from servemark.servers.http.words import decoded, said
from servemark.servers.mms.dialect import MmsAdmin, model_path
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

_INVOCATIONS = "/invocations"
_OF_ONE: frozenset[Ability] = frozenset({"health"})
_OF_SEVERAL: frozenset[Ability] = _OF_ONE | {"models", "load", "scale", "batches"}


@dataclass(frozen=True)
class SageMakerDialect:
    """What a SageMaker container speaks; see ``servemark.servers.dialect.Dialect``.

    `is_multi_model` says that its models are told by their names, and that it can be told what to serve.
    """

    is_multi_model: bool = False
    name = "sagemaker"
    product = "SageMaker container"
    expects: ClassVar[Expect | None] = None
    tokens: ClassVar[TokenFormat | None] = None

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can."""
        return _OF_SEVERAL if self.is_multi_model else _OF_ONE

    @property
    def admin(self) -> Admin | None:
        """The calls of Multi Model Server, at the same address; None of a container with one model."""
        return MmsAdmin() if self.is_multi_model else None

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
        """The request that sends `what` to the model of that name, or to the one that there is."""
        path = f"{model_path(model)}/invoke" if self.is_multi_model else _INVOCATIONS
        return Request("POST", path, (("Content-Type", what.content_type),), what.body)

    def decode(self, body: bytes) -> object:
        """What the container answered, as JSON has it; the body itself where it is none."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What its status line and its body say: what it means only the container's makers know."""
        del ready_workers
        return said(reason, body, status)


#: As far as is known before one is found; one that answers for several models is found out.
DIALECT = SageMakerDialect(is_multi_model=True)
