"""What the records of a run sum up to, for comparison with what its generator counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.stats.summary import Window


@dataclass(frozen=True)
class Account:
    """Of all records of a run.

    Attributes:
        sent: those of requests that began to be written.
        in_flight_ns: how long those were under way for the generator, from the first byte written until it had read
            their end, summed over the part of it that lies in the window.
        completions: how many of those ended in the window.
    """

    sent: int
    in_flight_ns: int
    completions: int


def account(chunks: Iterable[NDArray[np.void]], window: Window) -> Account:
    """The account of the records in `chunks`. Where no time of reading is told, they were read at their end."""
    sent = in_flight_ns = completions = 0
    for chunk in chunks:
        sent_ns, end_ns = chunk["sent"], chunk["read" if "read" in (chunk.dtype.names or ()) else "end"]
        was_sent = sent_ns >= 0
        if not was_sent.all():
            sent_ns, end_ns = sent_ns[was_sent], end_ns[was_sent]
        sent += len(sent_ns)
        inside_ns = end_ns.clip(window.start_ns, window.end_ns) - sent_ns.clip(window.start_ns, window.end_ns)
        in_flight_ns += int(inside_ns.sum())
        completions += int(np.count_nonzero((end_ns >= window.start_ns) & (end_ns < window.end_ns)))
    return Account(sent, in_flight_ns, completions)


def first_scheduled(
    chunks: Iterable[NDArray[np.void]], *, group: int, first_step: int | None, arrivals: int
) -> NDArray[np.int64]:
    """When the records of a group in an open loop say that each of its arrivals was due, by the arrival's number.

    `first_step` is the step that every arrival begins with; None where each performs one step of a mix. -1 for an
    arrival without a record. The length is at least `arrivals`, and more when there is a record of a later one.
    """
    missing = np.iinfo(np.int64).max
    first = np.full(arrivals, missing, dtype=np.int64)
    for chunk in chunks:
        wanted = chunk["group"] == group
        if first_step is not None:
            wanted &= chunk["step"] == first_step
        number, scheduled_ns = chunk["user"][wanted], chunk["scheduled"][wanted]
        if len(number) and int(number.max()) >= len(first):
            more = np.full(int(number.max()) + 1 - len(first), missing, dtype=np.int64)
            first = np.concatenate([first, more])
        np.minimum.at(first, number, scheduled_ns)  # of a step that is repeated, the first time
    first[first == missing] = -1
    return first
