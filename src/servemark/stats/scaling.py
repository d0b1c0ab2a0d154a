"""Calls that scale a model: when each had really happened, and what it did to the predictions meanwhile.

Everything is a function of records, as arrays in the engine's layout; times are nanoseconds from the run's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calls:
    """The scaling calls of one direction, in the order in which they were made.

    Attributes:
        start_ns: when each was scheduled.
        settled_ns: when the reading back that followed it saw the wanted workers; -1 where the call or that failed.
        ended_ns: when the last of its requests ended.
    """

    start_ns: NDArray[np.int64]
    settled_ns: NDArray[np.int64]
    ended_ns: NDArray[np.int64]

    @property
    def took_ns(self) -> NDArray[np.int64]:
        """From the schedule until the change was seen, of the calls that succeeded."""
        done = self.settled_ns >= 0
        took: NDArray[np.int64] = (self.settled_ns - self.start_ns)[done]
        return took

    def since(self, start_ns: int) -> Calls:
        """The calls that were scheduled at `start_ns` or later."""
        kept = self.start_ns >= start_ns
        return Calls(self.start_ns[kept], self.settled_ns[kept], self.ended_ns[kept])


def scaling_calls(rows: NDArray[np.void], call: int, read: int, cut_off_ns: int | None = None) -> Calls:
    """Every record of the step `call`, with those of the step `read` that follow it, made by one user.

    A call that nothing was read back after (the run ended there) is left out, and so is one whose reading back may have
    been cut short: its last one was scheduled at `cut_off_ns` (None: the run ended by itself).
    """
    rows = rows[(rows["step"] == call) | (rows["step"] == read)]
    rows = rows[np.argsort(rows["scheduled"], kind="stable")]
    found: list[tuple[int, int, int]] = []
    last: np.void | None = None
    reads: list[np.void] = []

    def close() -> None:
        if last is not None and reads and (cut_off_ns is None or reads[-1]["scheduled"] < cut_off_ns):
            settled = last["kind"] == 0 and reads[-1]["kind"] == 0
            ended_ns = int(reads[-1]["end"])
            found.append((int(last["scheduled"]), ended_ns if settled else -1, ended_ns))

    for row in rows:
        if row["step"] == read:
            reads.append(row)
        else:
            close()
            last, reads = row, []
    close()
    columns = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Calls(columns[:, 0], columns[:, 1], columns[:, 2])


def overlapping(rows: NDArray[np.void], starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which records were under way at the same time as one of the intervals."""
    order = np.argsort(starts_ns)
    starts_ns, latest_end_ns = starts_ns[order], np.maximum.accumulate(ends_ns[order])
    before = np.searchsorted(starts_ns, rows["end"], side="left")
    meets: NDArray[np.bool_] = np.zeros(len(rows), dtype=bool)
    some = before > 0
    meets[some] = latest_end_ns[before[some] - 1] > rows["scheduled"][some]
    return meets
