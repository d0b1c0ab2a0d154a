"""The dialect of Multi Model Server: predictions over REST, its management API, and what its failing answers mean.

``management`` makes such calls itself; here they are requests that a plan can send. Standard library only, so that a
summary can be explained without a server at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from servemark.servers.dialect import Ability, Call, Proof
from servemark.servers.http.words import decoded, json_object, server_message
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

#: What the description of a model says once for each worker that has loaded it.
READY = b'"status": "READY"'
_NO_WORKER = "No worker is available to serve request"
#: What the server's own Python and Java say, and what it means. (status, part of the message) -> meaning.
_MEANINGS: tuple[tuple[int, str, str], ...] = (
    (503, "Prediction failed", "the handler raised an exception"),
    (503, "number of batch response mismatched", "the handler returned a wrong number of results"),
    (503, "Invalid model predict output", "the handler returned no list"),
    (507, "", "out of memory in the worker"),
    (500, "Worker died", "the worker process died"),
    (500, "Worker scaled down", "the worker was scaled down"),
    (404, "Model not found", "the server has no such model"),
    (413, "", "the request is larger than the server's max_request_size"),
)


def model_path(model: str) -> str:
    """The path at which the management API has a model."""
    return f"/models/{quote(model, safe='')}"


class MmsAdmin:
    """The management API; see ``servemark.servers.dialect.Admin``. It listens at an address of its own."""

    def list_models(self) -> Call:
        """The first hundred models."""
        return Call(Request("GET", "/models?limit=100"))

    def state(self, model: str) -> Call:
        """What the server says of a model and its workers."""
        return Call(Request("GET", model_path(model)))

    def load(
        self,
        model: str,
        url: str,
        *,
        workers: int,
        batch_size: int | None = None,
        max_batch_delay_ms: int | None = None,
    ) -> Call:
        """Register the archive at `url`; answered when all `workers` have loaded it."""
        query: dict[str, object] = {"url": url, "model_name": model}
        batches = {"batch_size": batch_size, "max_batch_delay": max_batch_delay_ms}
        query |= {name: value for name, value in batches.items() if value is not None}
        query |= {"initial_workers": workers, "synchronous": "true"}
        return Call(Request("POST", f"/models?{urlencode(query)}"))

    def unload(self, model: str) -> Call:
        """Remove a model; answered when its workers are gone."""
        return Call(Request("DELETE", model_path(model)))

    def scale(self, model: str, workers: int) -> Call:
        """Have exactly `workers` workers; answered when they are there, with 200, or 210 when only some are.

        They are there when the description has that many READY, and no others.
        """
        query = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
        done = Proof(self.state(model).request, READY, workers)
        return Call(Request("PUT", f"{model_path(model)}?{urlencode(query)}"), proof=done)


class MmsDialect:
    """What Multi Model Server speaks; see ``servemark.servers.dialect.Dialect``."""

    name = "mms"
    product = "Multi Model Server"
    abilities: frozenset[Ability] = frozenset({"models", "load", "scale", "batches", "health"})
    expects: Expect | None = None
    tokens: TokenFormat | None = None
    admin = MmsAdmin()

    def health(self) -> Request:
        """The request for its health; it is answered with 200 even by an unhealthy server."""
        return Request("GET", "/ping")

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it is a JSON object with a `status` in words."""
        return status == 200 and isinstance(json_object(body).get("status"), str)

    def sign(self) -> Request:
        """The request for the description of its API."""
        return Request("OPTIONS", "/")

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether it describes predictions at the path where MMS has them."""
        paths = json_object(body).get("paths")
        return status == 200 and isinstance(paths, Mapping) and "/predictions/{model_name}" in paths

    def prediction(self, model: str, what: Input) -> Request:
        """The request that sends `what` to the model of that name."""
        path = f"/predictions/{quote(model, safe='')}"
        return Request("POST", path, (("Content-Type", what.content_type),), what.body)

    def decode(self, body: bytes) -> object:
        """What the handler returned, as JSON has it; the body itself where it is none."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What a failing answer means, and its own words: ``'queue full or no worker (No worker is ...)'``.

        MMS answers a full queue and a model without workers alike; `ready_workers`, where known, tells them apart.
        """
        del reason  # its status lines say nothing that its bodies do not
        message = server_message(body)
        meaning = _meaning(status, message, ready_workers)
        if meaning and message:
            return f"{meaning} ({message})"
        return meaning or message or f"HTTP {status}"


def _meaning(status: int, message: str, ready_workers: int | None) -> str:
    if status == 503 and _NO_WORKER in message:
        if ready_workers is None:
            return "queue full or no worker: raise the server's job_queue_size or send less at once"
        if ready_workers == 0:
            return "no worker: scale the model up"
        return "queue full: raise the server's job_queue_size or send less at once"
    return next((meaning for code, part, meaning in _MEANINGS if code == status and part in message), "")


DIALECT = MmsDialect()
