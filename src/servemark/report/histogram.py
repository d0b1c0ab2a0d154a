"""A histogram for the terminal: a few lines of characters, and below them the times that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from servemark.report.layout import LABEL_WIDTH
from servemark.report.sparkline import BLOCKS
from servemark.result import Histogram
from servemark.units import format_ms

#: On terminals of this width it is three lines high, else two.
_WIDE = 100
#: What is above the last bound that is drawn, where that is no more than p99.9 leaves out.
_LEFT_OUT_SHARE = 0.001
#: Columns between two times below it.
_GAP = 4
_TICK = "|"


class Chart:
    """A histogram with its label, of the characters of `ramp`; as wide as the terminal."""

    def __init__(self, label: str, histogram: Histogram, ramp: str = BLOCKS) -> None:
        self._label = label
        self._ramp = ramp
        self._bounds_ms, self._counts = histogram.bounds_ms, histogram.counts
        self._beyond, self._most_ms = 0, histogram.bounds_ms[-1]
        if len(self._counts) > 1 and self._counts[-1] <= _LEFT_OUT_SHARE * sum(self._counts):
            self._beyond, self._counts, self._bounds_ms = self._counts[-1], self._counts[:-1], self._bounds_ms[:-1]

    def lines(self, width: int) -> Iterator[Text]:
        """What is printed on `width` columns."""
        room = max(width - LABEL_WIDTH, 1)
        together = -(-len(self._counts) // room)
        counts = [sum(self._counts[at : at + together]) for at in range(0, len(self._counts), together)]
        bounds_ms = [*self._bounds_ms[:-1:together], self._bounds_ms[-1]]
        columns = room // len(counts)
        label = self._label
        for row in bars(counts, 3 if width >= _WIDE else 2, self._ramp):
            drawn = "".join(letter * columns for letter in row)
            yield Text.assemble((label.ljust(LABEL_WIDTH), "dim"), drawn.rstrip())
            label = ""
        indent = " " * LABEL_WIDTH
        yield Text(f"{indent}{axis(bounds_ms, columns)}", style="dim")
        if self._beyond:
            yield Text(f"{indent}and {self._beyond:,} above, up to {format_ms(self._most_ms)}", style="dim")


def bars(counts: Sequence[int], height: int, ramp: str) -> list[str]:
    """Bars side by side, a character wide and at most `height` lines high; whatever is there at all can be seen."""
    levels = len(ramp)
    most = max(counts)
    heights = [max(round(count / most * height * levels), 1) if count else 0 for count in counts]
    return [
        "".join(_part(bar - levels * below, ramp) for bar in heights).rstrip() for below in range(height - 1, -1, -1)
    ]


def _part(level: int, ramp: str) -> str:
    """What is seen of a bar in a line above whose foot it is so many levels high."""
    return " " if level <= 0 else ramp[min(level, len(ramp)) - 1]


def axis(bounds_ms: Sequence[float], columns: int) -> str:
    """The bounds of bins that are so many columns wide: the first, the last, and those between for which there is room.

    Each begins at its bound, but for the last, which ends there.
    """
    last = f"{format_ms(bounds_ms[-1])}{_TICK}"
    last_at = max(columns * (len(bounds_ms) - 1) - len(last), 0)
    shown = ""
    for number, bound_ms in enumerate(bounds_ms[:-1]):
        text, at = f"{_TICK}{format_ms(bound_ms)}", number * columns
        is_apart = not shown or at >= len(shown) + _GAP
        if is_apart and (not shown or at + len(text) + _GAP <= last_at):
            shown = shown.ljust(at) + text
    if len(shown) < last_at:
        return shown.ljust(last_at) + last
    return f"{shown} {last}"
