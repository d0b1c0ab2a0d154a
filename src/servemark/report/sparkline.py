"""Sparklines: a series of numbers as a line of characters, each as high as its number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import TextIO

from servemark.terminals import takes_letters

#: From the lowest to the highest; the others are for who has ASCII alone.
BLOCKS, PLAIN = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", "_.-=+*#@"
_MARK = "^"


def ramp_for(stream: TextIO) -> str:
    """The characters that `stream` can show in the locale of this process."""
    return BLOCKS if takes_letters(BLOCKS, stream, os.environ) else PLAIN


def sparkline(values: Sequence[float], width: int, ramp: str = BLOCKS, *, from_zero: bool = False) -> str:
    """`values` in their order as at most `width` characters of `ramp`, the least as its first, the most as its last.

    Where there are more values than that, a character is the median of those that are in its place. Values that are
    all the same are in the middle. With `from_zero` the first is 0, so that values look as alike as they are.
    """
    heights = [median(values[start:end]) for start, end in _columns(len(values), width)]
    if not heights:
        return ""
    least, most = 0.0 if from_zero else min(heights), max(heights)
    if most == least:
        return ramp[0 if from_zero else len(ramp) // 2] * len(heights)
    top = len(ramp) - 1
    return "".join(ramp[round((height - least) / (most - least) * top)] for height in heights)


def marks(places: Sequence[int], count: int, width: int) -> str:
    """A line to stand below the sparkline of `count` values, with a mark below those at `places`."""
    columns = _columns(count, width)
    marked = {next(number for number, (_, end) in enumerate(columns) if place < end) for place in places}
    return "".join(_MARK if number in marked else " " for number in range(len(columns))).rstrip()


def _columns(count: int, width: int) -> list[tuple[int, int]]:
    """Which of `count` values are in each character: from the first to before the second."""
    number = min(count, width)
    edges = [place * count // number for place in range(number + 1)] if number else []
    return list(pairwise(edges))
