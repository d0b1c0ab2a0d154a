"""Traces: the recorded times at which requests arrived, as plain times or in a column of a table.

A plain trace has one time a line; blank lines and comments (``#``) are skipped. A table is CSV, with a heading or
without, or JSON, one object a line; the column is named behind the file: ``FILE:COLUMN``, by its heading, its key, or
its number from 1. Times are in seconds, or in the unit that is named behind the column; those since 1970 say by their
size what they are in, and dates are read as such. Times never fall, and count from the first one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path

from servemark.errors import UsageError
from servemark.text_files import without_mark
from servemark.units import NS_PER_MS, NS_PER_S, NS_PER_US
from servemark.workload.load import TraceOrigin
from servemark.workload.trace_lengths import Lengths, lengths_in
from servemark.workload.trace_tables import Cell, cells_of, trace_refusal

_MOST_BYTES = 256 << 20
_MOST_TIMES = 5_000_000
#: That from the first time to the last.
_MOST_S = 366 * 24 * 3600
_SHAPE = "one time in seconds a line, rising; # begins a comment; of a table trace:FILE:COLUMN"
_SORT = "sort it: sort -g FILE where a line is a number"
#: Nanoseconds of each unit that can be named, and what it is called.
_UNITS_NS = {"s": NS_PER_S, "ms": NS_PER_MS, "us": NS_PER_US, "ns": 1}
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
#: From where on a number is no time since 1970 in that unit, but one in the next: the year 5138 in each.
_LARGEST = Decimal(10**11)
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?\s*(Z|UTC|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class _Named:
    """What follows ``trace:``: a file, and of a table the column and the unit of its times; empty where not named."""

    file: str
    column: str = ""
    unit: str = ""


def read_trace(name: str) -> tuple[tuple[int, ...], TraceOrigin]:
    """The times in the file that `name` names, in nanoseconds from the first, and where they are from.

    `name` is ``FILE``, ``FILE:COLUMN`` or ``FILE:COLUMN:UNIT``, the unit one of s, ms, us and ns.

    Raises:
        UsageError: it cannot be read, or holds something else; names the line.
    """
    named = _named(name)
    content = _content(named.file)
    try:
        text = without_mark(content)
    except ValueError as error:
        raise trace_refusal(named.file, str(error), "write it in UTF-8") from error
    cells, told_unit = cells_of(text, named.file, named.column)
    reader = _Reader(named.file, named.unit or told_unit)
    times_ns: list[int] = []
    first = Decimal(0)
    for cell in cells:
        time = reader.time(cell)
        first = first if times_ns else time
        since_ns = int((time - first) * reader.unit_ns)
        if times_ns and since_ns < times_ns[-1]:
            raise trace_refusal(named.file, f"line {cell.line}: {cell.shown} comes before the time above it", _SORT)
        if since_ns > _MOST_S * NS_PER_S:
            raise trace_refusal(
                named.file, f"line {cell.line}: {cell.shown} is more than a year after the first", "cut it"
            )
        times_ns.append(since_ns)
        if len(times_ns) > _MOST_TIMES:
            raise trace_refusal(named.file, f"it has more than {_MOST_TIMES:,} times", "cut it: head -n FILE")
    if not times_ns:
        raise trace_refusal(named.file, "it holds no time", _SHAPE)
    digest = hashlib.sha256(content).hexdigest()
    return tuple(times_ns), TraceOrigin(named.file, digest, named.column or None, reader.unit)


def read_lengths(name: str, most: int) -> tuple[Lengths, ...] | None:
    """How long the prompts and answers of a trace that ``read_trace`` has read were, at most so many of them.

    None where it says nothing of them.

    Raises:
        UsageError: a line of it says something else; names it.
    """
    file = _named(name).file
    return lengths_in(without_mark(_content(file)), file, most)


def unit_remark(origin: TraceOrigin) -> str | None:
    """What to say of a trace whose times were not taken for seconds."""
    if origin.unit == "s":
        return None
    return f"trace {Path(origin.file).name}: its times are in {_UNIT_NAMES[origin.unit]}"


class _Reader:
    """From what a line says to its time, in one unit for all: that named, or that which the first time tells."""

    def __init__(self, file: str, unit: str) -> None:
        self._file = file
        self._told = unit
        self.unit = ""

    @property
    def unit_ns(self) -> int:
        """Nanoseconds of the unit that ``time`` gives times in."""
        return _UNITS_NS[self.unit]

    def time(self, cell: Cell) -> Decimal:
        """The time in `cell`."""
        date = _DATE.fullmatch(cell.text)
        number = _seconds_since_1970(date) if date else _number(cell.text)
        if number is None or not number.is_finite():
            raise self._refused(cell, "is not a number of seconds, nor a date and time", _SHAPE)
        if number < 0:
            raise self._refused(cell, "is negative", "times count from the first: add a constant to all")
        if not self.unit:
            self.unit = "s" if date else self._told or _unit_of(number)
        if date:
            number *= NS_PER_S // self.unit_ns
        if number > _LARGEST * (NS_PER_S // self.unit_ns):
            unit = _UNIT_NAMES[self.unit]
            raise self._refused(cell, f"is too large for a time in {unit}", "all times have one unit")
        return number

    def _refused(self, cell: Cell, why: str, next_step: str) -> UsageError:
        return trace_refusal(self._file, f"line {cell.line}: {cell.shown} {why}", next_step)


def _unit_of(number: Decimal) -> str:
    """The unit of a time since 1970, by its size; seconds of any that is smaller, which counts from somewhere else."""
    return next((unit for unit, ns in _UNITS_NS.items() if number <= _LARGEST * (NS_PER_S // ns)), "ns")


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text.isascii() and "_" not in text else None
    except InvalidOperation:
        return None


def _seconds_since_1970(match: re.Match[str]) -> Decimal | None:
    """The time of a date; one that names no zone is taken for UTC, which changes nothing between two of them."""
    day, time, fraction, zone = match.groups()
    offset = "+00:00" if zone is None or zone.upper() in {"Z", "UTC"} else zone
    try:
        moment = datetime.strptime(f"{day} {time} {offset}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None
    whole = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(seconds=1)
    return Decimal(f"{whole}.{fraction or 0}")


def _named(name: str) -> _Named:
    """Part `name`: the file's, which may have colons, ends at the last before which there is such a file."""
    if Path(name).exists():
        return _Named(name)
    parts = name.split(":")
    for size in range(len(parts) - 1, 0, -1):
        file, rest = ":".join(parts[:size]), parts[size:]
        if Path(file).exists():
            unit = rest.pop() if len(rest) > 1 and rest[-1] in _UNITS_NS else ""
            return _Named(file, ":".join(rest), unit)
    return _Named(name)


def _content(file: str) -> bytes:
    path = Path(file)
    try:
        if path.exists() and not path.is_file():
            raise trace_refusal(file, "it is a directory" if path.is_dir() else "it is not a regular file", _SHAPE)
        if path.stat().st_size > _MOST_BYTES:
            raise trace_refusal(file, f"it is larger than {_MOST_BYTES >> 20} MiB", "cut it: head -n FILE")
        return path.read_bytes()
    except OSError as error:
        raise trace_refusal(file, error.strerror or str(error), "give the path of a file that you may read") from error
