"""What servers say in the bodies of their answers. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping

#: Where servers have their words: MMS and its kin, those of the Open Inference Protocol, those made with FastAPI.
_FIELDS = ("message", "error", "detail")

#: What to do about a server that answers 401 or 403.
WHERE_NOT_ALLOWED = "where it wants a token, give it with -H 'Authorization: Bearer $TOKEN'"


def server_message(body: bytes | str) -> str:
    """The words of a JSON error, or the start of whatever else, in one line."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    found = json_object(text)
    inner = found.get("error")
    words = [found.get(field) for field in _FIELDS] + [inner.get("message") if isinstance(inner, dict) else None]
    message = next((one for one in words if isinstance(one, str)), text)
    return " ".join(message.split())[:300]


def json_object(body: bytes | str) -> Mapping[str, object]:
    """The JSON object that `body` is; empty when it is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def decoded(body: bytes) -> object:
    """What `body` is as JSON; itself where it is none."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return value


def said(reason: str, body: bytes | str, status: int) -> str:
    """The words of a failure whose meaning only its makers know: of its status line, and of its body."""
    return ": ".join(filter(None, (reason, server_message(body)))) or f"HTTP {status}"
