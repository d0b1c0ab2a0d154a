"""``requests.jtl``: records as JMeter's CSV results, to be opened in JMeter or with pandas.

``timeStamp`` is when the request was scheduled and ``elapsed`` the response time, of a closed loop when it was sent and
the service time, both in whole milliseconds as JMeter has them; ``Latency`` is the time to the first byte, ``Connect``
the time to open the connection. Benchmarks, points and trials have labels of their own, and so have requests of the
warm-up, so that JMeter's statistics of a label are of what was measured. A thread is a user of a closed loop, and a
connection of an open one, from 1; a request that never got one has number 0.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TextIO

from servemark.record_header import WARM_UP
from servemark.report.labels import Labels, labels_of_all
from servemark.report.recorded import RecordedResult
from servemark.result import Result
from servemark.units import NS_PER_MS

if TYPE_CHECKING:  # a result is written before there are records, too, and numpy takes a while to load
    from servemark.records import RecordFile

#: More records than this are left out of the file, which is made for looking at them one by one.
MOST_ROWS = 100_000
#: How the requests of a run arrived: the `kind` of its load.
LoadKind = Literal["closed", "open"]
_NO_CONNECTION = 0xFFFF_FFFF
COLUMNS = (
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "dataType",
    "success",
    "failureMessage",
    "bytes",
    "sentBytes",
    "grpThreads",
    "allThreads",
    "URL",
    "Latency",
    "IdleTime",
    "Connect",
)


#: The columns that make a row, in the order in which `_row` takes them.
_READ = (
    "scheduled",
    "sent",
    "first_byte",
    "end",
    "status",
    "kind",
    "step",
    "group",
    "user",
    "bytes_received",
    "bytes_sent",
    "connect_us",
    "tls_us",
    "flags",
)


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the records of the result to `out`.

    Raises:
        RecordingError: they cannot be read.
    """
    write(out, recorded.result, [run.files for run in recorded.runs])


def write(out: TextIO, result: Result, files: Iterable[Iterable[RecordFile]]) -> None:
    """Write the records of `result`, the first `MOST_ROWS` of them, to `out`; `files` has those of each run."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    runs = zip(labels_of_all(result), files, strict=True)
    rows = itertools.chain.from_iterable(
        _rows(file, run.load.kind, labels) for (run, labels), of_run in runs for file in of_run
    )
    writer.writerows(itertools.islice(rows, MOST_ROWS))


def _rows(file: RecordFile, kind: LoadKind, labels: Labels) -> Iterator[tuple[object, ...]]:
    import numpy as np

    threads, called = 1, [labels.of(name) for name in file.step_names]
    for chunk in file.chunks():
        if kind == "open":
            chunk["user"] = np.where(chunk["connection"] == _NO_CONNECTION, 0, chunk["connection"] + 1)
            threads = max(threads, int(chunk["user"].max()))
        else:
            threads = int(chunk["user"].max()) + 1
        for record in zip(*(chunk[name].tolist() for name in _READ), strict=True):
            yield _row(file, kind, called, threads, *record)


def _row(
    file: RecordFile,
    kind_of_load: LoadKind,
    labels: Sequence[str],
    threads: int,
    scheduled: int,
    sent: int,
    first_byte: int,
    end: int,
    status: int,
    kind: int,
    step: int,
    group: int,
    user: int,
    bytes_received: int,
    bytes_sent: int,
    connect_us: int,
    tls_us: int,
    flags: int,
) -> tuple[object, ...]:
    name = file.error_kinds[kind]
    failure = "" if kind == 0 else name
    begun = sent if flags & file.flags.get("closed_loop", 0) and sent >= 0 else scheduled
    return (
        (file.started_unix_ns + begun) // NS_PER_MS,
        (end - begun) // NS_PER_MS,
        labels[step] + (WARM_UP if scheduled < file.warmup_ns else ""),
        status or f"Non HTTP response code: {name}",
        failure or "OK",
        f"users {group + 1}-{user + 1}" if kind_of_load == "closed" else f"connections {group + 1}-{user}",
        "text",
        "false" if failure else "true",
        failure,
        bytes_received,
        bytes_sent,
        threads,
        threads,
        "null",
        (first_byte - begun) // NS_PER_MS if first_byte >= 0 else 0,
        0,
        (connect_us + tls_us) // 1000,
    )
