"""Traces: the recorded times at which requests arrived, one in seconds a line.

Blank lines and comments (``#``) are skipped. Times never fall, and count from the first one: a trace may hold times of
the day, or seconds since 1970.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from pathlib import Path

from servemark.errors import UsageError
from servemark.units import NS_PER_S
from servemark.workload.load import TraceOrigin

_MOST_BYTES = 256 << 20
_MOST_TIMES = 5_000_000
#: A line's time, which may be one since 1970; and that from the first to the last.
_LARGEST_S = 10**11
_MOST_S = 1_000_000
_SHOWN = 40
_SHAPE = "one time in seconds a line, rising; # begins a comment"


def read_trace(name: str) -> tuple[tuple[int, ...], TraceOrigin]:
    """The times in the file `name`, in nanoseconds from the first, and where they are from.

    Raises:
        UsageError: it cannot be read, or holds something else; names the line.
    """
    content = _content(name)
    first: Decimal | None = None
    times_ns: list[int] = []
    for number, line in enumerate(content.splitlines(), 1):
        words = line.partition(b"#")[0].strip()
        if not words:
            continue
        time = _time(name, number, words)
        first = time if first is None else first
        since_ns = int((time - first) * NS_PER_S)
        if times_ns and since_ns < times_ns[-1]:
            raise _refusal(name, f"line {number}: {time} comes before the time above it", "sort it: sort -g FILE")
        if since_ns > _MOST_S * NS_PER_S:
            raise _refusal(name, f"line {number}: {time} is more than {_MOST_S:,} s after the first", "cut it")
        times_ns.append(since_ns)
        if len(times_ns) > _MOST_TIMES:
            raise _refusal(name, f"it has more than {_MOST_TIMES:,} times", "cut it: head -n FILE")
    if not times_ns:
        raise _refusal(name, "it holds no time", _SHAPE)
    return tuple(times_ns), TraceOrigin(name, hashlib.sha256(content).hexdigest())


def _content(name: str) -> bytes:
    path = Path(name)
    try:
        if path.exists() and not path.is_file():
            raise _refusal(name, "it is a directory" if path.is_dir() else "it is not a regular file", _SHAPE)
        if path.stat().st_size > _MOST_BYTES:
            raise _refusal(name, f"it is larger than {_MOST_BYTES >> 20} MiB", "cut it: head -n FILE")
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise _refusal(name, error.strerror or str(error), "give the path of a file that you may read") from error


def _time(name: str, number: int, words: bytes) -> Decimal:
    shown = ascii(words[:_SHOWN].decode("latin-1"))
    try:
        time = Decimal(words.decode("ascii"))
    except (InvalidOperation, ValueError):
        raise _refusal(name, f"line {number}: {shown} is not a number of seconds", _SHAPE) from None
    if not time.is_finite():
        raise _refusal(name, f"line {number}: {shown} is not a number of seconds", _SHAPE)
    if time < 0:
        raise _refusal(name, f"line {number}: {shown} is negative", "times count from the first: add a constant to all")
    if time > _LARGEST_S:
        raise _refusal(name, f"line {number}: {shown} is too large for a time in seconds", "nanoseconds? divide them")
    return time


def _refusal(name: str, cause: str, next_step: str) -> UsageError:
    return UsageError(f"cannot use the trace {name}", cause=cause, next_step=next_step)
