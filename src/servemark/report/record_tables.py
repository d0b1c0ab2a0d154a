"""The records of a result as tables for people: an array of numpy, or a frame of pandas, with names in place of codes.

Of every run, or of one; of every step, or of one. They are copies, which take memory for each record: some ten million
are better looked at through :func:`servemark.open_records`, which maps its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from servemark.errors import RecordingError, SetupError, UsageError
from servemark.options.kinds import nearest
from servemark.records import (
    RecordFile,
    begun_ns,
    reading,
    row_dtype,
    time_per_token_ns,
    tokens_of,
    until_ns,
)
from servemark.report.recorded import opened_records
from servemark.result import Result, RunResult, error_name

if TYPE_CHECKING:
    import pandas as pd

#: What never happened.
NEVER_NS = -1
#: Times that not every request has; an older file may lack their column.
_OPTIONAL_TIMES = ("ready", "sent", "first_byte", "end", "read", "first_event", "last_event")
#: Of answers that were read, in files that have their columns; -1 of those that were not, or did not say it.
_OF_ANSWERS = ("tokens", "prompt_tokens", "first_token_ns", "time_per_output_token_ns")
#: Columns of a file that stand here under another name, with names in them, or are told in others.
_TOLD_OTHERWISE = ("step", "kind", "flags")


@dataclass(frozen=True)
class Names:
    """A column of names: of each row the place of its own in `names`."""

    codes: NDArray[np.int64]
    names: tuple[str, ...]

    def spelled(self) -> NDArray[np.str_]:
        """The name of each row."""
        return np.array(self.names or ("",), dtype=np.str_)[self.codes]


@dataclass(frozen=True)
class RecordTable:
    """Records by column: those of names, and those of numbers, in the order in which they are shown."""

    named: dict[str, Names]
    numbers: dict[str, NDArray[Any]]


def record_array(table: RecordTable) -> NDArray[np.void]:
    """`table` as a structured array; a name is as wide as the longest of its column."""
    columns: dict[str, NDArray[Any]] = {name: column.spelled() for name, column in table.named.items()}
    columns |= table.numbers
    rows = np.empty(len(table.numbers["seq"]), dtype=[(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows


def record_frame(table: RecordTable) -> pd.DataFrame:
    """`table` as a frame of pandas: names are categories, and a time of what never happened is missing.

    Raises:
        SetupError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise SetupError(
            "to_pandas() needs pandas",
            cause=str(error),
            next_step="pip install pandas, or take records(), which needs nothing more",
        ) from error
    columns: dict[str, Any] = {
        name: pd.Categorical.from_codes(column.codes, list(column.names)) for name, column in table.named.items()
    }
    for name, values in table.numbers.items():
        may_lack = name in {*_OPTIONAL_TIMES, *_OF_ANSWERS, "latency_ns"}
        columns[name] = pd.arrays.IntegerArray(values, values == NEVER_NS) if may_lack else values
    return pd.DataFrame(columns)


def record_table(result: Result, folder: Path, run: RunResult | str | None, step: str | None) -> RecordTable:
    """The records of `result`, which is in `folder`: those of one `run`, or of all, and of one `step`, or of all.

    Raises:
        UsageError: there is no such run or step.
        RecordingError: the folder, or its records, are gone, condensed, cut short, or cannot be read.
    """
    chosen = _runs_named(result, run)
    check_folder(result, folder)
    parts = [
        part for place, one in chosen for file in opened_records(one, folder) for part in _parts(file, place, step)
    ]
    _check_step(step, chosen, parts)
    names = tuple(one.name for one in _all_runs(result))
    return _joined(parts, names)


def check_folder(result: Result, folder: Path) -> None:
    """Refuse a `folder` that has not the records of `result` any more.

    Raises:
        RecordingError: it is gone, cannot be read, or holds another result.
    """
    path = folder / "result.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("id")
    except (OSError, ValueError, AttributeError) as error:
        gone = f"the folder of this result is gone: {folder}" if not folder.is_dir() else f"cannot read {path}"
        cause = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        step = "if it was moved, servemark.Result.load(FOLDER) finds it where it is now"
        raise RecordingError(gone, cause="" if not folder.is_dir() else cause, next_step=step) from error
    if found != result.id:
        raise RecordingError(
            f"{folder} holds another result now", cause=f"{found}, and not {result.id}", next_step="load that one"
        )


def _all_runs(result: Result) -> list[RunResult]:
    return [run for benchmark in result.benchmarks for run in benchmark.runs]


def _runs_named(result: Result, wanted: RunResult | str | None) -> list[tuple[int, RunResult]]:
    """The runs that are meant, each behind its place among all."""
    runs = list(enumerate(_all_runs(result)))
    if wanted is None:
        return runs
    name = wanted if isinstance(wanted, str) else wanted.name
    found = [(place, run) for place, run in runs if run.name == name]
    if not found:
        step = nearest(name, [run.name for _, run in runs]) if runs else "nothing was measured"
        raise UsageError(f"there is no run {name!r}", next_step=step)
    return found


def _check_step(step: str | None, chosen: Sequence[tuple[int, RunResult]], parts: Sequence[_Part]) -> None:
    known = list(dict.fromkeys(name for part in parts for name in part.file.step_names))
    if step is not None and chosen and step not in known:
        raise UsageError(f"there is no step {step!r}", next_step=nearest(step, known))


@dataclass(frozen=True)
class _Part:
    """What is taken of a file: the rows of the wanted step."""

    file: RecordFile
    run: int
    rows: NDArray[np.void]


def _parts(file: RecordFile, run: int, step: str | None) -> Iterator[_Part]:
    with reading([file]):
        rows = file.memmap()
        if step is not None:
            rows = rows[np.isin(rows["step"], [n for n, name in enumerate(file.step_names) if name == step])]
    yield _Part(file, run, rows)


def _joined(parts: Sequence[_Part], run_names: tuple[str, ...]) -> RecordTable:
    """The columns of all `parts`, one below the other."""
    runs = [np.full(len(part.rows), part.run, dtype=np.int64) for part in parts]
    steps = [(part.file.step_names, part.rows["step"].astype(np.int64)) for part in parts]
    errors = [_errors_of(part) for part in parts]
    named = {
        "run": _names([(run_names, codes) for codes in runs]),
        "step": _names(steps),
        "error": _names(errors),
    }
    numbers = {
        name: _below([_column(part, name, dtype) for part in parts], dtype) for name, dtype in _columns().items()
    }
    numbers["latency_ns"] = _below([_latency_ns(part) for part in parts], np.dtype(np.int64))
    if any(_has_answers(part) for part in parts):
        answers = [_of_answers(part) for part in parts]
        numbers |= {name: _below([of[name] for of in answers], np.dtype(np.int64)) for name in _OF_ANSWERS}
    numbers["warm_up"] = _below([part.rows["scheduled"] < part.file.warmup_ns for part in parts], np.dtype(np.bool_))
    numbers["measured"] = _below([part.file.is_measured(part.rows) for part in parts], np.dtype(np.bool_))
    return RecordTable(named, numbers)


def _columns() -> dict[str, np.dtype[Any]]:
    """The columns of numbers that stand here as in a file."""
    dtype = row_dtype()
    return {name: dtype[name] for name in dtype.names or () if name not in _TOLD_OTHERWISE}


def _column(part: _Part, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    if name in (part.rows.dtype.names or ()):
        return part.rows[name]
    return np.full(len(part.rows), NEVER_NS if name in _OPTIONAL_TIMES else 0, dtype=dtype)


def _latency_ns(part: _Part) -> NDArray[np.int64]:
    """The latency that answers for each record, of failures too; -1 of what was never sent, or never ended."""
    begun, end = begun_ns(part.rows, part.file.flags), part.rows["end"]
    return np.where((end >= 0) & (begun >= 0), end - begun, NEVER_NS)


def _has_answers(part: _Part) -> bool:
    return "first_content" in (part.rows.dtype.names or ())


def _of_answers(part: _Part) -> dict[str, NDArray[np.int64]]:
    """What the answers said of their tokens, and when."""
    if not _has_answers(part):
        return dict.fromkeys(_OF_ANSWERS, np.full(len(part.rows), NEVER_NS, dtype=np.int64))
    rows, unread = part.rows, part.rows["answer_flags"] == 0
    return {
        "tokens": np.where(unread, NEVER_NS, tokens_of(rows)),
        "prompt_tokens": np.where(unread, NEVER_NS, rows["prompt_tokens"]),
        "first_token_ns": until_ns(rows, "first_content", part.file.flags),
        "time_per_output_token_ns": time_per_token_ns(rows),
    }


def _errors_of(part: _Part) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of a part's errors, as its result has them, and of each row the place of its own among them."""
    kinds, statuses = part.rows["kind"].astype(np.int64), part.rows["status"].astype(np.int64)
    pairs, codes = np.unique(np.where(kinds == 0, 0, (kinds << 16) | statuses), return_inverse=True)
    return tuple(error_name(part.file.error_kinds[pair >> 16], pair & 0xFFFF) for pair in pairs.tolist()), codes


def _names(columns: Sequence[tuple[Sequence[str], NDArray[np.int64]]]) -> Names:
    """One column of several, each with names of its own; only those that there are, in the order of the first file."""
    places: dict[str, int] = {}
    codes = []
    for names, own in columns:
        there = [] if not len(own) else np.unique(own).tolist()
        among = np.zeros(len(names) or 1, dtype=np.int64)
        for code in there:
            among[code] = places.setdefault(names[code], len(places))
        codes.append(among[own])
    return Names(_below(codes, np.dtype(np.int64)), tuple(places))


def _below(parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype, copy=False)
