"""What lies beside a run's records: where responses streamed, and where records were condensed.

Beside ``NAME.bin`` are ``NAME.gaps.hlog``, the times between the events (a histogram log, which the tools of
HdrHistogram read), and with ``--record-events`` ``NAME.events.bin``, the time of each event, for
``records.open_events``. What of the bodies of responses is read for tokens is meanwhile in ``NAME.bodies.bin``, and
what is kept of records beyond as many as may be, in ``NAME.condensed.npz`` (``condensed_files``).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from servemark import _loadgen
from servemark.errors import RecordingError
from servemark.units import NS_PER_MS, NS_PER_S


def events_path(record_path: Path) -> Path:
    """The file with the events of the records at `record_path`, if they were recorded."""
    return record_path.with_suffix(".events.bin")


def condensed_path(record_path: Path) -> Path:
    """The file with the condensed records of that at `record_path`, if it has any."""
    return record_path.with_suffix(".condensed.npz")


def bodies_path(record_path: Path) -> Path:
    """The file with the bodies of the responses of the records at `record_path`, if they were recorded."""
    return record_path.with_suffix(".bodies.bin")


def gaps_path(record_path: Path) -> Path:
    """The file with the times between the events of the records at `record_path`, if responses streamed."""
    return record_path.with_suffix(".gaps.hlog")


def write_gaps(record_path: Path, gaps: Mapping[str, Sequence[bytes]], *, started_unix_ns: int, length_ns: int) -> None:
    """Write the histograms of the times between events, by step name, beside the records at `record_path`.

    Each is V2-deflate bytes, in nanoseconds. The file is a histogram log of version 1.3, as HdrHistogram's
    HistogramLogWriter writes it: a line a histogram, over the whole run of `length_ns`, its tag the step's name in
    percent-encoding.

    Raises:
        RecordingError: it cannot be written.
    """
    lines = [
        "#[Histogram log format version 1.3]",
        _start_line(started_unix_ns),
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for name, histograms in gaps.items():
        for histogram in histograms:
            longest_ms = _loadgen.histogram_statistics([histogram], []).max / NS_PER_MS
            text = base64.b64encode(histogram).decode()
            lines.append(f"Tag={quote(name)},0.000,{length_ns / NS_PER_S:.3f},{longest_ms:.3f},{text}")
    path = gaps_path(record_path)
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


def date_gaps(record_path: Path, started_unix_ns: int) -> None:
    """Have the times between events beside the records at `record_path`, if there are any, begin at that time.

    Raises:
        RecordingError: they cannot be written.
    """
    path = gaps_path(record_path)
    try:
        if path.exists():
            first, _, *rest = path.read_text(encoding="ascii").splitlines(keepends=True)
            path.write_text("".join([first, f"{_start_line(started_unix_ns)}\n", *rest]), encoding="ascii")
    except OSError as error:
        raise RecordingError.unwritable(path, error.strerror or str(error)) from error


def _start_line(started_unix_ns: int) -> str:
    return f"#[StartTime: {started_unix_ns / NS_PER_S:.3f} (seconds since epoch)]"


def read_gaps(path: Path) -> dict[str, tuple[bytes, ...]]:
    """The histograms in the log at `path`, V2-deflate bytes by step name; see ``write_gaps``.

    Raises:
        RecordingError: it is missing, or is no such log.
    """
    gaps: dict[str, tuple[bytes, ...]] = {}
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("Tag="):
                name, _, _, _, text = line.removeprefix("Tag=").split(",")
                gaps[unquote(name)] = (*gaps.get(unquote(name), ()), base64.b64decode(text, validate=True))
    except OSError as error:
        raise RecordingError(f"cannot read the histograms in {path}", cause=error.strerror or str(error)) from error
    except ValueError as error:
        raise RecordingError(f"{path} is not a histogram log", cause=str(error)) from error
    return gaps
