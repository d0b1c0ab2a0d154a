"""What can be shown: on which stream, and how much of a text. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

#: Values of TERM that name a terminal without escape sequences; Emacs' shell and some CI systems have them.
_PLAIN = {"", "dumb", "unknown"}


def takes_escapes(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that knows escape sequences; one whose TERM says nothing need not."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in _PLAIN


def takes_letters(letters: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `letters`, which are none of ASCII's, can be shown on `stream` in the locale that `environ` asks for.

    Python writes UTF-8 in the locale C too, and puts C.UTF-8 into LC_CTYPE where LANG asks for C: whoever asks for that
    has a terminal, or a file, that shows ASCII alone.
    """
    asked = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if asked == "C.UTF-8" and not environ.get("LC_ALL") and environ.get("LANG") in {"C", "POSIX"}:
        return False
    if asked and "utf" not in asked.lower():
        return False
    try:
        letters.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def shortened(text: str, most: int = 200) -> str:
    """`text`, its middle left out where it is longer than `most`: words of users and of servers have any length."""
    if len(text) <= most:
        return text
    kept = (most - 5) // 2
    return f"{text[:kept]} ... {text[-kept:]}"
