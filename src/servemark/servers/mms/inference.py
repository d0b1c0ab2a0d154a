"""How Multi Model Server is asked for a prediction over REST, and what its failing answers mean.

Standard library only, so that a summary can be explained without a server at hand.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from servemark.workload.inputs import Input
from servemark.workload.scenario import Request

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


def prediction_request(model_name: str, what: Input) -> Request:
    """The request that sends `what` to the model of that name."""
    return Request(
        method="POST",
        path=f"/predictions/{quote(model_name, safe='')}",
        headers=(("Content-Type", what.content_type),),
        body=what.body,
    )


def ping_request() -> Request:
    """The request for the server's health; it is answered with 200 even by an unhealthy server."""
    return Request(method="GET", path="/ping")


def describe_failure(status: int, body: bytes | str, ready_workers: int | None = None) -> str:
    """What a failing answer means, and the server's own words: ``'queue full or no worker (No worker is ...)'``.

    MMS answers a full queue and a model without workers alike; `ready_workers`, where it is known, tells them apart.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    message = server_message(text)
    meaning = _meaning(status, message, ready_workers)
    if meaning and message:
        return f"{meaning} ({message})"
    return meaning or message or f"HTTP {status}"


def server_message(text: str) -> str:
    """The `message` of MMS's JSON errors, or the start of whatever else was answered, in one line."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    message = answer.get("message") if isinstance(answer, dict) else None
    return " ".join((message if isinstance(message, str) else text).split())[:300]


def _meaning(status: int, message: str, ready_workers: int | None) -> str:
    if status == 503 and _NO_WORKER in message:
        if ready_workers is None:
            return "queue full or no worker: raise the server's job_queue_size or send less at once"
        if ready_workers == 0:
            return "no worker: scale the model up"
        return "queue full: raise the server's job_queue_size or send less at once"
    return next((meaning for code, part, meaning in _MEANINGS if code == status and part in message), "")
