"""The index: results by their folders, what each measured, and the names of baselines.

A folder is one result: what was there before it is forgotten with the first run that was written over it. A baseline is
a name for a result, by folder and id, so that one whose folder holds another result now is no baseline any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.history.database import changing, opened, patiently
from servemark.history.measurements import STATISTICS, Measurement, measurements
from servemark.history.place import history_file
from servemark.result import Result, Statistic

if TYPE_CHECKING:
    import sqlite3

_RESULT = "result.json"
_OF_MEASUREMENT = ("entry", "benchmark", "model", "point", "setup", "machine")
_FIGURES = {"rate": ("rate_per_s", "rate_low", "rate_high")} | {
    name: (f"{name}_ms", f"{name}_low", f"{name}_high") for name in ("p50", "p99")
}
_COLUMNS = (*_OF_MEASUREMENT, "fingerprint", "valid", "partial", *(column for of in _FIGURES.values() for column in of))


@dataclass(frozen=True)
class Indexed:
    """A result as the index has it.

    Attributes:
        number: counts all that were ever added, from 1; none is given twice.
        id: the result's own.
        folder: where it was written.
        started_at: in ISO 8601, UTC.
        partial: whether it did not come to its end.
        baselines: the names that it has.
    """

    number: int
    id: str
    folder: Path
    started_at: str
    partial: bool
    measurements: tuple[Measurement, ...]
    baselines: tuple[str, ...] = ()

    @property
    def is_gone(self) -> bool:
        """Whether there is no result in its folder any more."""
        return not is_result(self.folder)


def is_result(folder: Path) -> bool:
    """Whether there is a result in `folder`, and it may be looked at."""
    return os.path.isfile(folder / _RESULT)  # noqa: PTH113 - Path's own raises where it may not


def add(result: Result, folder: Path) -> int | None:
    """Index `result`, which is in `folder`, in the place of what that held before; its number.

    None where nothing was measured, and so nothing is indexed.

    Raises:
        UsageError, RecordingError: as ``database.opened`` says.
    """
    rows = measurements(result)
    if not rows:
        return None
    place = _stored_path(folder.resolve())

    def insert(connection: sqlite3.Connection) -> int:
        with changing(connection):
            connection.execute("DELETE FROM results WHERE folder = ?", (place,))
            facts = (_text(result.id), place, result.started_at, int(result.partial))
            added = connection.execute(
                "INSERT INTO results (id, folder, started_at, partial) VALUES (?, ?, ?, ?)", facts
            ).lastrowid
            assert added is not None
            marks = ", ".join("?" * (len(_COLUMNS) + 2))
            connection.executemany(
                f"INSERT INTO measurements (result, place, {', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608
                [(added, number, *_row_of(row)) for number, row in enumerate(rows)],
            )
            return added

    with opened(history_file()) as connection:
        return patiently(lambda: insert(connection))


def indexed() -> tuple[Indexed, ...]:
    """All results, in the order in which they were added; none where there is no history yet.

    Raises:
        UsageError, RecordingError: as ``database.opened`` says.
    """
    path = history_file()
    if not os.path.lexists(path):
        return ()
    with opened(path, only_reads=True) as connection:
        return patiently(lambda: _read(connection))


def set_baseline(name: str, result_id: str, folder: Path) -> None:
    """Have `name` be that of the result in `folder`, whichever it was of before.

    Raises:
        UsageError, RecordingError: as ``database.opened`` says.
    """
    row = (name, _text(result_id), _stored_path(folder.resolve()))
    with opened(history_file()) as connection:

        def replace() -> None:
            with changing(connection):
                connection.execute("INSERT OR REPLACE INTO baselines (name, id, folder) VALUES (?, ?, ?)", row)

        patiently(replace)


def baselines() -> Mapping[str, tuple[str, Path]]:
    """The id and the folder of each baseline's result, by the baseline's name.

    Raises:
        UsageError, RecordingError: as ``database.opened`` says.
    """
    path = history_file()
    if not os.path.lexists(path):
        return {}
    with opened(path) as connection:
        rows = patiently(lambda: connection.execute("SELECT name, id, folder FROM baselines ORDER BY name").fetchall())
    return {name: (result_id, _read_path(folder)) for name, result_id, folder in rows}


def forget(numbers: Iterable[int] = (), names: Iterable[str] = ()) -> None:
    """Take the results with these `numbers`, and the baselines of these `names`, out of the index; no folder.

    Raises:
        UsageError, RecordingError: as ``database.opened`` says.
    """
    numbers, names = list(numbers), list(names)
    with opened(history_file()) as connection:

        def remove() -> None:
            with changing(connection):
                connection.executemany("DELETE FROM results WHERE number = ?", [(number,) for number in numbers])
                connection.executemany("DELETE FROM baselines WHERE name = ?", [(name,) for name in names])

        patiently(remove)


def _read(connection: sqlite3.Connection) -> tuple[Indexed, ...]:
    connection.execute("BEGIN")  # the three of one moment
    try:
        names: dict[tuple[str, Any], list[str]] = {}
        for name, result_id, folder in connection.execute("SELECT name, id, folder FROM baselines ORDER BY name"):
            names.setdefault((result_id, folder), []).append(name)
        measured: dict[int, list[Measurement]] = {}
        columns = f"SELECT result, {', '.join(_COLUMNS)} FROM measurements ORDER BY result, place"  # noqa: S608
        for result, *values in connection.execute(columns):
            measured.setdefault(result, []).append(_measurement(dict(zip(_COLUMNS, values, strict=True))))
        rows = connection.execute("SELECT number, id, folder, started_at, partial FROM results ORDER BY number")
        return tuple(
            Indexed(
                number=number,
                id=result_id,
                folder=_read_path(folder),
                started_at=started_at,
                partial=bool(partial),
                measurements=tuple(measured.get(number, ())),
                baselines=tuple(names.get((result_id, folder), ())),
            )
            for number, result_id, folder, started_at, partial in rows
        )
    finally:
        connection.execute("COMMIT")


def _row_of(one: Measurement) -> tuple[object, ...]:
    """The values of the columns of a measurement."""
    facts = [_text(value) if isinstance(value := getattr(one, name), str) else value for name in _OF_MEASUREMENT]
    figures: list[float | None] = []
    for name in STATISTICS:
        found: Statistic = getattr(one, name)
        figures += [found.value, *(found.ci95 or (None, None))]
    return (*facts, json.dumps(dict(one.fingerprint)), int(one.valid), int(one.partial), *figures)


def _measurement(row: Mapping[str, Any]) -> Measurement:
    figures: dict[str, Any] = {}
    for name, columns in _FIGURES.items():
        value, low, high = (row[column] for column in columns)
        figures[name] = Statistic(value, None if low is None or high is None else (low, high))
    return Measurement(
        **{name: row[name] for name in _OF_MEASUREMENT},
        fingerprint=json.loads(row["fingerprint"]),
        valid=bool(row["valid"]),
        partial=bool(row["partial"]),
        **figures,
    )


def _text(value: str) -> str:
    """`value` as UTF-8 has it: names of models and the like are told, not opened."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _stored_path(path: Path) -> str | bytes:
    """The path as text; as bytes where it is no UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return str(path)


def _read_path(stored: str | bytes) -> Path:
    return Path(os.fsdecode(stored))
