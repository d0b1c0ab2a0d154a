"""Events of streamed responses: what is gathered of them while records pass by, and the times between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.records import begun_ns
from servemark.result import GapSummary, Spread
from servemark.stats.percentiles import percentiles
from servemark.units import NS_PER_MS

if TYPE_CHECKING:
    from servemark.stats.summary import Window

_BETWEEN = (0.5, 0.9, 0.99)


class EventTally:
    """What is gathered about the events of one step.

    Attributes:
        seen: whether any response streamed.
        count: events of all responses.
        completed: streams that ended well inside the window; `batch_events` has their events by the time of their end.
    """

    def __init__(self, flags: Mapping[str, int], batches: int) -> None:
        self.seen = False
        self.count = self.completed = 0
        self.batch_events = np.zeros(batches)
        self.batch_first_sum, self.batch_first_count = np.zeros(batches), np.zeros(batches)
        self._flags = flags
        self._per_request: list[NDArray[np.int64]] = []
        self._first_event: list[NDArray[np.int64]] = []

    def add(
        self, rows: NDArray[np.void], measured: NDArray[np.bool_], ended: NDArray[np.bool_], window: Window
    ) -> None:
        """Look at `rows`; `measured` are those that make the statistics, `ended` those that make the rate."""
        streamed = (rows["flags"] & self._flags.get("streamed", 0)) != 0
        if not streamed.any():
            return
        self.seen = True
        batches = len(self.batch_events)
        self.count += int(rows["events"][streamed].sum(dtype=np.int64))
        done = rows[streamed & ended]
        self.completed += len(done)
        batch = window.batch_of(done["end"], batches)
        self.batch_events += np.bincount(batch, weights=done["events"], minlength=batches)
        streams = rows[streamed & measured]
        self._per_request.append(streams["events"].astype(np.int64))
        begun = streams[streams["events"] > 0]
        waited = begun["first_event"] - begun_ns(begun, self._flags)
        self._first_event.append(waited)
        batch = window.batch_of(begun["scheduled"], batches)
        self.batch_first_count += np.bincount(batch, minlength=batches)
        self.batch_first_sum += np.bincount(batch, weights=waited, minlength=batches)

    def per_request(self) -> NDArray[np.int64]:
        """Events of each measured stream."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._per_request])

    def first_event_ns(self) -> NDArray[np.int64]:
        """From where the headline counts to the first event, of each measured stream that had one."""
        return np.concatenate([np.empty(0, dtype=np.int64), *self._first_event])


def spread(counts: NDArray[np.int64]) -> Spread | None:
    """The spread of `counts` (reordered in place); None of none."""
    if not len(counts):
        return None
    mean = float(counts.mean())
    (median,) = percentiles(counts, 1, [0.5])
    return Spread(mean=mean, min=int(counts.min()), p50=int(median.value or 0), max=int(counts.max()))


def between_events(histograms: Sequence[bytes]) -> GapSummary | None:
    """The statistics of the sum of `histograms` (V2-deflate bytes, nanoseconds); None without a value.

    Raises:
        ValueError: one of them is no histogram.
    """
    found = _loadgen.histogram_statistics(list(histograms), list(_BETWEEN))
    if not found.count:
        return None
    p50, p90, p99 = (value / NS_PER_MS for value in found.quantiles)
    return GapSummary(found.count, found.mean / NS_PER_MS, p50, p90, p99, found.max / NS_PER_MS)
