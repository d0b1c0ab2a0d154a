"""The dialect of TorchServe: that of Multi Model Server, which it came of, with signs and words of its own.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

from servemark.servers.dialect import Ability, Call
from servemark.servers.http.words import decoded, json_object, server_message
from servemark.servers.mms.dialect import DIALECT as MMS
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

#: What its description calls it; Multi Model Server's says "Model Serving APIs".
_TITLE = "TorchServe"
#: What it says to who has no token, or another's.
_NO_TOKEN = "Token Authorization failed"  # noqa: S105 - a message, no token
#: (status, part of the message) -> meaning.
_MEANINGS: tuple[tuple[int, str, str], ...] = (
    (503, "Worker died", "the worker process died"),
    (503, "Prediction failed", "the handler raised an exception"),
    (503, "number of batch response mismatched", "the handler returned a wrong number of results"),
    (507, "", "out of memory in the worker"),
    (500, "Worker died", "the worker process died"),
    (404, "Model not found", "the server has no such model"),
    (413, "", "the request is larger than the server's max_request_size"),
    (429, "", "queue full: raise the server's job_queue_size or send less at once"),
)


class TorchServeAdmin:
    """The management API; see ``servemark.servers.dialect.Admin``. All but loading is as Multi Model Server has it."""

    def list_models(self) -> Call:
        """The first hundred models."""
        return MMS.admin.list_models()

    def state(self, model: str) -> Call:
        """What the server says of the versions of a model and their workers."""
        return MMS.admin.state(model)

    def load(
        self,
        model: str,
        url: str,
        *,
        workers: int,
        batch_size: int | None = None,
        max_batch_delay_ms: int | None = None,
    ) -> Call:
        """Register an archive that the server has already: it keeps what it downloads, and refuses it a second time."""
        name = url.rpartition("/")[2]
        return MMS.admin.load(
            model, name, workers=workers, batch_size=batch_size, max_batch_delay_ms=max_batch_delay_ms
        )

    def unload(self, model: str) -> Call:
        """Remove a model; answered when its workers are gone."""
        return MMS.admin.unload(model)

    def scale(self, model: str, workers: int) -> Call:
        """Have exactly `workers` workers."""
        return MMS.admin.scale(model, workers)


class TorchServeDialect:
    """What TorchServe speaks; see ``servemark.servers.dialect.Dialect``."""

    name = "torchserve"
    product = "TorchServe"
    abilities: frozenset[Ability] = frozenset({"models", "load", "scale", "batches", "health"})
    expects: Expect | None = None
    tokens: TokenFormat | None = None
    admin = TorchServeAdmin()

    def health(self) -> Request:
        """The request for its health; it is answered before its workers are ready, too."""
        return MMS.health()

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it is a JSON object with a `status` in words, or asks for a token."""
        return MMS.is_health(status, body) or self.wants_token(body)

    def sign(self) -> Request:
        """The request for the description of its API."""
        return MMS.sign()

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether the description says that it is TorchServe's, and of predictions: its management API has one, too."""
        info = json_object(body).get("info")
        titled = isinstance(info, Mapping) and _TITLE in str(info.get("title"))
        return (titled and MMS.is_sign(status, body)) or self.wants_token(body)

    def wants_token(self, body: bytes | str) -> bool:
        """Whether an answer says that it is not given to who has no token."""
        return _NO_TOKEN in server_message(body)

    def prediction(self, model: str, what: Input) -> Request:
        """The request that sends `what` to the model of that name."""
        return MMS.prediction(model, what)

    def decode(self, body: bytes) -> object:
        """What the handler returned, as JSON has it; the body itself where it is none."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """What a failing answer means, and its own words."""
        del reason
        message = server_message(body)
        if self.wants_token(body):
            return f"it wants a token: give --token-file ({message})"
        if status == 503 and "No worker is available" in message:
            return f"{'no worker' if ready_workers == 0 else 'queue full or no worker'} ({message})"
        meaning = next((said for code, part, said in _MEANINGS if code == status and part in message), "")
        return f"{meaning} ({message})" if meaning and message else meaning or message or f"HTTP {status}"


DIALECT = TorchServeDialect()
