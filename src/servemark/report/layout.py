"""How what is printed is laid out: lines with a label, and tables of figures, of any width, in which no word is cut."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len
from rich.text import Text

from servemark.terminals import shortened

LABEL_WIDTH = 15
#: From this width on tables have the columns that say more.
_WIDE = 100
#: Columns between two columns of a table: usually, and where there is little room.
_GAPS = (2, 1)
#: A column that wraps has at least so much room.
_LEAST_WRAPPED = 24
#: A cell that may be shortened keeps so much.
_LEAST_SHORTENED = 15
#: Of what is longer than beside a label there is room for.
_INDENT = 2
#: More of a text is no summary any more.
_LONGEST_FACT = 1500
#: A figure is one word with its unit.
_WORD = re.compile(r"\S*\d (?:us|ms|s|MiB|GiB)\b\S*|\S+")


class Fact:
    """A line with its label; a long text goes on below itself, a word that is longer still below the label."""

    def __init__(self, label: str, text: str, style: str = "") -> None:
        self.label = label
        self.text = Text(shortened(text, _LONGEST_FACT), style=style)

    def lines(self, width: int) -> Iterator[Text]:
        """What is printed on `width` columns."""
        longest = max(map(cell_len, _WORD.findall(self.text.plain)), default=0)
        if longest <= width - LABEL_WIDTH and cell_len(self.label) < LABEL_WIDTH:
            indent, label = LABEL_WIDTH, self.label.ljust(LABEL_WIDTH)
        else:
            if self.label:
                yield Text(self.label, style="dim")
            indent, label = _INDENT, " " * _INDENT
        for line in wrapped(self.text, width - indent):
            yield Text.assemble((label, "dim"), line)
            label = " " * indent


@dataclass(frozen=True)
class _Column:
    heading: str
    is_extra: bool
    at_the_left: bool
    may_shorten: bool


class Columns:
    """A table: its first column names the rows, the others hold figures.

    Columns whose heading stands in `extra` are shown where there is room for more than is needed; those in `left` hold
    words. The last one goes on below itself if it `wraps`. Where there is too little room for the others the middle of
    cells in the columns that `shorten` is left out, the longest first; where that is not enough each row becomes lines
    of its own, whole.
    """

    def __init__(
        self,
        first: str,
        *others: str,
        extra: Sequence[str] = (),
        left: Sequence[str] = (),
        shorten: Sequence[str] = (),
        wraps: bool = False,
    ) -> None:
        self._columns = tuple(
            _Column(heading, heading in extra, number == 0 or heading in left, heading in shorten)
            for number, heading in enumerate((first, *others))
        )
        self._wraps = wraps
        self._rows: list[tuple[str, ...]] = []
        self._styles: list[str] = []

    def add_row(self, *cells: str, style: str = "dim") -> None:
        """A row; the cells at its end may be missing. `style` is that of its first cell."""
        self._rows.append((*cells, *[""] * (len(self._columns) - len(cells))))
        self._styles.append(style)

    @property
    def headings(self) -> tuple[str, ...]:
        """What stands above each column."""
        return tuple(column.heading for column in self._columns)

    @property
    def at_the_left(self) -> tuple[bool, ...]:
        """Whether the words of each column stand at the left."""
        return tuple(column.at_the_left for column in self._columns)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The cells of each row, a column each."""
        return tuple(self._rows)

    def lines(self, width: int) -> Iterator[Text]:
        """What is printed on `width` columns."""
        needed = [number for number, column in enumerate(self._columns) if not column.is_extra]
        shown = needed
        for number, column in enumerate(self._columns):
            more = sorted([*shown, number])
            if column.is_extra and self._width(more, _GAPS[0]) <= width and width >= _WIDE:
                shown = more
        for gap in _GAPS:
            before_last = self._width(shown[:-1], gap) + gap
            if self._width(shown, gap) <= width or (self._wraps and width - before_last >= _LEAST_WRAPPED):
                yield from self._table(shown, gap, width - before_last)
                return
        shorter = self._shortened(needed, width)
        if shorter is None:
            yield from self._lists(needed, width)
        else:
            yield from shorter._table(needed, _GAPS[-1], 0)

    def _shortened(self, shown: Sequence[int], width: int) -> Columns | None:
        """The same with shorter cells, which has room on `width` columns; None where that would leave too little."""
        widths = {number: self._width_of(number) for number in shown if self._columns[number].may_shorten}
        for _ in range(self._width(shown, _GAPS[-1]) - width):
            widest = max(widths, key=lambda number: widths[number], default=None)
            if widest is None or widths[widest] <= _LEAST_SHORTENED:
                return None
            widths[widest] -= 1
        shorter = copy.copy(self)
        shorter._rows = [
            tuple(shortened(cell, widths.get(number, len(cell))) for number, cell in enumerate(row))
            for row in self._rows
        ]
        return shorter

    def _width(self, shown: Sequence[int], gap: int) -> int:
        return sum(self._width_of(number) for number in shown) + gap * (len(shown) - 1)

    def _width_of(self, number: int) -> int:
        return max(map(cell_len, (self._columns[number].heading, *(row[number] for row in self._rows))))

    def _table(self, shown: Sequence[int], gap: int, room_of_last: int) -> Iterator[Text]:
        headings = self.headings
        before = " " * (self._width(shown[:-1], gap) + gap)
        for row, style in zip((headings, *self._rows), ("bold", *self._styles), strict=True):
            line = Text(style="bold" if row is headings else "")
            more: list[str] = []
            for number in shown:
                cell = row[number]
                if self._wraps and number == shown[-1]:
                    cell, *more = (text.plain for text in wrapped(Text(cell), room_of_last))
                space = " " * (self._width_of(number) - cell_len(cell))
                cell = cell + space if self._columns[number].at_the_left else space + cell
                line.append(" " * gap if number else "").append(cell, style="" if number else style)
            line.rstrip()
            yield line
            yield from (Text(f"{before}{text}") for text in more)

    def _lists(self, shown: Sequence[int], width: int) -> Iterator[Text]:
        first, *others = (self._columns[number].heading for number in shown)
        for row in self._rows:
            name, *cells = (row[number] for number in shown)
            told = ", ".join(f"{heading} {cell}" for heading, cell in zip(others, cells, strict=True) if cell)
            yield Text(f"{name} ({first})" if first and name else name)
            yield from Fact("", told).lines(width)


class Block(Protocol):
    """What lays itself out in lines."""

    def lines(self, width: int) -> Iterator[Text]:
        """What is printed on `width` columns."""
        ...


Line = Text | Block


def texts_of(lines: Iterable[Line]) -> Iterator[str]:
    """All that `lines` say, but for labels, headings, and what is drawn of characters."""
    for line in lines:
        if isinstance(line, Columns):
            yield from (cell for row in line.rows for cell in row)
        else:
            yield line.text.plain if isinstance(line, Fact) else line.plain if isinstance(line, Text) else ""


def lines_of(line: Line, width: int) -> Iterator[Text]:
    """`line` as it is printed on `width` columns."""
    yield from wrapped(line, width) if isinstance(line, Text) else line.lines(width)


def wrapped(text: Text, width: int) -> list[Text]:
    """`text` in lines that end between words; a word that is longer than `width` stays in one piece."""
    ends, start = [], 0
    for word in _WORD.finditer(text.plain):
        if word.start() > start and cell_len(text.plain[start : word.end()]) > width:
            start = word.start()
            ends.append(start)
    lines = list(text.divide(ends))
    for line in lines:
        line.rstrip()
    return lines
