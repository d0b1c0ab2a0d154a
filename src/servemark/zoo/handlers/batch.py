"""Answering a batch of requests, so that a bad one among them gets a client error and the others their prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Parsed = TypeVar("Parsed")
_BAD_REQUEST = 400


class BadInputError(Exception):
    """The request's body is not what the model takes; the text says what it takes."""


def body_of(item: dict[str, Any]) -> Any:
    """The body of one request: bytes, or what the server has made of text and JSON. A form's field is named "data"."""
    body = item.get("body", item.get("data"))
    if body is None or (isinstance(body, (bytes, bytearray, str)) and not body):
        raise BadInputError("the request has no body")
    return body


def answer(
    items: list[dict[str, Any]],
    context: Any,
    parse: Callable[[Any], Parsed],
    predict: Callable[[list[Parsed]], list[Any]],
) -> list[Any]:
    """One answer for each request: what `predict` says of the bodies that `parse` takes, status 400 for the others."""
    answers: list[Any] = [None] * len(items)
    good: dict[int, Parsed] = {}
    for index, item in enumerate(items):
        try:
            good[index] = parse(body_of(item))
        except BadInputError as error:
            context.set_response_status(_BAD_REQUEST, "Bad Request", index)
            answers[index] = {"code": _BAD_REQUEST, "type": "BadInput", "message": str(error)}
    if good:
        predictions = predict(list(good.values()))
        for position, index in enumerate(good):
            answers[index] = predictions[position]
    return answers
