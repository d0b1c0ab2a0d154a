"""From the words of a command line to values; and the known word that was meant. Standard library only."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable

from servemark.units import seconds_of


def nearest(word: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """``"did you mean latency?"`` for what of `known` or `also` is nearest to `word`; all `known` where none is."""
    names = list(known)
    near = difflib.get_close_matches(word.lower(), [*names, *also], n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(names)}"


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A converter for whole numbers from `least` to `most`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{text} is more than {most}")
        return value

    return convert


def seconds(*, above_zero: bool) -> Callable[[str], float]:
    """A converter for times in seconds, at least 0 or above it: ``10``, or with a unit ``500ms``, ``10s``, ``1m``."""

    def convert(text: str) -> float:
        value = seconds_of(text)
        if value is None:
            raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 10, 500ms, 10s, 1m or 1h")
        if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
            raise argparse.ArgumentTypeError(f"{text} is not {'above' if above_zero else 'at least'} 0 seconds")
        return value

    return convert


def share(text: str) -> float:
    """A converter for shares: ``1%`` or ``0.01``."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 1% or 0.01") from None
    if 1 < value <= 100 and not text.endswith("%"):
        raise argparse.ArgumentTypeError(f"{text} is more than 1, which is all; did you mean {text}%?")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0% and 100%")
    return value
