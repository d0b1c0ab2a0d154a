"""What happened when in a run, and where the time of its requests went: what is drawn of records, however many.

One pass of ``_loadgen.Timeline``. Latencies are counted in parts of a decade, so that a value read from them is right
to 1.2% by time, and to 0.12% over all; reported figures are exact ones, of ``servemark.stats.gather``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.records import RecordFile, reading, span_ns
from servemark.result import error_name
from servemark.stats.evidence import Window
from servemark.units import NS_PER_MS, NS_PER_S

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Parts of a decade: of latencies by time, and over all of the measured time.
PARTS_BY_TIME, PARTS = 100, 1000
#: Where the rows of a density begin that holds nothing but what took no time at all.
_BIN_OF_1_MS = round(math.log10(NS_PER_MS) * PARTS_BY_TIME)
#: How many groups of neighbours a percentile over time has at least, and how many more requests than the least these
#: have in the mean, so that few are left without.
_LEAST_JOINED, _SPARE = 5, 1.3
#: What the time of a request is spent on, in order.
SPENT = ("waiting for a connection", "sent late", "until the first byte", "until the last byte")


@dataclass(frozen=True)
class Distribution:
    """Times that were counted in bins: those that hold any, rising.

    Attributes:
        value_ms: the middle of each bin.
        counts: how many.
    """

    value_ms: FloatArray
    counts: IntArray

    @property
    def count(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    def quantiles_ms(self, quantiles: FloatArray) -> FloatArray:
        """Values that so many of all do not exceed (nearest rank, to a bin); there is at least one."""
        rising = np.cumsum(self.counts)
        ranks = np.ceil(quantiles * rising[-1]).clip(1, rising[-1])
        found: FloatArray = self.value_ms[np.searchsorted(rising, ranks)]
        return found


@dataclass(frozen=True)
class StepTimeline:
    """What happened to the requests of one step name; arrays have an entry a part of the time.

    Attributes:
        scheduled: requests, by when they were due.
        succeeded: successes, by when they ended.
        failed: failures by error name, by when they ended.
        cells: of successes the part of the time in which they were due, the bin of their latency, and how many;
            shape (cells, 3), in order.
        distribution: measured successes by latency.
        spent_ms: what the time of those in each of its bins went on, summed; shape (bins, SPENT).
    """

    name: str
    scheduled: IntArray
    succeeded: IntArray
    failed: Mapping[str, IntArray]
    cells: IntArray
    distribution: Distribution
    spent_ms: FloatArray

    def spent_between_ms(self, low: float, high: float) -> FloatArray:
        """What the requests between two quantiles spent their time on, in the mean; the bins that lie between count."""
        counts = self.distribution.counts
        before = np.cumsum(counts) - counts
        total = self.distribution.count
        share = np.minimum(before + counts, high * total) - np.maximum(before, low * total)
        weights = np.maximum(share, 0) / counts
        found: FloatArray = weights @ self.spent_ms / max(weights @ counts, 1e-9)
        return found

    def percentiles_ms(self, quantile: float, least: int) -> FloatArray:
        """The percentile of the latencies of each part of the time; see ``percentiles_by_part_ms``."""
        return percentiles_by_part_ms(self.cells, len(self.scheduled), quantile, least)

    def density(self, most: int) -> tuple[FloatArray, IntArray]:
        """How many latencies lie where: edges in ms of at most `most` rows; part, row, count of what holds any.

        What took no time at all, as whole milliseconds tell it, is in row -1.
        """
        if not len(self.cells):
            return np.empty(0), np.empty((0, 3), dtype=np.int64)
        bins = self.cells[:, 1]
        timed = bins[bins > 0] if bins.any() else np.array([_BIN_OF_1_MS])
        first = int(timed.min())
        joined = -(-(int(timed.max()) + 1 - first) // most)
        rows = np.where(bins > 0, (bins - first) // joined, -1)
        places = self.cells[:, 0] * (most + 1) + rows + 1
        unique, where = np.unique(places, return_inverse=True)
        counts = np.bincount(where, weights=self.cells[:, 2]).astype(np.int64)
        edges = 10 ** ((first + joined * np.arange(max(int(rows.max()), 0) + 2)) / PARTS_BY_TIME) / NS_PER_MS
        return edges, np.stack([unique // (most + 1), unique % (most + 1) - 1, counts], axis=1)


@dataclass(frozen=True)
class Timeline:
    """What happened over time: parts of `width_s` from `start_s` on, in seconds from the run's origin.

    `under_way` is how many requests were under way in each part, in the mean: sent, and their end not yet there.
    """

    start_s: float
    width_s: float
    under_way: FloatArray
    steps: tuple[StepTimeline, ...]

    @property
    def edges_s(self) -> FloatArray:
        """The times at which the parts begin, and the last one ends."""
        edges: FloatArray = self.start_s + self.width_s * np.arange(len(self.under_way) + 1.0)
        return edges


@dataclass(frozen=True)
class TimelineQuestion:
    """What the pass is asked, see its stub."""

    places: tuple[int, ...]
    whole: Window
    bins: int
    window: Window


def timeline_of(files: Sequence[RecordFile], window: Window, parts: int) -> Timeline:
    """What happened in the run whose records are in `files`; at least one file.

    Its time, from the first that was due to the last end, is cut in so many `parts`; `window` is the measured time.

    Raises:
        RecordingError: they cannot be read.
    """
    first = files[0]
    names = list(dict.fromkeys(first.step_names))
    start_ns, end_ns = span_ns(files)
    question = TimelineQuestion(
        places=tuple(names.index(name) for name in first.step_names),
        whole=Window(start_ns, end_ns),
        bins=parts,
        window=window,
    )
    with reading(files):
        found = _loadgen.Timeline(list(files), question)
    return Timeline(
        start_s=start_ns / NS_PER_S,
        width_s=found.width_ns / NS_PER_S,
        under_way=np.array(found.under_way_ns, dtype=np.float64) / found.width_ns,
        steps=tuple(_step(name, step, first.error_kinds) for name, step in zip(names, found.steps, strict=True)),
    )


def _step(name: str, step: _loadgen.TimelineStep, kinds: Sequence[str]) -> StepTimeline:
    bins = np.array([bin_ for bin_, _, _ in step.distribution], dtype=np.int64)
    failed: dict[str, IntArray] = {}
    for kind, status, counts in step.failed:
        called = error_name(kinds[kind] if kind < len(kinds) else f"kind {kind}", status)
        failed[called] = failed.get(called, 0) + np.array(counts, dtype=np.int64)
    return StepTimeline(
        name=name,
        scheduled=np.array(step.scheduled, dtype=np.int64),
        succeeded=np.array(step.succeeded, dtype=np.int64),
        failed=failed,
        cells=np.array(step.latencies, dtype=np.int64).reshape(-1, 3),
        distribution=Distribution(
            value_ms=middle_ms(bins, PARTS),
            counts=np.array([count for _, count, _ in step.distribution], dtype=np.int64),
        ),
        spent_ms=np.array([spent for _, _, spent in step.distribution], dtype=np.float64).reshape(-1, len(SPENT))
        / NS_PER_MS,
    )


def percentiles_by_part_ms(cells: IntArray, parts: int, quantile: float, least: int) -> FloatArray:
    """The percentile at `quantile` of each of some parts of the time; NaN where there are fewer than `least`.

    Where parts have fewer in the mean, as many neighbours as have enough together share their percentile, if at least
    `_LEAST_JOINED` such groups are left.

    Args:
        cells: (cells, 3): part, bin and count; see ``StepTimeline.cells``.
        parts: how many there are.
        quantile: in (0, 1).
        least: of what a percentile is told of.
    """
    found = np.full(parts, np.nan)
    joined = max(1, math.ceil(least * _SPARE * parts / max(int(cells[:, 2].sum()), 1)))
    joined = joined if parts >= _LEAST_JOINED * joined else 1
    firsts = np.append(np.arange(0, parts - joined + 1, joined), parts)  # the last one has what is left, too
    for (first, last), (start, end) in zip(
        pairwise(firsts), pairwise(np.searchsorted(cells[:, 0], firsts)), strict=True
    ):
        of_bins = np.bincount(cells[start:end, 1], weights=cells[start:end, 2])
        counts = np.cumsum(of_bins)
        if end > start and counts[-1] >= least:
            at = np.searchsorted(counts, max(1, np.ceil(quantile * counts[-1])))
            found[first:last] = middle_ms(np.array([at]), PARTS_BY_TIME)[0]
    return found


def middle_ms(bins: IntArray, parts: int) -> FloatArray:
    """The middle of bins of so many parts of a decade, by ratio; 0 of the first: it has what took no time at all."""
    middles = np.exp((bins.astype(np.float64) + 0.5) * (math.log(10) / parts)) / NS_PER_MS
    found: FloatArray = np.where(bins > 0, middles, 0.0)
    return found
