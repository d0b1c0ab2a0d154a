"""Limits on times of requests: how many of a run keep all of several at once, each request looked at by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from servemark.records import Rows, time_per_token_ns, until_ns
from servemark.stats.tally_question import Window

_NEVER = np.iinfo(np.int64).max


def within(
    rows: Rows, limits_ns: Mapping[str, int], flags: Mapping[str, int], window: Window, parts: int
) -> NDArray[np.int64]:
    """The successes that ended in the window and took less than each of `limits_ns`, by parts of equal time of it.

    They are of those that the tally counts as completed, and in the same part. `limits_ns` are by the names of
    latencies of records; `flags` has the bits of the `flags` column by name.
    """
    rows = rows[(rows["kind"] == 0) & (rows["end"] >= window.start_ns) & (rows["end"] <= window.end_ns)]
    for figure, limit_ns in limits_ns.items():
        rows = rows[_took_ns(figure, rows, flags) < limit_ns]
    share = (rows["end"] - window.start_ns) / max(window.end_ns - window.start_ns, 1)
    return np.bincount(np.clip((share * parts).astype(np.intp), 0, parts - 1), minlength=parts)


def _took_ns(figure: str, rows: Rows, flags: Mapping[str, int]) -> NDArray[np.int64]:
    """The time of that name of each of `rows`; of one that had none, longer than any limit."""
    took_ns: NDArray[np.int64]
    if figure in ("response", "service"):
        took_ns = rows["end"] - rows["scheduled" if figure == "response" else "sent"]
        return took_ns
    if figure == "first_event":
        took_ns = until_ns(rows, "first_event", flags)
    elif "first_content" not in (rows.dtype.names or ()):
        return np.full(len(rows), _NEVER)  # of a generator that was lost before its answers were read
    elif figure == "time_per_output_token":
        took_ns = time_per_token_ns(rows)
    else:
        took_ns = until_ns(rows, "first_content", flags)
    return np.where(took_ns >= 0, took_ns, _NEVER)
