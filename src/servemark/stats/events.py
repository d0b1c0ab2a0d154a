"""Events of streamed responses: how many there were, and the times between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from servemark import _loadgen
from servemark.result import GapSummary, Spread
from servemark.stats.percentiles import percentiles
from servemark.stats.samples import Sample
from servemark.units import NS_PER_MS

_BETWEEN = (0.5, 0.9, 0.99)
_PARTS = 1000


def spread(counts: Sample) -> Spread | None:
    """The spread of counts, whose median is known; None of none."""
    if counts.mean is None or counts.min is None or counts.max is None:
        return None
    (median,) = percentiles(counts, 1, [0.5])
    return Spread(mean=counts.mean, min=counts.min, p50=int(median.value or 0), max=counts.max)


def gaps_of_step(gaps: Mapping[int, Sequence[bytes]], names: Sequence[str], name: str) -> list[bytes]:
    """The histograms of all steps called `name`: `gaps` has them by the number of a step, `names` has its name."""
    return [histogram for number, found in gaps.items() if names[number] == name for histogram in found]


def joined_share(histograms: Sequence[bytes]) -> float:
    """The share, to a thousandth, of the times between events in `histograms` that are 0: both were read together.

    Raises:
        ValueError: one of them is no histogram.
    """
    found = _loadgen.histogram_statistics(list(histograms), [part / _PARTS for part in range(1, _PARTS + 1)])
    return sum(value == 0 for value in found.quantiles) / _PARTS if found.count else 0.0


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
