"""What can be shown: on which stream, and how much of a text. Standard library only."""

from __future__ import annotations

import os
from typing import TextIO

#: Values of TERM that name a terminal without escape sequences; Emacs' shell and some CI systems have them.
_PLAIN = {"", "dumb", "unknown"}


def takes_escapes(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that knows escape sequences; one whose TERM says nothing need not."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in _PLAIN


def shortened(text: str, most: int = 200) -> str:
    """`text`, its middle left out where it is longer than `most`: words of users and of servers have any length."""
    if len(text) <= most:
        return text
    kept = (most - 5) // 2
    return f"{text[:kept]} ... {text[-kept:]}"
