"""All requests as a Parquet file: one row a request, those of all runs and generators in one file.

Columns are those of the records, with their units: times in nanoseconds from the origin of the run, and nothing (null)
for what never happened. What the records have as numbers of names are names here. Besides: `run` and `generator` (from
1), when the request was scheduled by the wall clock, its `latency_ns`, which answers for it, and whether it was of the
warm-up. Of an answer that was read for its tokens: what its record has of it, `tokens` by who counted them, the time
from which the latency counts to its first event with content (`first_token_ns`), and the time per output token; else
nothing. Rows are read and written some 100,000 at a time, a row group each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from servemark import _loadgen
from servemark.records import RecordFile, Rows, begun_ns, time_per_token_ns, tokens_of, until_ns
from servemark.report.recorded import RecordedResult

_TIMES = ("scheduled", "ready", "sent", "first_byte", "end", "read", "first_event", "last_event")
_NAME = pa.dictionary(pa.int32(), pa.string())
_NUMBERS = {
    "seq": pa.uint64(),
    "group": pa.uint16(),
    "user": pa.uint32(),
    "connection": pa.uint32(),
    "input": pa.uint32(),
    "status": pa.uint16(),
    "connect_us": pa.uint32(),
    "tls_us": pa.uint32(),
    "bytes_sent": pa.uint32(),
    "bytes_received": pa.uint32(),
    "events": pa.uint32(),
    "flags": pa.uint8(),
}
#: Of answers that were read: times from the origin, durations, and numbers that may lack, besides what is made of them.
_ANSWER_TIMES = ("first_content", "first_said", "last_content")
_ANSWER_NUMBERS = {
    "contents": pa.uint32(),
    "reasoning": pa.uint32(),
    "usage_tokens": pa.int32(),
    "counted_tokens": pa.int32(),
    "first_tokens": pa.int32(),
    "prompt_tokens": pa.int32(),
    "asked_tokens": pa.int32(),
    "text_bytes": pa.uint32(),
    "answer_flags": pa.uint8(),
}
_OF_ANSWERS = {
    "tokens": pa.int32(),
    "first_token_ns": pa.int64(),
    "time_per_output_token_ns": pa.int64(),
    "longest_gap_ns": pa.int64(),
    "finish": pa.dictionary(pa.int32(), pa.string()),
    **{f"{name}_ns": pa.int64() for name in _ANSWER_TIMES},
    **_ANSWER_NUMBERS,
}
#: What is written as names, and what as differences from one row to the next: most of it grows with each row.
_NAMES = ("run", "step", "kind", "finish")
_NEAR = ("seq", "scheduled_at", "latency_ns", *(f"{name}_ns" for name in _TIMES))
_NO_CONNECTION = 0xFFFF_FFFF
_SCHEMA = pa.schema(
    [
        ("run", _NAME),
        ("generator", pa.int32()),
        ("step", _NAME),
        ("kind", _NAME),
        ("warm_up", pa.bool_()),
        ("scheduled_at", pa.timestamp("ns", tz="UTC")),
        ("latency_ns", pa.int64()),
        *((f"{name}_ns", pa.int64()) for name in _TIMES),
        *_NUMBERS.items(),
        *_OF_ANSWERS.items(),
    ]
)


def report(path: Path, recorded: RecordedResult) -> None:
    """Write the requests of the result to `path`.

    Raises:
        RecordingError: its records cannot be read.
    """
    result = recorded.result
    about = {
        "id": result.id,
        "started_at": result.started_at,
        "command": result.command,
        "version": result.tool.version,
    }
    schema = _SCHEMA.with_metadata({"servemark": json.dumps(about)})
    encoding = {"use_dictionary": list(_NAMES), "column_encoding": dict.fromkeys(_NEAR, "DELTA_BINARY_PACKED")}
    with pq.ParquetWriter(path, schema, compression="zstd", **encoding) as writer:
        for table in _tables(recorded):
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def _tables(recorded: RecordedResult) -> Iterator[pa.Table]:
    names = [run.run.name for run in recorded.runs]
    for number, run in enumerate(recorded.runs):
        for generator, file in enumerate(run.files, 1):
            for rows in file.chunks():
                same = np.full(len(rows), number, dtype=np.int32)
                columns = {
                    "run": _named(same, names),
                    "generator": pa.array(np.full(len(rows), generator, dtype=np.int32)),
                    **_columns(file, rows),
                }
                yield pa.Table.from_pydict(columns, schema=_SCHEMA)


def _columns(file: RecordFile, rows: Rows) -> dict[str, Any]:
    known = set(file.columns)
    latency = rows["end"] - begun_ns(rows, file.flags)
    return {
        "step": _named(rows["step"], file.step_names),
        "kind": _named(rows["kind"], file.error_kinds),
        "warm_up": pa.array(rows["scheduled"] < file.warmup_ns),
        "scheduled_at": pa.array(file.started_unix_ns + rows["scheduled"]).cast(pa.timestamp("ns", tz="UTC")),
        "latency_ns": pa.array(latency, mask=rows["end"] < 0),
        **{f"{name}_ns": _time(rows[name]) if name in known else pa.nulls(len(rows), pa.int64()) for name in _TIMES},
        **{name: pa.array(np.ascontiguousarray(rows[name]), mask=_is_missing(name, rows)) for name in _NUMBERS},
        **_of_answers(file, rows),
    }


def _of_answers(file: RecordFile, rows: Rows) -> dict[str, Any]:
    """What the answers said; nothing (null) of those that were not read."""
    known = set(file.columns)
    if "first_content" not in known:
        return {name: pa.nulls(len(rows), kind) for name, kind in _OF_ANSWERS.items()}
    unread = rows["answer_flags"] == 0
    tokens = tokens_of(rows)
    there = {name: rows[name] if name in known else np.full(len(rows), -1, np.int32) for name in _ANSWER_NUMBERS}
    finish = pa.array(rows["finish"].astype(np.int32), mask=unread)
    return {
        "tokens": pa.array(tokens.astype(np.int32), mask=unread | (tokens < 0)),
        "first_token_ns": _time(until_ns(rows, "first_content", file.flags)),
        "time_per_output_token_ns": _time(time_per_token_ns(rows)),
        "longest_gap_ns": _time(rows["longest_gap"]),
        "finish": pa.DictionaryArray.from_arrays(finish, pa.array(_loadgen.FINISH_NAMES)),
        **{f"{name}_ns": _time(rows[name]) for name in _ANSWER_TIMES},
        **{name: pa.array(np.ascontiguousarray(values), mask=unread | (values < 0)) for name, values in there.items()},
    }


def _is_missing(name: str, rows: Rows) -> Any:
    return rows[name] == _NO_CONNECTION if name == "connection" else None


def _time(values_ns: Any) -> pa.Array:
    return pa.array(np.ascontiguousarray(values_ns), mask=values_ns < 0)


def _named(numbers: Any, names: Any) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(list(names)))
