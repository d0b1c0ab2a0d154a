"""Files and folders that take the place of older ones when they are whole, and leave nothing behind when they are not.

What is no regular file (a pipe, a device) cannot be replaced, and is written to.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file that takes the place of `path` at the end."""
    with replacing_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        yield out


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a file to write to that takes the place of `path` at the end."""
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()  # a link stays, and leads to what is new
    partial = _beside(path, "partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder that takes the place of the one at `path` at the end."""
    path = path.resolve()
    partial, older = _beside(path, "partial"), _beside(path, "older")
    for left in (partial, older):
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            path.rename(older)
        partial.rename(path)
    finally:
        if older.exists() and not path.exists():
            older.rename(path)
        for left in (partial, older):
            shutil.rmtree(left, ignore_errors=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")
