"""Text of others made fit to be printed: a server, an archive or a program must not steer the terminal.

Whatever is shown and may hold words that are not ours goes through here, once, right before it is printed. Standard
library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

_Shown = TypeVar("_Shown")
#: What lays out our own lines.
_LAYOUT = "\n\t"


def printable(text: str) -> str:
    r"""`text` with everything that is no letter to be seen written out: ``\x1b`` for an escape, ``\u202e`` for a mark
    that turns the direction of writing. Ends of lines and tabs stay.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return "".join(letter if letter.isprintable() or letter in _LAYOUT else _spelled(letter) for letter in text)


def _spelled(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def printable_in(value: _Shown) -> _Shown:
    """`value` with every text in it :func:`printable`: of dataclasses, mappings, tuples and lists, at any depth."""
    return _printable_in(value)  # type: ignore[no-any-return]


def _printable_in(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        changed = {
            name: made for name in fields if (made := _printable_in(getattr(value, name))) is not getattr(value, name)
        }
        return dataclasses.replace(value, **changed) if changed else value
    if isinstance(value, Mapping):
        made = {_printable_in(key): _printable_in(item) for key, item in value.items()}
        return value if _same(made.items(), value.items()) else made
    if isinstance(value, (tuple, list)):
        items = [_printable_in(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else type(value)(items)
    return value


def _same(made: Any, given: Any) -> bool:
    return all(new is old for pair in zip(made, given, strict=True) for new, old in zip(*pair, strict=True))
