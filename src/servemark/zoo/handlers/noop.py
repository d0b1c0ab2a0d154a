"""No model at all: answers "OK" to any request, so that what is measured is the server itself."""

from __future__ import annotations

from typing import Any


def handle(items: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """What the server calls: once with None to load the model, then with each batch of requests."""
    del context
    return None if items is None else ["OK"] * len(items)
