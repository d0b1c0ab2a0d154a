"""Kinds of values that options have: how each is read from text, taken from Python, and shown in help.

``read`` is for the words of a command line, ``take`` for values that Python gives: text stands for what it says there,
too. What is wrong with a value is a ``ValueError``; who calls adds which option it is of. Standard library only.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servemark.errors import UsageError
from servemark.servers.oip.asked import TensorShape, parse_shape
from servemark.units import ascii_only, seconds_of
from servemark.workload.inputs import STANDARD_INPUT


def nearest(word: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """``"did you mean latency?"`` for what of `known` or `also` is nearest to `word`; all `known` where none is."""
    names = list(known)
    near = difflib.get_close_matches(word.lower(), [*names, *also], n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"


class Kind:
    """What all kinds have: here that of text as it is."""

    def read(self, text: str) -> Any:
        """What `text` stands for.

        Raises:
            ValueError: it stands for nothing of this kind.
        """
        return text

    def take(self, value: Any) -> Any:
        """`value`, which Python gives, as the option has it.

        Raises:
            ValueError: it is not of this kind.
            TypeError: nor could it be.
        """
        return self.read(value) if isinstance(value, str) else value

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {}


@dataclass(frozen=True)
class Text(Kind):
    """Text as it is; `meaning` is what says whether it is any, and what it becomes."""

    meaning: Callable[[str], Any] | None = None

    def read(self, text: str) -> Any:
        if self.meaning is None:
            return text
        try:
            return self.meaning(text)
        except UsageError as error:
            raise ValueError(str(error)) from None

    def take(self, value: Any) -> Any:
        if self.meaning is None and not isinstance(value, str):
            raise ValueError("it is text")
        return super().take(value)


class Rate(Text):
    """A rate as the command line has it, or from Python as a number."""

    def take(self, value: Any) -> Any:
        return self.read(str(value))


@dataclass(frozen=True)
class Whole(Kind):
    """Whole numbers from `least` to `most`."""

    least: int
    most: int | None = None

    def read(self, text: str) -> int:
        try:
            value = int(ascii_only(text))
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if value < self.least:
            raise ValueError(f"{text} is less than {self.least}")
        if self.most is not None and value > self.most:
            raise ValueError(f"{text} is more than {self.most}")
        return value

    def take(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("it is a whole number")
        if value < self.least:
            raise ValueError(f"it is at least {self.least}")
        if self.most is not None and value > self.most:
            raise ValueError(f"it is at most {self.most}")
        return value


@dataclass(frozen=True)
class Seconds(Kind):
    """Times in seconds, at least 0 or above it: ``10``, or with a unit ``500ms``, ``10s``, ``1m``, ``1h``."""

    above_zero: bool = False

    def read(self, text: str) -> float:
        value = self._seconds(text)
        if not self._is_in_bounds(value):
            raise ValueError(f"{text} is not {self._bound}")
        return value

    def take(self, value: Any) -> float:
        seconds: float = self._seconds(value) if isinstance(value, str) else value
        if not self._is_in_bounds(seconds):
            raise ValueError(f"it is {self._bound}")
        return seconds

    @property
    def _bound(self) -> str:
        return f"{'above' if self.above_zero else 'at least'} 0 seconds"

    def _is_in_bounds(self, value: float) -> bool:
        return math.isfinite(value) and value >= 0 and not (self.above_zero and value == 0)

    @staticmethod
    def _seconds(text: str) -> float:
        value = seconds_of(text)
        if value is None:
            raise ValueError(f"{text!r} is not a time such as 10, 500ms, 10s, 1m or 1h")
        return value


class Share(Kind):
    """Shares: ``1%`` or ``0.01``."""

    def read(self, text: str) -> float:
        try:
            number = float(ascii_only(text.removesuffix("%")))
            value = number / 100 if text.endswith("%") else number
        except ValueError:
            raise ValueError(f"{text!r} is not a share such as 1% or 0.01") from None
        if 1 < value <= 100 and not text.endswith("%"):
            raise ValueError(f"{text} is more than 1, which is all; did you mean {text}%?")
        if not 0 <= value <= 1:
            raise ValueError(f"{text} is not between 0% and 100%")
        return value

    def take(self, value: Any) -> float:
        share: float = self.read(value) if isinstance(value, str) else value
        if not 0 <= share <= 1:
            raise ValueError("it is from 0 to 1, which is all")
        return share


@dataclass(frozen=True)
class OneOf(Kind):
    """One of some words."""

    words: tuple[str, ...]

    def read(self, text: str) -> str:
        return text

    def take(self, value: Any) -> str:
        if value not in self.words:
            raise ValueError(nearest(str(value), self.words))
        return str(value)

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"choices": self.words}


class Switch(Kind):
    """On where it is given."""

    def read(self, text: str) -> bool:
        raise ValueError(f"{text!r} stands behind a switch")

    def take(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("it is True or False")
        return value

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"action": "store_true"}


class PathTo(Kind):
    """A path; whether there is what it leads to is looked at when all is known."""

    def read(self, text: str) -> Path:
        return Path(text)

    def take(self, value: Any) -> Path:
        return Path(value)


class Inputs(Kind):
    """Paths of inputs, ``-`` for standard input; Python may give one alone."""

    def read(self, text: str) -> Path:
        return STANDARD_INPUT if text == "-" else Path(text)

    def take(self, value: Any) -> tuple[Path, ...]:
        return tuple(self.read(str(one)) for one in _several(value))

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"action": "append", "default": []}


class Headers(Kind):
    """Headers, ``NAME: VALUE``; Python may give one alone, or a mapping."""

    def read(self, text: str) -> str:
        return text

    def take(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, Mapping):
            return tuple(f"{field}: {text}" for field, text in value.items())
        return tuple(_several(value))

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"action": "append", "default": []}


class Shapes(Kind):
    """Shapes of tensors, ``NAME:1,4``; Python may give one alone, or a mapping from names to numbers."""

    def read(self, text: str) -> TensorShape:
        return parse_shape(text)

    def take(self, value: Any) -> tuple[TensorShape, ...]:
        if isinstance(value, Mapping):
            return tuple(self.read(f"{name}:{','.join(map(str, dims))}") for name, dims in value.items())
        return tuple(one if isinstance(one, TensorShape) else self.read(one) for one in _several(value))

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"action": "append", "default": []}


@dataclass(frozen=True)
class Grid(Kind):
    """Values to try of several settings, ``KEY=1,2,4`` each; Python gives a mapping. What comes of it are pairs."""

    keys: tuple[str, ...]

    def read(self, text: str) -> tuple[str, tuple[int, ...]]:
        key, equals, values = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not KEY=VALUES such as {self.keys[0]}=1,2,4")
        return self._checked(key.replace("-", "_"), values.split(","))

    def take(self, value: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
        pairs = value.items() if isinstance(value, Mapping) else value
        taken = tuple(self._checked(key, _several_numbers(values)) for key, values in pairs)
        twice = [key for key, _ in taken if [other for other, _ in taken].count(key) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        return taken

    def _checked(self, key: str, values: Iterable[Any]) -> tuple[str, tuple[int, ...]]:
        if key not in self.keys:
            raise ValueError(f"{key!r} cannot be tried: {nearest(key, self.keys)}")
        numbers = tuple(Whole(1).read(str(value)) for value in values)
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"{key} has a value twice")
        return key, numbers

    def settings(self) -> Mapping[str, Any]:
        """What argparse has to know of it besides how it is read."""
        return {"nargs": "+", "default": None}


def _several_numbers(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, int | str) else value


def _several(value: Any) -> Iterable[Any]:
    return (value,) if isinstance(value, str | os.PathLike) else value


def readable_file(path: Path) -> Path:
    """`path`, a file that can be read.

    Raises:
        UsageError: it is none.
    """
    if not path.is_file():
        missing = "it is a directory" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
        raise UsageError(f"cannot read {path}", cause=missing)
    if not os.access(path, os.R_OK):
        raise UsageError(f"cannot read {path}", cause="permission denied")
    return path


def readable(path: Path) -> Path:
    """`path`, a file or a folder that can be read, or standard input.

    Raises:
        UsageError: it is none.
    """
    if path == STANDARD_INPUT or (path.is_dir() and os.access(path, os.R_OK | os.X_OK)):
        return path
    return readable_file(path)


def media_type(text: str) -> str:
    """`text`, a media type such as ``image/jpeg`` or ``text/plain; charset=utf-8``.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(\s*;[ -~]*)?", text, re.ASCII):
        raise ValueError(f"{text!r} is not a content type such as image/jpeg")
    return text


def field_name(text: str) -> str:
    """`text`, the name of a form's field.

    Raises:
        ValueError: it is none.
    """
    if not text or not text.isprintable():
        raise ValueError(f"{text!r} is not a field's name such as data")
    return text


def method(text: str) -> str:
    """`text`, a method of HTTP, in capitals.

    Raises:
        ValueError: it is none, or no request.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z_-]*", text):
        raise ValueError(f"{text!r} is not a method such as GET")
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT opens a tunnel and no request")
    return text.upper()


class Status(Whole):
    """A status of HTTP that answers a request."""

    def __init__(self) -> None:
        super().__init__(200, 599)

    def read(self, text: str) -> int:
        if not re.fullmatch(r"[2-5][0-9][0-9]", text):
            raise ValueError(f"{text!r} is not a status from 200 to 599")
        return int(text)
