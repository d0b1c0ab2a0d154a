"""Records: what happened to each request of a run, as columns; and the events of streamed responses, likewise.

A record file is a header (magic, sizes, then JSON with its own column table) followed by fixed-width rows, appended
while the run goes on. A file cut short by a crash is readable up to its last whole row. Times are nanoseconds from
the run's origin on one monotonic clock; -1 means that it never happened. Files of version 1 lack the columns
`first_event` and `last_event`; theirs has no streams. Those before version 3 lack `read`: their `end` is when the
generator had read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.errors import RecordingError
from servemark.record_header import COPY_WHOLE, EVENTS_MAGIC, MAGIC, VERSION, packed, read_header, with_size
from servemark.units import NS_PER_MS, ns_from_s

_CHUNK_ROWS = 1 << 17

Rows = NDArray[np.void]


@dataclass(frozen=True)
class RecordFile:
    """An open record file; reading it costs memory only for what is asked for.

    ``len(file)`` is how many records it holds, ``file.columns`` names their columns, and ``file["end"]`` is one of
    them. ``file.measured()`` holds the records that the reported latencies are of, and ``file.latency_ms()`` these.

    Attributes:
        path: the file.
        rows: how many whole records it holds.
        dtype: the numpy dtype of a row, as the file's own header gives it.
        step_names: the name of each value of the `step` column.
        error_kinds: the name of each value of the `kind` column; 0 is "ok".
        flags: the bits of the `flags` column by name.
        started_unix_ns: wall-clock time of the origin.
        warmup_ns: records scheduled before it are the warm-up.
    """

    path: Path
    rows: int
    dtype: np.dtype[np.void]
    header_bytes: int
    step_names: tuple[str, ...]
    error_kinds: tuple[str, ...]
    flags: dict[str, int]
    started_unix_ns: int
    warmup_ns: int

    def __len__(self) -> int:
        return self.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.dtype.names or ()

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize

    @property
    def offsets(self) -> dict[str, int]:
        """The offset in a row at which each column begins."""
        return {name: field[1] for name, field in (self.dtype.fields or {}).items()}

    def __getitem__(self, column: str) -> NDArray[Any]:
        """One column of all records.

        Raises:
            KeyError: there is none of that name.
        """
        if column not in self.columns:
            raise KeyError(f"no column {column!r}; there are {', '.join(self.columns)}")
        values: NDArray[Any] = self.memmap()[column]
        return values

    def measured(self, step: str | None = None) -> Rows:
        """The records that the latencies of a result are of: successes that were scheduled after the warm-up.

        Those of the step of that name, or of all steps. A copy, in the order in which they were written.

        Raises:
            KeyError: there is no such step.
        """
        wanted = self._steps_named(step)
        kept = [chunk[self.is_measured(chunk) & np.isin(chunk["step"], wanted)] for chunk in self.chunks()]
        return np.concatenate([np.empty(0, dtype=self.dtype), *kept])

    def is_measured(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether each of some of its `rows` is a success that was scheduled after the warm-up."""
        measured: NDArray[np.bool_] = (rows["kind"] == 0) & (rows["scheduled"] >= self.warmup_ns)
        return measured

    def latency_ms(self, step: str | None = None) -> NDArray[np.float64]:
        """The latency that answers for each of the records ``measured(step)``, in milliseconds.

        Of a closed loop from the first byte sent, of an open one from when it was due, to the last byte of the answer.
        Its percentiles by nearest rank are the reported ones: ``np.percentile(..., 99, method="inverted_cdf")``.

        Raises:
            KeyError: there is no such step.
        """
        rows = self.measured(step)
        latency_ms: NDArray[np.float64] = (rows["end"] - begun_ns(rows, self.flags)) / NS_PER_MS
        return latency_ms

    def _steps_named(self, step: str | None) -> list[int]:
        numbers = [number for number, name in enumerate(self.step_names) if step in (None, name)]
        if not numbers:
            raise KeyError(f"no step {step!r}; there are {', '.join(dict.fromkeys(self.step_names))}")
        return numbers

    def chunks(self) -> Iterator[Rows]:
        """The rows in the order in which they were written, some 100,000 at a time, as structured arrays."""
        with self.path.open("rb") as file:
            file.seek(self.header_bytes)
            left = self.rows
            while left > 0:
                chunk = np.fromfile(file, dtype=self.dtype, count=min(left, _CHUNK_ROWS))
                if not len(chunk):
                    raise RecordingError(f"{self.path} became shorter while it was read")
                left -= len(chunk)
                yield chunk

    def span_ns(self) -> tuple[int, int]:
        """The first `scheduled` and the last `end`; (0, 0) without records.

        Raises:
            RecordingError: they cannot be read.
        """
        return span_ns([self])

    def memmap(self) -> Rows:
        """All rows as one structured array over the mapped file."""
        if not self.rows:
            return np.empty(0, dtype=self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.header_bytes, shape=(self.rows,))


def open_records(path: Path | str) -> RecordFile:
    """Read the header of the record file at `path`.

    Raises:
        RecordingError: it is missing, or is not a record file of a version that this one reads.
    """
    path = Path(path)
    header, dtype, rows = _open_table(path, MAGIC, "a record file")
    return RecordFile(
        path=path,
        rows=rows,
        dtype=dtype,
        header_bytes=header["header_bytes"],
        step_names=tuple(header["steps"]),
        error_kinds=tuple(header["error_kinds"]),
        flags=dict(header["flags"]),
        started_unix_ns=header["started_unix_ns"],
        warmup_ns=header["warmup_ns"],
    )


def mark_warm_up(file: RecordFile, warmup_s: float) -> None:
    """Have the header of `file` say that what was scheduled before `warmup_s` is the warm-up, where it says otherwise.

    The flag of the rows stays: it marks the warm-up that was asked for.

    Raises:
        RecordingError: it cannot be written.
    """
    warmup_ns = ns_from_s(warmup_s)
    if warmup_ns == file.warmup_ns:
        return
    try:
        with file.path.open("r+b") as opened:
            header = read_header(opened, file.path, MAGIC, "a record file")
            written = packed({**header, "warmup_ns": warmup_ns})
            if len(written) > file.header_bytes:
                raise RecordingError(f"the header of {file.path} has no room left")
            opened.seek(0)
            opened.write(written)
    except OSError as error:
        raise RecordingError.unwritable(file.path, error.strerror or str(error)) from error


def open_events(path: Path | str) -> Rows:
    """The events recorded at `path`, one row each, as a structured array over the mapped file.

    Columns: `seq` of the request's record, `time` in nanoseconds from the origin, and `index`, the event's number in
    its response, from 0. Those of one request stand in order; requests that streamed at the same time are interleaved.

    Raises:
        RecordingError: it is missing, or is not an event file of a version that this one reads.
    """
    path = Path(path)
    header, dtype, rows = _open_table(path, EVENTS_MAGIC, "an event file")
    if not rows:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=header["header_bytes"], shape=(rows,))


@contextmanager
def reading(files: Sequence[RecordFile]) -> Iterator[None]:
    """Have what a pass over `files` fails of be said as of any other reading.

    Raises:
        RecordingError: they cannot be read.
    """
    try:
        yield
    except OSError as error:
        paths = ", ".join(str(file.path) for file in files)
        raise _unreadable(paths, error) from error


def span_ns(files: Sequence[RecordFile]) -> tuple[int, int]:
    """The first `scheduled` and the last `end` of all records in `files`; (0, 0) without any.

    Raises:
        RecordingError: they cannot be read.
    """
    with reading(files):
        return _loadgen.span(list(files))


def rows_of(files: Sequence[RecordFile]) -> Rows:
    """All rows of `files`, which are of one run, as one array; of a single file the mapped one."""
    rows = [file.memmap() for file in files]
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def begun_ns(rows: NDArray[np.void], flags: Mapping[str, int]) -> NDArray[np.int64]:
    """From when the headline of each record counts: in a closed loop `sent`, in an open one `scheduled`.

    `flags` has the bits of the `flags` column by name.
    """
    closed = (rows["flags"] & flags.get("closed_loop", 0) != 0) & (rows["sent"] >= 0)
    begun: NDArray[np.int64] = np.where(closed, rows["sent"], rows["scheduled"])
    return begun


def tokens_of(rows: Rows) -> NDArray[np.int64]:
    """The tokens of each of `rows`, which have the columns of answers: the server's, else the tokenizer's, else -1."""
    tokens: NDArray[np.int64] = np.where(
        rows["usage_tokens"] >= 0, rows["usage_tokens"], rows["counted_tokens"]
    ).astype(np.int64)
    return tokens


def until_ns(rows: Rows, column: str, flags: Mapping[str, int]) -> NDArray[np.int64]:
    """From where the headline of each of `rows` counts to its time in `column`; -1 where there is none.

    `flags` has the bits of the `flags` column by name.
    """
    found: NDArray[np.int64] = np.where(rows[column] >= 0, rows[column] - begun_ns(rows, flags), -1)
    return found


def time_per_token_ns(rows: Rows) -> NDArray[np.int64]:
    """The time per output token of each of `rows`, which have the columns of answers; -1 where there is none.

    See ``AnswerRow::time_per_token_ns`` in servemark-records, which the statistics are made of.
    """
    tokens = tokens_of(rows)
    later = tokens - np.maximum(rows["first_tokens"], 1)
    has_several = (tokens >= 0) & (later > 0) & (rows["contents"] > 1) & (rows["first_content"] >= 0)
    later = np.where(has_several, later, 1)
    found: NDArray[np.int64] = np.where(
        has_several, (rows["last_content"] - rows["first_content"] + later // 2) // later, -1
    )
    return found


def row_dtype() -> np.dtype[np.void]:
    """The numpy dtype of a row as the native engine writes it; files tell their own."""
    names, formats, offsets = zip(*_loadgen.RECORD_COLUMNS, strict=True)
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": _loadgen.RECORD_ROW_BYTES}
    return np.dtype(layout)  # type: ignore[call-overload,no-any-return]


def write_records(
    path: Path, chunks: Iterable[Rows], *, steps: Sequence[str], started_unix_ns: int, warmup_ns: int
) -> None:
    """Write a record file of rows of ``row_dtype()``, for what does not come from the native engine.

    Raises:
        RecordingError: it cannot be written.
    """
    header = {
        "version": VERSION,
        "row_bytes": _loadgen.RECORD_ROW_BYTES,
        "columns": [{"name": name, "dtype": dtype, "offset": at} for name, dtype, at in _loadgen.RECORD_COLUMNS],
        "error_kinds": list(_loadgen.ERROR_KINDS),
        "flags": _loadgen.RECORD_FLAGS,
        "steps": list(steps),
        "started_unix_ns": started_unix_ns,
        "warmup_ns": warmup_ns,
    }
    try:
        with path.open("wb") as file:
            file.write(packed(with_size(header)))
            for rows in chunks:
                rows.tofile(file)
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


def date_records(path: Path, started_unix_ns: int) -> None:
    """Have the records at `path` begin at that time of the wall clock; there is room for it in their header.

    Raises:
        RecordingError: they cannot be read, or not be written.
    """
    try:
        with path.open("r+b") as file:
            header = read_header(file, path, MAGIC, "a record file")
            file.seek(0)
            file.write(packed({**header, "started_unix_ns": started_unix_ns}))
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


def _unreadable(paths: str, error: OSError) -> RecordingError:
    return RecordingError(
        f"cannot read the records in {paths}", cause=error.strerror or str(error), next_step=COPY_WHOLE
    )


def _open_table(path: Path, magic: bytes, what: str) -> tuple[dict[str, Any], np.dtype[np.void], int]:
    """The header of a file that begins with `magic`, the dtype of its rows, and how many whole ones there are."""
    try:
        with path.open("rb") as file:
            header = read_header(file, path, magic, what)
        size = path.stat().st_size
    except OSError as error:
        raise _unreadable(str(path), error) from error
    dtype = np.dtype(
        {
            "names": [column["name"] for column in header["columns"]],
            "formats": [column["dtype"] for column in header["columns"]],
            "offsets": [column["offset"] for column in header["columns"]],
            "itemsize": header["row_bytes"],
        }
    )
    return header, dtype, max(size - header["header_bytes"], 0) // header["row_bytes"]
