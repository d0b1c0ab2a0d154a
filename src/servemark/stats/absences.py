"""When nobody was there to connect to: connections that were refused, one after the other, and no answer in between."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

#: A single connection that failed says little of the server.
_LEAST_REFUSED = 2


def absences(refused_ns: IntArray, answered_ns: Iterable[IntArray]) -> list[tuple[int, int | None]]:
    """Each time in which the server was away: when the first connection failed, and when the first answer came after.

    `refused_ns` are the times of connections that failed, in any order, `answered_ns` those of answers of any kind, in
    parts. A time in which several failed with no answer between them is one; None where no answer came any more.
    """
    refused = np.sort(refused_ns)
    answers = np.zeros(len(refused) + 1, dtype=np.int64)
    first = np.full(len(refused) + 1, np.iinfo(np.int64).max)
    for part in answered_ns:
        place = np.searchsorted(refused, part, side="right")
        answers += np.bincount(place, minlength=len(answers))
        np.minimum.at(first, place, part)
    breaks = [0, *(np.flatnonzero(answers[1:-1]) + 1).tolist(), len(refused)]
    return [
        (int(refused[begin]), int(first[end]) if answers[end] else None)
        for begin, end in pairwise(breaks)
        if end - begin >= _LEAST_REFUSED
    ]
