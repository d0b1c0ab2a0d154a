"""How many requests were under way at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def least_in_flight(sent_ns: NDArray[np.int64], end_ns: NDArray[np.int64], start_ns: int, stop_ns: int) -> int | None:
    """The fewest requests under way at any moment from `start_ns` to `stop_ns`; None when none ended in between.

    A request is under way from its first byte written to the last byte of its response. The number is lowest just
    after a response, so only those moments are looked at.
    """
    sent = np.sort(sent_ns[sent_ns >= 0], kind="stable")
    end = np.sort(end_ns[sent_ns >= 0], kind="stable")
    looked_at = (end >= start_ns) & (end < stop_ns)
    if not looked_at.any():
        return None
    after_each_end = np.searchsorted(sent, end, side="right") - np.arange(1, len(end) + 1)
    return int(after_each_end[looked_at].min())


def starved_share(
    sent_ns: NDArray[np.int64], end_ns: NDArray[np.int64], start_ns: int, stop_ns: int, needed: int
) -> float | None:
    """Of `needed` places from `start_ns` to `stop_ns`, the part that no request under way took; None of no time.

    A request is under way from its first byte written to the last byte of its response.
    """
    if stop_ns <= start_ns:
        return None
    was_sent = sent_ns >= 0
    times = np.concatenate([sent_ns[was_sent], end_ns[was_sent]]).clip(start_ns, stop_ns)
    steps = np.repeat([1, -1], was_sent.sum())
    order = np.argsort(times, kind="stable")
    under_way = np.cumsum(steps[order])[:-1].clip(0, needed)
    taken = float((under_way * np.diff(times[order])).sum())
    return 1 - taken / (needed * (stop_ns - start_ns))


def busy_period(user: NDArray[np.uint32], scheduled_ns: NDArray[np.int64]) -> tuple[int, int]:
    """When every user of a closed loop was at work: from the last first request to the first last one.

    Outside of it users have yet to start, or have nothing more to send. (0, 0) when there are no requests.
    """
    if not len(user):
        return 0, 0
    users = int(user.max()) + 1
    first = np.full(users, np.iinfo(np.int64).max)
    last = np.full(users, -1, dtype=np.int64)
    np.minimum.at(first, user, scheduled_ns)
    np.maximum.at(last, user, scheduled_ns)
    active = last >= 0
    return int(first[active].max()), int(last[active].min())
