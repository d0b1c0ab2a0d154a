"""The last seconds of a run that is under way: its rate, its latencies and what failed, for whoever looks on.

They are made of the engine's counts, and of the newest records in the file that it is writing. Standard library only:
to load what computes takes more of a CPU than all that is done here in a run of ten seconds.
"""

from __future__ import annotations

import math
import os
import struct
import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from servemark.engines import ProgressReport
from servemark.errors import RecordingError
from servemark.record_header import MAGIC, read_header
from servemark.result import error_name
from servemark.units import NS_PER_MS, NS_PER_S

#: What rates and latencies are of, and how far back the rates of single seconds go.
WINDOW_S, _HISTORY_S = 10, 120
#: The newest records of a look that are read, and how many of these have their latency looked at.
_MOST_ROWS, _MOST_LATENCIES = 1 << 16, 400
#: Of how many generators the records are looked at.
_MOST_FILES = 4
#: A percentile of fewer responses than this tells nothing.
_LEAST_BEYOND = 1
_FORMATS = {"<i8": "q", "<u2": "H", "u1": "B"}
_READ = ("scheduled", "sent", "end", "step", "kind", "flags")


@dataclass(frozen=True)
class Recent:
    """How a run went lately.

    Attributes:
        rates_per_s: successes of each of the last seconds, in order.
        achieved_per_s: successes of the last ``WINDOW_S`` seconds, and `offered_per_s` what was scheduled in them; None
            before there are two counts.
        p50_ms: of a sample of the headline's latencies of that time, and `p99_ms`; None of too few.
        errors: failures by kind, of all records that were read since the run began.
    """

    rates_per_s: tuple[float, ...] = ()
    achieved_per_s: float | None = None
    offered_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)


class Lately:
    """Remembers of a run what ``Recent`` needs; `records` are written meanwhile, `step` is the headline's.

    Of the files of many generators only some are read: a sample, again.
    """

    def __init__(self, records: Sequence[Path], step: str) -> None:
        self._tails = [RecordTail(path, step) for path in records[:_MOST_FILES]]
        self._counts: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)], maxlen=_HISTORY_S + 1)
        self.recent = Recent()

    def look(self, counts: ProgressReport) -> None:
        """Look at the run again, if a second has passed since the last look."""
        now = counts.elapsed_ns / NS_PER_S, counts.succeeded, counts.scheduled
        if now[0] < self._counts[-1][0] + 1:
            return
        self._counts.append(now)
        steps = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(self._counts)]
        then = next(one for one in self._counts if one[0] >= now[0] - WINDOW_S - 1)
        errors: Counter[str] = Counter()
        for tail in self._tails:
            # A file that cannot be read, or not yet, is for the end of the run to tell.
            with suppress(OSError, RecordingError, ValueError):
                tail.look()
            errors.update(tail.errors)
        latencies_ns = sorted(chain.from_iterable(tail.latencies_ns for tail in self._tails))
        self.recent = Recent(
            rates_per_s=tuple(succeeded / seconds for seconds, succeeded in steps),
            achieved_per_s=(now[1] - then[1]) / (now[0] - then[0]) if now[0] > then[0] else None,
            offered_per_s=(now[2] - then[2]) / (now[0] - then[0]) if now[0] > then[0] else None,
            p50_ms=percentile_of(latencies_ns, 0.5),
            p99_ms=percentile_of(latencies_ns, 0.99),
            errors=dict(errors),
        )


class RecordTail:
    """What the newest records of a file say, of which each look reads what came since the last one.

    `errors` counts failures by kind. Of a look at very many records only the newest are read. A file that another has
    replaced, as when the answers of a run were read for their tokens, has nothing new any more.
    """

    def __init__(self, path: Path, step: str) -> None:
        self.errors: Counter[str] = Counter()
        self._path = path
        self._step = step
        self._layout: _Layout | None = None
        self._inode = 0
        self._read_bytes = 0
        self._latencies_ns: deque[list[int]] = deque(maxlen=WINDOW_S)

    def look(self) -> None:
        """Read what is new.

        Raises:
            OSError: the file cannot be read.
            RecordingError: it is no record file.
            ValueError: it is one whose header is not whole.
        """
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            if self._layout is None:
                self._inode = found.st_ino
                self._layout = _Layout.of(read_header(file, self._path, MAGIC, "a record file"), self._step)
                self._read_bytes = self._layout.header_bytes
            if found.st_ino != self._inode:
                return
            row_bytes = self._layout.row_bytes
            new = max(0, found.st_size - self._read_bytes) // row_bytes
            read = min(new, _MOST_ROWS)
            file.seek(self._read_bytes + (new - read) * row_bytes)
            rows = file.read(read * row_bytes)
        self._read_bytes += new * row_bytes
        self._latencies_ns.append(list(self._layout.latencies_ns(rows)))
        self.errors.update(self._layout.errors(rows))

    @property
    def latencies_ns(self) -> Iterable[int]:
        """The latencies of the last looks."""
        return chain.from_iterable(self._latencies_ns)


def percentile_of(latencies_ns: Sequence[int], q: float) -> float | None:
    """The percentile `q`, by nearest rank, of latencies in rising order; None of too few."""
    if len(latencies_ns) * (1 - q) < _LEAST_BEYOND:
        return None
    return latencies_ns[math.ceil(q * len(latencies_ns)) - 1] / NS_PER_MS


@dataclass(frozen=True)
class _Layout:
    """The places in a row of what is read."""

    header_bytes: int
    row_bytes: int
    offsets: Mapping[str, int]
    row: struct.Struct
    steps: frozenset[int]
    error_kinds: tuple[str, ...]
    closed_loop: int

    @classmethod
    def of(cls, header: Mapping[str, Any], step: str) -> _Layout:
        columns = {one["name"]: one for one in header["columns"]}
        form, at = "<", 0
        for name in _READ:
            letter = _FORMATS[columns[name]["dtype"]]
            form += f"{columns[name]['offset'] - at}x{letter}"
            at = columns[name]["offset"] + struct.calcsize(letter)
        return cls(
            header_bytes=header["header_bytes"],
            row_bytes=header["row_bytes"],
            offsets={name: column["offset"] for name, column in columns.items()},
            row=struct.Struct(f"{form}{header['row_bytes'] - at}x"),
            steps=frozenset(number for number, name in enumerate(header["steps"]) if name == step),
            error_kinds=tuple(header["error_kinds"]),
            closed_loop=header["flags"]["closed_loop"],
        )

    def latencies_ns(self, rows: bytes) -> Iterable[int]:
        """The headline's latencies of successes among `rows`, of at most some hundred rows at equal distances."""
        apart = -(-len(rows) // self.row_bytes // _MOST_LATENCIES) * self.row_bytes
        picked = b"".join(rows[at : at + self.row_bytes] for at in range(0, len(rows), max(apart, self.row_bytes)))
        for scheduled, sent, end, step, kind, flags in self.row.iter_unpack(picked):
            if kind == 0 and step in self.steps:
                yield end - (sent if flags & self.closed_loop and sent >= 0 else scheduled)

    def errors(self, rows: bytes) -> Mapping[str, int]:
        """How many of `rows` failed, by kind."""
        kinds = self._bytes_at(rows, self.offsets["kind"])
        if kinds.count(0) == len(kinds):
            return {}
        # Kind and status of each row side by side, so that all are counted without a step of Python's for each.
        beside = bytearray(4 * len(kinds))
        for place, column in enumerate(
            (kinds, *(self._bytes_at(rows, self.offsets["status"] + one) for one in (0, 1)))
        ):
            beside[place::4] = column
        found: Counter[str] = Counter()
        for word, count in Counter(memoryview(beside).cast("I")).items():
            kind, low, high, _ = word.to_bytes(4, sys.byteorder)
            if kind:
                found[error_name(self.error_kinds[kind], low + 256 * high)] += count
        return found

    def _bytes_at(self, rows: bytes, offset: int) -> bytes:
        """The byte at `offset` of each row."""
        return rows[offset :: self.row_bytes]
