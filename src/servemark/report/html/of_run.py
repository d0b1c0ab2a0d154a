"""The charts of one run: how its latencies are distributed, what they and the load were over time, where time went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from servemark.report.html.charts import (
    FAULT,
    GRID,
    INK,
    MAIN,
    MUTED,
    SERIES,
    TAIL,
    WARN,
    Chart,
    Spec,
    colour_by,
    data,
    layered,
    quantity,
    tooltip,
    where_wide,
)
from servemark.report.words import percentile_name, plain
from servemark.result import STATISTICS, LatencySummary, RunResult, StepSummary
from servemark.stats.percentiles import REPORTED
from servemark.stats.timeline import SPENT, StepTimeline, Timeline

#: A part of the time with fewer requests has no such percentile.
_LEAST_OF = {"p50": 5, "p99": 100}
#: Rows of the density.
_MOST_ROWS = 48
#: Points of a curve between two decades of the share beyond it.
_CURVE_POINTS = 40
#: Rows of a table of what happened over time; it has every so many parts otherwise.
_MOST_TABLE_ROWS = 40
#: Of what happened to the server so much is said in words.
_MOST_TOLD = 6
#: What is shown apart of where time goes: names of parts of the requests, by how long they took.
_SPENT_OF = {"all": (0.0, 1.0), "middle 10%": (0.45, 0.55), "slowest 10%": (0.9, 1.0), "slowest 1%": (0.99, 1.0)}
_LEAST_OF_SLOWEST = 1000
#: Steps that are drawn together.
_MOST_SERIES = len(SERIES)


@dataclass(frozen=True)
class Mark:
    """Something that happened to the server: when, in seconds from the run's origin, and what."""

    at_s: float
    what: str


@dataclass(frozen=True)
class Drawn:
    """A run and what is drawn of it."""

    run: RunResult
    timeline: Timeline
    marks: tuple[Mark, ...] = ()

    @property
    def latency(self) -> str:
        """What its headline's latency is called."""
        return self.run.steps[0].headline if self.run.steps else "response"

    @cached_property
    def edges_s(self) -> NDArray[np.float64]:
        """Where the parts of its time begin, and where the last one ends, in seconds from its beginning."""
        return self.timeline.edges_s - self.timeline.start_s

    @cached_property
    def failed(self) -> dict[str, NDArray[np.int64]]:
        """Failures by kind, by when they ended, over all steps."""
        steps = self.timeline.steps
        kinds = dict.fromkeys(kind for step in steps for kind in step.failed)
        return {kind: self.over(step.failed[kind] for step in steps if kind in step.failed) for kind in kinds}

    def over(self, counts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
        """The sum of some counts of each part of its time; without any none at all."""
        return sum(counts, np.zeros(len(self.timeline.under_way), dtype=np.int64))

    def steps(self) -> Iterator[tuple[StepSummary, StepTimeline]]:
        """Its steps that have a measured success, each with what happened over time."""
        over_time = {step.name: step for step in self.timeline.steps}
        for step in self.run.steps:
            if step.measured and step.name in over_time:
                yield step, over_time[step.name]

    def shown(self) -> list[tuple[StepSummary, StepTimeline]]:
        """Those of its steps that have a place in a chart."""
        return list(self.steps())[:_MOST_SERIES]


def charts_of(drawn: Drawn) -> Iterator[Chart]:
    """The charts of a run, the most telling first."""
    steps = drawn.shown()
    busiest = max(steps, key=lambda one: one[0].measured) if steps else None
    if busiest:
        yield percentile_curve({step.name: (step, over_time) for step, over_time in steps}, drawn.latency)
        yield over_time_of(drawn, busiest[1])
    yield rates_of(drawn)
    yield under_way_of(drawn)
    if busiest:
        yield spent_of(*busiest)


def percentile_curve(
    series: Mapping[str, tuple[StepSummary, StepTimeline]],
    latency: str,
    what: str = "step",
    title: str = "Latency by percentile",
) -> Chart:
    """Latency by percentile, of each of some series, up to the highest percentile that has an interval."""
    curve, band, rows = [], [], []
    for name, (step, over_time) in series.items():
        with_interval = [one for one in STATISTICS if one in REPORTED and _interval(step.headline_ms, one)]
        highest = max((REPORTED[one] for one in with_interval), default=0.5)
        share = 1 - np.geomspace(1.0, 1 - highest, _CURVE_POINTS)
        found = over_time.distribution.quantiles_ms(share)
        curve += [
            {"series": name, "beyond": 1 / (1 - q), "percentile": f"p{100 * q:.4g}", "ms": value}
            for q, value in zip(share.tolist(), found.tolist(), strict=True)
        ]
        for one in with_interval:
            value, interval = getattr(step.headline_ms, one).value, _interval(step.headline_ms, one)
            assert interval is not None
            beyond = 1 / (1 - REPORTED[one])
            band.append({"series": name, "beyond": beyond, "ms": value, "low": interval[0], "high": interval[1]})
            rows.append((name, percentile_name(one), *map(plain, (value, *interval))))
    names = list(series)
    wide = where_wide([*(row["ms"] for row in curve), *(row["low"] for row in band), *(row["high"] for row in band)])
    x = {
        "field": "beyond",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False},
        "axis": {
            "title": "percentile",
            "values": [1, 2, 10, 20, 100, 1000],
            "labelExpr": "datum.value == 1 ? 'least' : 'p' + format(100 * (1 - 1 / datum.value), '.4~g')",
        },
    }
    colour = colour_by("series", names)
    latency_axis = quantity("ms", f"{latency} ms", wide)
    layers: list[Spec] = [
        {
            "data": data(band),
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {
                "x": x,
                "y": quantity("low", f"{latency} ms", wide),
                "y2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "data": data(curve),
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {
                "x": x,
                "y": latency_axis,
                "color": colour,
                "tooltip": tooltip(series=what, percentile="percentile", ms="ms"),
            },
        },
        {
            "data": data(band),
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {
                "x": x,
                "y": latency_axis,
                "color": colour,
                "tooltip": tooltip(series=what, ms="ms", low="95% from", high="to"),
            },
        },
    ]
    return Chart(
        title,
        f"The {latency} that so many requests do not exceed, as far as an interval of 95% exists; the band is that "
        "interval.",
        layered(layers),
        (what, "percentile", "ms", "95% from", "to"),
        tuple(rows),
    )


def _interval(latency: LatencySummary, name: str) -> tuple[float, float] | None:
    found: tuple[float, float] | None = getattr(latency, name).ci95
    return found


def over_time_of(drawn: Drawn, step: StepTimeline) -> Chart:
    """How latencies lie over time, and two percentiles of them."""
    width_s = drawn.timeline.width_s
    edges_ms, cells = step.density(_MOST_ROWS)
    ratio = edges_ms[1] / edges_ms[0]
    middles = (drawn.edges_s[:-1] + drawn.edges_s[1:]) / 2
    lines, found = [], {}
    for name, least in _LEAST_OF.items():
        found[name] = step.percentiles_ms(REPORTED[name], least)
        lines += [
            {"s": at, "ms": value, "of": name}
            for at, value in zip(middles.tolist(), found[name].tolist(), strict=True)
            if not np.isnan(value)
        ]
    x = _seconds("from")
    y = quantity("low", f"{drawn.latency} ms", edges_ms.tolist())
    layers: list[Spec] = [
        *_background(drawn),
        {
            "data": _cells(cells),
            "transform": [
                {"calculate": f"{width_s} * datum.part", "as": "from"},
                {"calculate": f"{width_s} * (datum.part + 1)", "as": "to"},
                {"calculate": f"{edges_ms[0]} * pow({ratio}, datum.row)", "as": "low"},
                {"calculate": f"{edges_ms[0]} * pow({ratio}, datum.row + 1)", "as": "high"},
            ],
            "mark": {"type": "rect", "color": MAIN},
            "encoding": {
                "x": x,
                "x2": {"field": "to"},
                "y": y,
                "y2": {"field": "high"},
                "opacity": {
                    "field": "requests",
                    "type": "quantitative",
                    "scale": {"type": "sqrt", "range": [0.12, 0.95]},
                    "legend": None,
                },
                "tooltip": tooltip(requests="requests", low="from ms", high="to ms"),
            },
        },
        {
            "data": data(lines),
            "mark": {"type": "line", "strokeWidth": 1.6},
            "encoding": {
                "x": _seconds("s"),
                "y": quantity("ms", f"{drawn.latency} ms", edges_ms.tolist()),
                "color": colour_by("of", list(_LEAST_OF), (INK, TAIL)),
                "tooltip": tooltip(of="percentile", s="at s", ms="ms"),
            },
        },
        *_errors(drawn),
        *_rules(drawn),
    ]
    rows = [
        (plain(at), *("-" if np.isnan(found[name][part]) else plain(found[name][part]) for name in _LEAST_OF))
        for part, at in _thinned(middles)
    ]
    said = f" of {step.name}" if len(drawn.timeline.steps) > 1 else ""
    return Chart(
        f"Latency over time{said}",
        f"Where the {drawn.latency} of requests lies, by when they were due: the darker, the more. Lines are the "
        "median and p99 of parts of the time that have enough requests for one; a shaded time is the warm-up"
        + ("; red marks are failures" if drawn.failed else "")
        + (f"; rules are what happened to the server: {_told(drawn)}" if drawn.marks else "")
        + ".",
        layered(layers),
        ("at s", *(f"{name} ms" for name in _LEAST_OF)),
        tuple(rows),
    )


def rates_of(drawn: Drawn) -> Chart:
    """The rate that was offered, that which was achieved, and failures, over time."""
    width_s = drawn.timeline.width_s
    rates = {
        "offered": drawn.over(step.scheduled for step in drawn.timeline.steps) / width_s,
        "achieved": drawn.over(step.succeeded for step in drawn.timeline.steps) / width_s,
    }
    if drawn.failed:
        rates["failed"] = drawn.over(drawn.failed.values()) / width_s
    colours = {"offered": MUTED, "achieved": MAIN, "failed": FAULT}
    return Chart(
        "Throughput over time",
        "Requests that were due (offered), and successes that ended (achieved), a second.",
        _by_part(drawn, rates, "requests/s", [colours[name] for name in rates]),
        ("from s", *(f"{name}/s" for name in rates)),
        _rows(drawn, rates),
    )


def under_way_of(drawn: Drawn) -> Chart:
    """How many requests were under way over time."""
    found = {"under way": drawn.timeline.under_way}
    return Chart(
        "Requests under way",
        "Requests that were sent and whose answer had not come, in the mean of each part of the time.",
        {**_by_part(drawn, found, "requests under way", SERIES[2:]), "height": 140},
        ("from s", "under way"),
        _rows(drawn, found),
    )


def _by_part(drawn: Drawn, found: Mapping[str, NDArray[np.float64]], title: str, colours: Sequence[str]) -> Spec:
    """Lines that have a value for each part of the time, by their names."""
    values = [
        {"s": at, "value": value, "of": name}
        for name, by_part in found.items()
        for at, value in zip(drawn.edges_s[:-1].tolist(), by_part.tolist(), strict=True)
    ]
    line: Spec = {
        "data": data(values),
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.6},
        "encoding": {
            "x": _seconds("s"),
            "y": quantity("value", title),
            "color": colour_by("of", list(found), colours),
            "tooltip": tooltip(of="of", s="from s", value=title),
        },
    }
    return layered([*_background(drawn), line, *_rules(drawn)])


def _rows(drawn: Drawn, found: Mapping[str, NDArray[np.float64]]) -> tuple[tuple[str, ...], ...]:
    """The same as a table."""
    return tuple(
        (plain(at), *(plain(by_part[part]) for by_part in found.values())) for part, at in _thinned(drawn.edges_s[:-1])
    )


def spent_of(step: StepSummary, over_time: StepTimeline) -> Chart:
    """What the time of requests went on: of all, of those in the middle, of the slowest."""
    distribution = over_time.distribution
    few = distribution.count < _LEAST_OF_SLOWEST
    spent = {
        name: distribution.spent_between_ms(*between)
        for name, between in _SPENT_OF.items()
        if not (few and name == "slowest 1%")
    }
    values = [
        {"of": name, "part": part, "ms": value, "order": order}
        for name, parts in spent.items()
        for order, (part, value) in enumerate(zip(SPENT, parts.tolist(), strict=True))
    ]
    spec: Spec = {
        "data": data(values),
        "mark": {"type": "bar", "height": {"band": 0.7}},
        "encoding": {
            "y": {"field": "of", "type": "nominal", "sort": list(spent), "axis": {"title": None, "labelLimit": 120}},
            "x": quantity("ms", "ms a request, in the mean"),
            "color": colour_by("part", SPENT, (WARN, FAULT, MAIN, SERIES[2])),
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": tooltip(of="requests", part="spent", ms="ms"),
        },
        "height": 44 * len(spent),
    }
    beside = (
        " The first two lie before a request is sent: in a closed loop they are not in its latency."
        if step.headline == "service"
        else ""
    )
    return Chart(
        f"Where the time goes, {step.name}",
        "What the time of a request is spent on, in the mean of all measured successes, of those in the middle, and of "
        f"the slowest.{beside}",
        spec,
        ("requests", *(f"{part}, ms" for part in SPENT)),
        tuple((name, *map(plain, parts)) for name, parts in spent.items()),
    )


def _seconds(field: str) -> Spec:
    scale = {"nice": False, "zero": True}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"title": "seconds", "grid": False}}


def _background(drawn: Drawn) -> list[Spec]:
    """The warm-up, shaded."""
    end_s = drawn.run.warmup_s - drawn.timeline.start_s
    if drawn.run.warmup_s <= 0:
        return []
    return [
        {
            "data": data([{"from": 0.0, "to": end_s}]),
            "mark": {"type": "rect", "color": GRID, "opacity": 0.6},
            "encoding": {"x": _seconds("from"), "x2": {"field": "to"}},
        }
    ]


def _cells(cells: NDArray[np.int64]) -> Spec:
    """Cells of the density, in few bytes."""
    lines = [f"{part},{row},{count}" for part, row, count in cells.tolist()]
    numbers = dict.fromkeys(("part", "row", "requests"), "number")
    return {"values": "\n".join(["part,row,requests", *lines]), "format": {"type": "csv", "parse": numbers}}


def _errors(drawn: Drawn) -> list[Spec]:
    """A mark at the top for each part of the time in which requests failed."""
    if not drawn.failed:
        return []
    values = [
        {"s": drawn.edges_s[part] + drawn.timeline.width_s / 2, "kind": kind, "failures": count}
        for kind, by_part in drawn.failed.items()
        for part, count in enumerate(by_part.tolist())
        if count
    ]
    return [
        {
            "data": data(values),
            "mark": {"type": "point", "shape": "triangle-down", "filled": True, "color": FAULT, "opacity": 0.9},
            "encoding": {
                "x": _seconds("s"),
                "y": {"value": 6},
                "size": {
                    "field": "failures",
                    "type": "quantitative",
                    "scale": {"range": [30, 160]},
                    "legend": None,
                },
                "tooltip": tooltip(kind="failed", failures="requests", s="at s"),
            },
        }
    ]


def _rules(drawn: Drawn) -> list[Spec]:
    """What happened to the server, each with a rule."""
    if not drawn.marks:
        return []
    values = [{"s": mark.at_s - drawn.timeline.start_s, "what": mark.what} for mark in drawn.marks]
    rule: Spec = {
        "data": data(values),
        "mark": {"type": "rule", "color": WARN, "strokeDash": [4, 3]},
        "encoding": {"x": _seconds("s"), "tooltip": tooltip(what="server", s="at s")},
    }
    return [rule]


def _told(drawn: Drawn) -> str:
    """What happened to the server, and when, as far as there is room."""
    told = [f"{mark.what} at {mark.at_s - drawn.timeline.start_s:.1f} s" for mark in drawn.marks[:_MOST_TOLD]]
    more = len(drawn.marks) - len(told)
    return ", ".join([*told, f"and {more} more"] if more else told)


def _thinned(times: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    """Some of `times`, evenly, each with its place."""
    every = max(1, -(-len(times) // _MOST_TABLE_ROWS))
    for place in range(0, len(times), every):
        yield place, float(times[place])
