"""The dialect of TensorFlow Serving's REST API, and of KServe's first protocol: ``POST /v1/models/NAME:predict``.

After "RESTful API" of TensorFlow Serving's documentation, and "V1 Inference Protocol" of KServe's. Standard library
only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from servemark.servers.dialect import Ability
from servemark.servers.http.words import decoded, json_object, said
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

#: What no server has: asked for it, each says so in its own words.
_NO_MODEL = "servemark-asks-what-this-is"


def model_path(model: str) -> str:
    """The path of a model, at which its state is told."""
    return f"/v1/models/{quote(model, safe='')}"


@dataclass(frozen=True)
class TfServingDialect:
    """What TensorFlow Serving and KServe's first protocol speak; see ``servemark.servers.dialect.Dialect``."""

    product: str = "TensorFlow Serving"
    name = "tfserving"
    abilities: ClassVar[frozenset[Ability]] = frozenset({"models"})
    expects: ClassVar[Expect | None] = None
    tokens: ClassVar[TokenFormat | None] = None
    admin = None

    def health(self) -> Request:
        """The state of a model that it has not: no other request is answered by TensorFlow Serving without one."""
        return Request("GET", model_path(_NO_MODEL))

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it names the model that it has not, as TensorFlow Serving and KServe do; others have no such path."""
        return status == 404 and _NO_MODEL in str(json_object(body).get("error"))

    def sign(self) -> Request:
        """The same: the words tell it."""
        return self.health()

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether it is there: what tells that tells what it is."""
        return self.is_health(status, body)

    def prediction(self, model: str, what: Input) -> Request:
        """The request that sends `what` to the model of that name."""
        return Request("POST", f"{model_path(model)}:predict", (("Content-Type", what.content_type),), what.body)

    def decode(self, body: bytes) -> object:
        """What the model answered, as JSON has it."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """Its own words."""
        del ready_workers
        return said(reason if not json_object(body) else "", body, status)


DIALECT = TfServingDialect()
