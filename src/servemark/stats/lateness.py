"""Lateness: by how much percentiles may be too high where some of the times are too long, which is not seen of any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from servemark.result import LatencySummary
from servemark.stats.percentiles import REPORTED

_MEDIAN = 0.5
#: Of which percentiles of a sample the values are known: the least, the reported ones, and the greatest.
_KNOWN = (0.0, *REPORTED.values(), 1.0)
#: Of a time in milliseconds; so much less is less.
_RESOLUTION_MS = 1e-9


@dataclass(frozen=True)
class Lateness:
    """A share of times, each of which is up to `most_ms` too long, whichever they are; none by how long it is."""

    share: float
    most_ms: float


def moved_at_most_ms(reported: LatencySummary, late: Lateness) -> dict[str, float]:
    """The most by which each percentile may be too high; empty where nothing is late, or nothing was reported.

    F is the distribution that is reported, G that of the true times. Of those that are late no more are beyond x only
    by that than would be beyond x - most: G(x) - F(x) <= share * (1 - F(x - most)). So the q-quantile x of F is above
    that of G by no more than above that of F at q - share * (1 - F(x - most)), and by no more than most. Between its
    known quantiles F is taken for straight, and between the least value and the median for the median.
    """
    values = [reported.min, *(getattr(reported, name).value for name in REPORTED), reported.max]
    known_ms = [value for value in values if value is not None]
    if late.share <= 0 or late.most_ms <= 0 or len(known_ms) < len(_KNOWN):
        return {}
    found = {}
    for (name, q), value_ms in zip(REPORTED.items(), known_ms[1:-1], strict=True):
        beyond = 1 - float(np.interp(value_ms - late.most_ms - _RESOLUTION_MS, known_ms, _KNOWN))
        at = q - late.share * beyond
        least_ms = float(np.interp(max(at, min(q, _MEDIAN)), _KNOWN, known_ms)) if at > 0 else 0.0
        found[name] = min(value_ms - least_ms, late.most_ms)
    return found
