"""Units: the conversions that the rest of the code may use, and nothing else.

Times inside servemark are integer nanoseconds of one monotonic clock; people read milliseconds and type seconds.
"""

from __future__ import annotations

import re

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
BYTES_PER_MIB = 1 << 20
BYTES_PER_GIB = 1 << 30

#: How many nanoseconds a unit of time has; micro is written with either Greek letter, or with a Latin one.
_UNITS_NS = {
    "ns": 1,
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), NS_PER_US),
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    **dict.fromkeys(("min", "m"), 60 * NS_PER_S),
    "h": 3600 * NS_PER_S,
}
_PART = re.compile(rf"(\d+\.?\d*|\.\d+)({'|'.join(_UNITS_NS)})", re.ASCII)


def ascii_only(text: str) -> str:
    """`text` for ``int`` and ``float``, which would read the digits of other scripts, too: empty if it has any."""
    return text if text.isascii() else ""


def seconds_of(text: str) -> float | None:
    """The seconds in a time as people write it: ``10``, ``1.5``, ``10s``, ``500ms``, ``1m30s``, ``1h``; else None.

    A plain number is seconds already, ``nan`` and ``inf`` too.
    """
    words = text.strip()
    try:
        return float(ascii_only(words))
    except ValueError:
        pass
    sign = -1.0 if words.startswith("-") else 1.0
    parts = words.removeprefix("-")
    if not re.fullmatch(f"(?:{_PART.pattern})+", parts, re.ASCII):
        return None
    return sign * sum(float(number) * _UNITS_NS[unit] for number, unit in _PART.findall(parts)) / NS_PER_S


def ns_from_s(seconds: float) -> int:
    """Nanoseconds, rounded to the nearest, of a time in seconds."""
    return round(seconds * NS_PER_S)


def format_ms(milliseconds: float) -> str:
    """A duration in the unit and with the digits a person reads: ``'72.3 ms'``, ``'0.041 ms'``, ``'1.24 s'``."""
    if abs(milliseconds) >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    digits = 1 if abs(milliseconds) >= 10 else 2 if abs(milliseconds) >= 1 else 3
    return f"{milliseconds:.{digits}f} ms"


def four_digits(value: float) -> str:
    """A rate, or another number, to four digits, and more before the point: ``'168.3'``, ``'12,346'``; no exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_bytes(count: int) -> str:
    """An amount of memory as a person reads it: ``'15.2 GiB'``, ``'156 MiB'``, ``'4.5 MiB'``."""
    if abs(count) >= BYTES_PER_GIB:
        return f"{count / BYTES_PER_GIB:.1f} GiB"
    mib = count / BYTES_PER_MIB
    return f"{mib:.0f} MiB" if abs(mib) >= 10 else f"{mib:.1f} MiB"
