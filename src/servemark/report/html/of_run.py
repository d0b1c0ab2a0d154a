"""The charts of one run: how its latencies are distributed, what they and the load were over time, where time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from servemark.report.html.charts import (
    FAULT,
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
)
from servemark.report.html.over_time import (
    Drawn,
    background,
    lines_by_part,
    rows_of,
    rules,
    seconds,
    thinned,
    told,
)
from servemark.report.html.percentiles import Curve, curve_of, percentile_chart
from servemark.report.words import plain
from servemark.result import StepSummary
from servemark.stats.percentiles import REPORTED
from servemark.stats.timeline import SPENT, StepTimeline

#: A part of the time with fewer requests has no such percentile.
_LEAST_OF = {"p50": 5, "p99": 100}
#: Rows of the density.
_MOST_ROWS = 48
#: What is shown apart of where time goes: names of parts of the requests, by how long they took.
_SPENT_OF = {"all": (0.0, 1.0), "middle 10%": (0.45, 0.55), "slowest 10%": (0.9, 1.0), "slowest 1%": (0.99, 1.0)}
_LEAST_OF_SLOWEST = 1000


def charts_of(drawn: Drawn) -> Iterator[Chart]:
    """The charts of a run, the most telling first."""
    busiest = max(drawn.steps(), key=lambda one: one[0].measured, default=None)
    if busiest:
        by_percentile = percentile_chart(curves_of(drawn), drawn.latency)
        if by_percentile is not None:
            yield by_percentile
        yield over_time_of(drawn, busiest[1])
    yield rates_of(drawn)
    yield under_way_of(drawn)
    if busiest:
        yield spent_of(*busiest)


def curves_of(drawn: Drawn) -> dict[str, Curve]:
    """The percentiles of each step that has a place in a chart."""
    return {step.name: curve_of(step, over_time) for step, over_time in drawn.shown()}


def over_time_of(drawn: Drawn, step: StepTimeline) -> Chart:
    """How latencies lie over time, and two percentiles of them."""
    edges_ms, cells = step.density(_MOST_ROWS)
    middles = (drawn.edges_s[:-1] + drawn.edges_s[1:]) / 2
    lines, found = [], {}
    for name, least in _LEAST_OF.items():
        found[name] = step.percentiles_ms(REPORTED[name], least)
        lines += [
            {"s": at, "ms": value, "of": name}
            for at, value in zip(middles.tolist(), found[name].tolist(), strict=True)
            if not np.isnan(value)
        ]
    log_of = [] if (cells[:, 1] < 0).any() else edges_ms.tolist()
    layers: list[Spec] = [
        *background(drawn),
        _density(drawn, edges_ms, cells, log_of),
        {
            "data": data(lines),
            "mark": {"type": "line", "strokeWidth": 1.6},
            "encoding": {
                "x": seconds("s"),
                "y": quantity("ms", f"{drawn.latency} ms", log_of),
                "color": colour_by("of", list(_LEAST_OF), (INK, TAIL)),
                "tooltip": tooltip(of="percentile", s="at s", ms="ms"),
            },
        },
        *_errors(drawn),
        *rules(drawn),
    ]
    rows = [
        (plain(at), *("-" if np.isnan(found[name][part]) else plain(found[name][part]) for name in _LEAST_OF))
        for part, at in thinned(middles)
    ]
    said = f" of {step.name}" if len(drawn.timeline.steps) > 1 else ""
    return Chart(
        f"Latency over time{said}",
        f"Where the {drawn.latency} of requests lies, by when they were due: the darker, the more. Lines are the "
        "median and p99 of parts of the time that have enough requests for one; a shaded time is the warm-up"
        + ("; red marks are failures" if drawn.failed else "")
        + (f"; rules are what happened to the server: {told(drawn)}" if drawn.marks else "")
        + ".",
        layered(layers),
        ("at s", *(f"{name} ms" for name in _LEAST_OF)),
        tuple(rows),
    )


def _density(drawn: Drawn, edges_ms: NDArray[np.float64], cells: NDArray[np.int64], log_of: Sequence[float]) -> Spec:
    """A layer of cells, part of the time by latency, the darker the more requests are in one."""
    width_s = drawn.timeline.width_s
    ratio = edges_ms[1] / edges_ms[0]
    x = seconds("from")
    y = quantity("low", f"{drawn.latency} ms", log_of)
    return {
        "data": _cells(cells),
        "transform": [
            {"calculate": f"{width_s} * datum.part", "as": "from"},
            {"calculate": f"{width_s} * (datum.part + 1)", "as": "to"},
            {"calculate": f"datum.row < 0 ? 0 : {edges_ms[0]} * pow({ratio}, datum.row)", "as": "low"},
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
    }


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
        lines_by_part(drawn, rates, "requests/s", [colours[name] for name in rates]),
        ("from s", *(f"{name}/s" for name in rates)),
        rows_of(drawn, rates),
    )


def under_way_of(drawn: Drawn) -> Chart:
    """How many requests were under way over time."""
    found = {"under way": drawn.timeline.under_way}
    return Chart(
        "Requests under way",
        "Requests that were sent and whose answer had not come, in the mean of each part of the time.",
        {**lines_by_part(drawn, found, "requests under way", SERIES[2:]), "height": 140},
        ("from s", "under way"),
        rows_of(drawn, found),
    )


def spent_of(step: StepSummary, over_time: StepTimeline) -> Chart:
    """What the time of requests went on: of all, of those in the middle, of the slowest."""
    few = over_time.distribution.count < _LEAST_OF_SLOWEST
    spent = {
        name: over_time.spent_between_ms(*between)
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
                "x": seconds("s"),
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
