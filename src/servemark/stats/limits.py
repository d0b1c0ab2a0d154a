"""Limits on times of requests: which requests of a run are beyond any of several, each looked at by itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from servemark.records import Rows, time_per_token_ns, until_ns

_NEVER = np.iinfo(np.int64).max


def beyond(rows: Rows, limits_ns: Mapping[str, int], flags: Mapping[str, int]) -> NDArray[np.bool_]:
    """Which of `rows` failed, or took as long as one of `limits_ns` or longer, by the names of latencies of records.

    `flags` has the bits of the `flags` column by name.
    """
    found: NDArray[np.bool_] = rows["kind"] != 0
    for figure, limit_ns in limits_ns.items():
        found = found | (_took_ns(figure, rows, flags) >= limit_ns)
    return found


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
