"""JMeter's results (a JTL, CSV) as records: the same file format, read by the same ``open_records``.

What a record of JMeter is, where it is less than the native engine's:

- Times are whole milliseconds of the wall clock; the run's origin is the first sample's start.
- `scheduled` is the sample's start, which for its user's first request includes opening the connection; `ready` and
  `sent` are that plus ``Connect``. So the client's queue is the time to connect, and the generator's lag is not
  known: it reads 0.
- `first_byte` is the start plus ``Latency``. A request without a response has none; one whose connection could not be
  opened has no `ready` and no `sent` either.
- A user's first request also waits for what a Java that has just started does for the first time: some 40 ms.
- ``Connect`` includes the TLS handshake, so `tls_us` is 0. `connection` is the user's number.
- A request that was in flight when JMeter was killed has no record.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.engines.jmeter import failures
from servemark.engines.jmeter.plan import WrittenPlan
from servemark.engines.jmeter.steps import STEP_VARIABLE
from servemark.errors import RecordingError
from servemark.records import row_dtype, write_records
from servemark.result import ErrorExample
from servemark.units import NS_PER_MS

_REQUIRED = ("timeStamp", "elapsed", "label", "responseCode", "threadName", "success")
_CHUNK_ROWS = 1 << 16
_LONGEST_FIELD = 1 << 24
#: "group 1: 4 users 1-3": the third user of the first group. A step is known by its group and its name in that; where a
#: scenario has two steps of one name, the plan has JMeter tell the number of the step.
_THREAD = re.compile(r"(\d+)-(\d+)$")
_U32_MOST = 0xFFFF_FFFF


@dataclass(frozen=True)
class JtlRecords:
    """What was read of a JTL and written as records.

    Attributes:
        records: how many.
        records_by_group: how many of each group.
        started_unix_ms: the first sample's start; 0 without records.
        last_scheduled_ns, last_end_ns: from the origin; 0 without records.
        examples: the first failures of each step, by the step's number.
    """

    records: int
    records_by_group: tuple[int, ...]
    started_unix_ms: int
    last_scheduled_ns: int
    last_end_ns: int
    examples: dict[int, tuple[ErrorExample, ...]]


def convert(
    jtl: Path, plan: WrittenPlan, record_path: Path, *, warmup_ns: int, stopped_unix_ms: int | None, kept_bodies: Path
) -> JtlRecords:
    """Write the samples in `jtl` as records to `record_path`.

    `stopped_unix_ms` is when the run was cut short: what was aborted from then on is "cancelled". `kept_bodies` is the
    XML in which JMeter kept the bodies of failed responses; it may be missing.

    A last line that was cut off is left out, and an empty or missing file has no records.

    Raises:
        RecordingError: the JTL cannot be read or is not one of this plan, or the records cannot be written.
    """
    reader = _Reader(plan, stopped_unix_ms)
    try:
        with jtl.open(newline="", encoding="utf-8", errors="replace") as lines:
            chunks = list(reader.chunks(lines))
    except FileNotFoundError:
        chunks = []
    except (OSError, csv.Error, ValueError) as error:
        raise RecordingError(f"cannot read JMeter's results in {jtl}", cause=str(error)) from error
    rows = np.concatenate(chunks) if chunks else np.empty(0, dtype=row_dtype())
    started_unix_ms = int(rows["scheduled"].min()) // NS_PER_MS if len(rows) else 0
    for name in ("scheduled", "ready", "sent", "first_byte", "end", "read"):
        came = rows[name] >= 0
        rows[name][came] -= started_unix_ms * NS_PER_MS
    rows["seq"][np.argsort(rows["scheduled"], kind="stable")] = np.arange(len(rows), dtype=np.uint64)
    rows["flags"][rows["scheduled"] < warmup_ns] |= _loadgen.RECORD_FLAGS["warmup"]
    names = [step.name for step in plan.steps]
    write_records(record_path, [rows], steps=names, started_unix_ns=started_unix_ms * NS_PER_MS, warmup_ns=warmup_ns)
    return JtlRecords(
        records=len(rows),
        records_by_group=tuple(map(int, np.bincount(rows["group"], minlength=len(plan.groups)))),
        started_unix_ms=started_unix_ms,
        last_scheduled_ns=int(rows["scheduled"].max()) if len(rows) else 0,
        last_end_ns=int(rows["end"].max()) if len(rows) else 0,
        examples=failures.examples(reader.first_failures, started_unix_ms, kept_bodies, reader.step_of),
    )


class _Reader:
    """Turns lines into rows, their times still of the wall clock, and keeps the first failure of each kind."""

    def __init__(self, plan: WrittenPlan, stopped_unix_ms: int | None) -> None:
        self.first_failures: dict[tuple[int, str, int], failures.FirstFailure] = {}
        self._stopped_unix_ms = stopped_unix_ms
        self._steps = plan.steps
        self._input_variables = plan.input_variables
        self._numbers: list[dict[str, int]] = []
        self._first_users: list[int] = []
        first_step = first_user = 0
        for group in plan.groups:
            steps = group.scenario.steps
            self._numbers.append({step.name: number for number, step in enumerate(steps, first_step)})
            self._first_users.append(first_user)
            first_step, first_user = first_step + len(steps), first_user + group.closed.users
        self._seen_users: set[int] = set()
        self._threads: dict[str, tuple[int, int]] = {}
        self._kinds = {name: number for number, name in enumerate(_loadgen.ERROR_KINDS)}

    def chunks(self, lines: TextIO) -> Iterator[NDArray[np.void]]:
        """The rows of all whole lines after the header, some at a time."""
        csv.field_size_limit(_LONGEST_FIELD)
        whole = _WholeLines(lines)
        samples = csv.reader(whole)
        header = next(samples, [])
        if not whole.ended:
            return  # Not even the header is whole.
        missing = [name for name in _REQUIRED if name not in header]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        rows: list[tuple[int, ...]] = []
        held: list[str] | None = None  # The last sample counts only if its line is whole.
        for fields in samples:
            if held is not None and len(held) == len(header):
                rows.append(self._row(dict(zip(header, held, strict=True))))
            held = fields
            if len(rows) >= _CHUNK_ROWS:
                yield np.array(rows, dtype=row_dtype())
                rows = []
        if held is not None and len(held) == len(header) and whole.ended:
            rows.append(self._row(dict(zip(header, held, strict=True))))
        if rows:
            yield np.array(rows, dtype=row_dtype())

    def _row(self, sample: Mapping[str, str]) -> tuple[int, ...]:
        """The columns of a record, in the order of the record format."""
        group, user = self._user(sample["threadName"])
        step = self.step_of(sample["threadName"], sample["label"], sample.get(STEP_VARIABLE, ""))
        start_ms, elapsed_ms = int(sample["timeStamp"]), int(sample["elapsed"])
        connect_ms = int(sample.get("Connect") or 0)
        status = int(sample["responseCode"]) if sample["responseCode"].isdigit() else 0
        failure = None if sample["success"] == "true" else self._failure(sample, status, step)
        sent = failure is None or failure.sent
        kind = "ok"
        if failure:
            kind = failure.kind
            first = failures.FirstFailure(start_ms + elapsed_ms, failure.message)
            self.first_failures.setdefault((step, kind, status), first)
        opened = connect_ms > 0 or user not in self._seen_users
        self._seen_users.add(user)
        start, sent_at = start_ms * NS_PER_MS, (start_ms + connect_ms) * NS_PER_MS if sent else -1
        first_byte = (start_ms + int(sample.get("Latency") or 0)) * NS_PER_MS if status else -1
        return (
            0,
            start,
            sent_at,
            sent_at,
            max(first_byte, sent_at) if status else -1,
            start + elapsed_ms * NS_PER_MS,
            min(connect_ms * 1000, _U32_MOST),
            0,
            user,
            user,
            min(int(sample.get("sentBytes") or 0), _U32_MOST) if sent else 0,
            # JMeter counts its own text of an exception as a response.
            min(int(sample.get("bytes") or 0), _U32_MOST) if status else 0,
            self._input(sample, step),
            0,
            status,
            step,
            self._kinds[kind],
            _loadgen.RECORD_FLAGS["opened"] if opened else 0,
            group,
            -1,  # It does not tell events: a stream is a response like any other.
            -1,
            start + elapsed_ms * NS_PER_MS,  # nor when it read what had arrived
        )

    def step_of(self, thread: str, label: str, told: str) -> int:
        """The number of the step that a user performed under a label; `told` is what the plan had JMeter tell of it.

        Raises:
            ValueError: the plan has no such user or step.
        """
        group, _ = self._user(thread)
        number = int(told) if told.isdigit() else self._numbers[group].get(label)
        if number is None or number >= len(self._steps):
            raise ValueError(f"the plan has no step {label!r}")
        return number

    def _failure(self, sample: Mapping[str, str], status: int, step: int) -> failures.Failure:
        return failures.failure_of(sample, status, self._steps[step].expect_status, self._stopped_unix_ms)

    def _user(self, thread: str) -> tuple[int, int]:
        known = self._threads.get(thread)
        if known:
            return known
        match = _THREAD.search(thread)
        group = int(match[1]) - 1 if match else -1
        if not match or not 0 <= group < len(self._numbers):
            raise ValueError(f"the plan has no user {thread!r}")
        self._threads[thread] = (group, self._first_users[group] + int(match[2]) - 1)
        return self._threads[thread]

    def _input(self, sample: Mapping[str, str], step: int) -> int:
        value = sample.get(self._input_variables.get(step, ""), "")
        return int(value) if value.isdigit() else 0


class _WholeLines:
    """The lines of a file; afterwards `ended` tells whether the last one was whole."""

    def __init__(self, lines: TextIO) -> None:
        self.ended = False
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.ended = line.endswith("\n")
            yield line.replace("\0", "")
