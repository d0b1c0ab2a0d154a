"""Cells that hold the times of a trace: alone on their lines, in a column of CSV, or at a key of JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from servemark.errors import UsageError

_SHOWN = 40
_MOST_NAMED = 20
_DELIMITERS = ",;\t"
_TABLES = {".csv", ".tsv"}
#: What begins like a number is no heading.
_NUMBER = re.compile(r"\s*[-+.]?\d")
#: Keys of the traces of Mooncake, whose times are in milliseconds, and one that only Bailian's have beside them: their
#: times are in seconds.
_MOONCAKE, OF_BAILIAN = {"timestamp", "hash_ids"}, "parent_chat_id"


@dataclass(frozen=True)
class Cell:
    """What a line of the file says of its time."""

    line: int
    text: str

    @property
    def shown(self) -> str:
        """Its beginning, for people."""
        return ascii(self.text[:_SHOWN])


def cells_of(content: bytes, file: str, column: str) -> tuple[Iterator[Cell], str]:
    """The times in `content` of `file`, as they are written; and the unit that such files have, else "".

    Raises:
        UsageError: there is no such `column`, or one has to be chosen; from the iterator: a line has none.
    """
    text = decoded(content)
    if text.lstrip()[:1] == "{":
        return _of_objects(text, file, column)
    if column:
        return _of_rows(text, file, column), ""
    _check_plain(text, file)
    return _plain(text), ""


def decoded(content: bytes) -> str:
    """The text of a table, whatever its encoding does to columns that are not looked at."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # of a table in another encoding only other columns suffer


def _plain(text: str) -> Iterator[Cell]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        words = line.partition("#")[0].strip()
        if words:
            yield Cell(number, words)


def _check_plain(text: str, file: str) -> None:
    """Refuse a table of which no column was chosen."""
    first = next(_plain(text), None)
    if first is None:
        return
    names = [name.strip(' "') for name in first.text.split(_delimiter_of(first.text))]
    if len(names) > 1 or (Path(file).suffix.lower() in _TABLES and not _NUMBER.match(first.text)):
        raise trace_refusal(file, "it is a table", _choose(file, names))


def rows_of(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of the table `text`, each with the number of its line; blank lines and ``#`` comments are none.

    Raises:
        UsageError: from the iterator: it is no CSV.
    """
    first = next(_plain(text), None)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter_of(first.text if first else ""))
    try:
        for row in rows:
            if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
                yield rows.line_num, row
    except csv.Error as error:
        raise trace_refusal(file, f"line {rows.line_num}: {error}", "write it as CSV") from error


def _of_rows(text: str, file: str, column: str) -> Iterator[Cell]:
    index: int | None = None
    for number, row in rows_of(text, file):
        if index is None:
            index, is_heading = _index(row, file, column)
            if is_heading:
                continue
        if index >= len(row):
            raise trace_refusal(file, f"line {number} has {len(row)} columns", f"column {column!r} is missing")
        yield Cell(number, row[index].strip())


def _index(row: Sequence[str], file: str, column: str) -> tuple[int, bool]:
    """The index of the column in the first row, and whether that row is the heading."""
    names = [cell.strip() for cell in row]
    headings = {at: name for at, name in enumerate(names) if not _NUMBER.match(name)}
    for same in (column, column.lower()):
        found = [at for at, name in headings.items() if same in (name, name.lower())]
        if len(found) == 1:
            return found[0], True
    if column.isdecimal() and 0 < int(column) <= len(names):
        at = int(column) - 1
        return at, not _NUMBER.match(names[at])
    raise trace_refusal(file, f"it has no column {column!r}", _choose(file, names))


def _of_objects(text: str, file: str, key: str) -> tuple[Iterator[Cell], str]:
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    first = _object(file, *lines[0])
    if key not in first:
        raise trace_refusal(file, f"it has no key {key!r}" if key else "it is JSON", _choose(file, list(first)))
    cells = (Cell(number, _text(file, number, _object(file, number, line).get(key))) for number, line in lines)
    if key != "timestamp" or not first.keys() >= _MOONCAKE:
        return cells, ""
    return cells, "s" if OF_BAILIAN in first else "ms"


def _object(file: str, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise trace_refusal(file, f"line {number} is no JSON: {error}", "write one JSON object a line") from None
    if not isinstance(value, dict):
        raise trace_refusal(file, f"line {number} is no JSON object", "write one a line")
    return value


def _text(file: str, number: int, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise trace_refusal(file, f"line {number} has no time", "write a number, or a date and time")
    return str(value).strip()


def _delimiter_of(line: str) -> str:
    """What stands between the cells of a line."""
    return max(_DELIMITERS, key=line.count)


def _choose(file: str, names: Sequence[str]) -> str:
    """What can be chosen: the columns by their names, or by their numbers where the first row is no heading."""
    if any(_NUMBER.match(name) for name in names):
        return f"choose one of its {len(names)} columns by its number, as in trace:{file}:1"
    shown = [name.strip() for name in names if name.strip()][:_MOST_NAMED]
    return f"choose one of {', '.join(shown)}, as in trace:{file}:{shown[0] if shown else 1}"


def trace_refusal(file: str, cause: str, next_step: str) -> UsageError:
    """The refusal of the trace in `file`, and why."""
    return UsageError(f"cannot use the trace {file}", cause=cause, next_step=next_step)
