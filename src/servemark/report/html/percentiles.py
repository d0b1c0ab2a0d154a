"""Curves of percentiles: the times that so many requests do not exceed, as far as an interval exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark.report.html.charts import Chart, Spec, colour_by, data, layered, quantity, tooltip, where_wide
from servemark.report.words import percentile_name, plain
from servemark.result import LatencySummary, StepSummary
from servemark.stats.percentiles import REPORTED
from servemark.stats.timeline import StepTimeline

#: What is said of a curve that only goes through reported percentiles.
_BETWEEN = " Between the marks the line is straight: the records, which have what lies there, were not read."
#: Points of a curve between two decades of the share beyond it.
_CURVE_POINTS = 40
#: The axis of percentiles, by how rare what lies above them is.
_BY_PERCENTILE: Spec = {
    "field": "beyond",
    "type": "quantitative",
    "scale": {"type": "log", "nice": False},
    "axis": {
        "title": "percentile",
        "values": [1, 2, 10, 20, 100, 1000],
        "labelExpr": "datum.value == 1 ? 'least' : 'p' + format(100 * (1 - 1 / datum.value), '.4~g')",
    },
}


@dataclass(frozen=True)
class Curve:
    """What is drawn of some times: the `reported` percentiles with their intervals, and all those between them.

    `quantiles_ms` has the values that so many do not exceed, for an array of shares; None where no others are known.
    """

    reported: LatencySummary
    quantiles_ms: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None


def curve_of(step: StepSummary, over_time: StepTimeline | None = None) -> Curve:
    """The latency that answers for the requests of a step; without what happened over time as it is reported alone."""
    return Curve(step.headline_ms, over_time.distribution.quantiles_ms if over_time else None)


def percentile_chart(
    series: Mapping[str, Curve],
    latency: str,
    what: str = "step",
    title: str = "Latency by percentile",
    description: str = "",
) -> Chart | None:
    """Times by percentile, of each of some series, up to the highest percentile that has an interval.

    Those without any are left out, see ``without_curve``; None where all are.
    """
    drawn = {name: shown for name, shown in series.items() if _with_interval(shown)}
    if not drawn:
        return None
    curve, band, rows = _curve_and_band(drawn)
    return Chart(
        title,
        description
        or f"The {latency} that so many requests do not exceed, as far as an interval of 95% exists; the band is that "
        f"interval.{_BETWEEN if any(shown.quantiles_ms is None for shown in drawn.values()) else ''}",
        layered(_layers(curve, band, list(drawn), latency, what)),
        (what, "percentile", "ms", "95% from", "to"),
        tuple(rows),
    )


def _curve_and_band(drawn: Mapping[str, Curve]) -> tuple[list[Spec], list[Spec], list[tuple[str, ...]]]:
    """The points of each curve; the interval of each reported percentile that has one; and these as rows of a table."""
    curve: list[Spec] = []
    band: list[Spec] = []
    rows = []
    for name, shown in drawn.items():
        with_interval = _with_interval(shown)
        curve += [
            {"series": name, "beyond": 1 / (1 - q), "percentile": f"p{100 * q:.4g}", "ms": value}
            for q, value in _points(shown, with_interval)
        ]
        for one in with_interval:
            value, interval = getattr(shown.reported, one).value, _interval(shown.reported, one)
            assert interval is not None
            beyond = 1 / (1 - REPORTED[one])
            band.append({"series": name, "beyond": beyond, "ms": value, "low": interval[0], "high": interval[1]})
            rows.append((name, percentile_name(one), *map(plain, (value, *interval))))
    return curve, band, rows


def _layers(curve: list[Spec], band: list[Spec], names: Sequence[str], latency: str, what: str) -> list[Spec]:
    """The band, the curve in it, and a point at each reported percentile."""
    wide = where_wide([*(row["ms"] for row in curve), *(row["low"] for row in band), *(row["high"] for row in band)])
    colour = colour_by("series", names)
    latency_axis = quantity("ms", f"{latency} ms", wide)
    return [
        {
            "data": data(band),
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {
                "x": _BY_PERCENTILE,
                "y": quantity("low", f"{latency} ms", wide),
                "y2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "data": data(curve),
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {
                "x": _BY_PERCENTILE,
                "y": latency_axis,
                "color": colour,
                "tooltip": tooltip(series=what, percentile="percentile", ms="ms"),
            },
        },
        {
            "data": data(band),
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {
                "x": _BY_PERCENTILE,
                "y": latency_axis,
                "color": colour,
                "tooltip": tooltip(series=what, ms="ms", low="95% from", high="to"),
            },
        },
    ]


def without_curve(series: Mapping[str, Curve], title: str = "Latency by percentile", noun: str = "requests") -> str:
    """Why some series have no curve, and how many of `noun` the first percentile takes; empty where all have one."""
    lacking = {name: _least_needed(shown.reported) for name, shown in series.items() if not _with_interval(shown)}
    if not lacking:
        return ""
    takes = {name: f"{found[1]} takes {found[0]:,} {noun}" if found else "" for name, found in lacking.items()}
    if len(series) == 1:
        (needed,) = takes.values()
        return f"{title} is not drawn: no percentile has an interval of 95%{f'; {needed}' if needed else ''}."
    each = ", ".join(f"{name} ({needed})" if needed else name for name, needed in takes.items())
    return f"{title} is not drawn of what has no percentile with an interval of 95%: {each}."


def _least_needed(latency: LatencySummary) -> tuple[int, str] | None:
    """How many values the percentile that takes fewest would need for an interval, and its name, if that is known."""
    needed = ((getattr(latency, name).needs_n, percentile_name(name)) for name in REPORTED)
    return min(((count, name) for count, name in needed if count is not None), default=None)


def _points(shown: Curve, with_interval: Sequence[str]) -> list[tuple[float, float | None]]:
    """The shares of a curve, up to the highest percentile that has an interval, each with its value."""
    if shown.quantiles_ms is None:
        return [(REPORTED[name], getattr(shown.reported, name).value) for name in with_interval]
    share = 1 - np.geomspace(1.0, 1 - max(REPORTED[name] for name in with_interval), _CURVE_POINTS)
    return list(zip(share.tolist(), shown.quantiles_ms(share).tolist(), strict=True))


def _with_interval(shown: Curve) -> list[str]:
    """The reported percentiles that have an interval."""
    return [name for name in REPORTED if _interval(shown.reported, name)]


def _interval(latency: LatencySummary, name: str) -> tuple[float, float] | None:
    found: tuple[float, float] | None = getattr(latency, name).ci95
    return found
