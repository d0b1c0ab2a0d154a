"""Units: the conversions that the rest of the code may use, and nothing else.

Times inside servemark are integer nanoseconds of one monotonic clock; people read milliseconds and type seconds.
"""

from __future__ import annotations

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
BYTES_PER_MIB = 1 << 20
BYTES_PER_GIB = 1 << 30


def ns_from_s(seconds: float) -> int:
    """Nanoseconds, rounded to the nearest, of a time in seconds."""
    return round(seconds * NS_PER_S)


def format_ms(milliseconds: float) -> str:
    """A duration in the unit and with the digits a person reads: ``'72.3 ms'``, ``'0.041 ms'``, ``'1.24 s'``."""
    if abs(milliseconds) >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    digits = 1 if abs(milliseconds) >= 10 else 2 if abs(milliseconds) >= 1 else 3
    return f"{milliseconds:.{digits}f} ms"


def format_bytes(count: int) -> str:
    """An amount of memory as a person reads it: ``'15.2 GiB'``, ``'156 MiB'``, ``'4.5 MiB'``."""
    if abs(count) >= BYTES_PER_GIB:
        return f"{count / BYTES_PER_GIB:.1f} GiB"
    mib = count / BYTES_PER_MIB
    return f"{mib:.0f} MiB" if abs(mib) >= 10 else f"{mib:.1f} MiB"
