"""The charts of what the runs of a benchmark show together: a sweep, batch settings, a search, stages of a profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from servemark.options.objectives import parse_objective
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
    where_wide,
)
from servemark.report.words import plain
from servemark.result import BenchmarkResult, Capacity, RunResult, Stage, StepSummary

_OUTCOMES = {"met": SERIES[2], "undecided": WARN, "missed": FAULT, "INVALID": MUTED}
#: A share that is none at all is drawn at this part of what is allowed.
_LEAST_OF_ALLOWED = 0.01


def charts_of(benchmark: BenchmarkResult) -> Iterator[Chart]:
    """The charts that its runs make together."""
    analysis = benchmark.analysis
    if benchmark.capacity is not None:
        yield capacity_chart(benchmark.capacity)
        return
    by_place = {place: (run, run.steps[0]) for place, run in benchmark.answering.items() if run.point and run.steps}
    points = list(by_place.values())
    names = tuple(points[0][0].point) if points else ()
    if len(points) > 1 and len(names) == 1:
        yield sweep(points, names[0])
    if len(points) > 1 and len(names) > 1:
        front = set((analysis.pareto_runs if analysis else None) or ())
        yield from heat_maps(points, names)
        yield pareto([(*point, place in front) for place, point in by_place.items()])
    if analysis is not None and analysis.stages and len(benchmark.runs) == 1:
        yield stages_chart(analysis.stages)


def sweep(points: list[tuple[RunResult, StepSummary]], name: str) -> Chart:
    """Throughput against latency, a point each."""
    rows: list[tuple[str, ...]] = []
    values: list[Spec] = []
    for run, step in points:
        rate, said = step.throughput_per_s, str(run.point[name])
        for one, latency in (("p50", step.headline_ms.p50), ("p99", step.headline_ms.p99)):
            if rate.value is not None and latency.value is not None:
                low, high = latency.ci95 or (latency.value, latency.value)
                values.append(
                    {"rate": rate.value, "ms": latency.value, "low": low, "high": high, "of": one, "point": said}
                )
        rows.append(
            (said, *(plain(value) for value in (rate.value, step.headline_ms.p50.value, step.headline_ms.p99.value)))
        )
    wide = where_wide(row[name] for row in values for name in ("ms", "low", "high"))
    x, y = quantity("rate", "requests/s"), quantity("ms", "ms", wide)
    colour = colour_by("of", ("p50", "p99"), (MAIN, TAIL))
    encoding = {"x": x, "y": y, "color": colour}
    spec: Spec = {
        "data": data(values),
        "layer": [
            {"mark": {"type": "line", "opacity": 0.6}, "encoding": {**encoding, "order": {"field": "order"}}},
            {"mark": {"type": "rule"}, "encoding": {**encoding, "y": {**y, "field": "low"}, "y2": {"field": "high"}}},
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {**encoding, "tooltip": tooltip(point=name, of="percentile", rate="per s", ms="ms")},
            },
            {
                "mark": {"type": "text", "dy": -10, "color": INK},
                "encoding": {"x": x, "y": y, "text": {"field": "point"}},
            },
        ],
    }
    for order, value in enumerate(values):
        value["order"] = order
    spec["data"] = data(values)
    return Chart(
        f"Throughput and latency by {name}",
        f"Each point is a run with so many {name}, as written beside it: how many requests a second were answered, and "
        "how long they took; bars are intervals of 95%.",
        spec,
        (name, "requests/s", "p50 ms", "p99 ms"),
        tuple(rows),
    )


def heat_maps(points: list[tuple[RunResult, StepSummary]], names: tuple[str, ...]) -> Iterator[Chart]:
    """The throughput of each pair of the first two settings: a chart for each of what the others were."""
    by_rest: dict[str, list[tuple[RunResult, StepSummary]]] = {}
    for run, step in points:
        rest = ", ".join(f"{name} {run.point[name]}" for name in names[2:])
        by_rest.setdefault(rest, []).append((run, step))
    rates = [step.throughput_per_s.value or 0.0 for _, step in points]
    for rest, some in by_rest.items():
        yield heat_map(some, names[:2], (min(rates), max(rates)), rest)


def heat_map(
    points: list[tuple[RunResult, StepSummary]], names: tuple[str, ...], rates: tuple[float, float], where: str
) -> Chart:
    """The throughput of each pair of settings, in shades of all `rates` from the least to the most."""
    values: list[Spec] = [
        {"x": str(run.point[names[0]]), "y": str(run.point[names[1]]), "rate": step.throughput_per_s.value or 0.0}
        for run, step in points
    ]
    for value in values:
        value["said"] = plain(value["rate"])
    orders = [list(dict.fromkeys(str(run.point[name]) for run, _ in points)) for name in names]
    encoding: Spec = {
        "x": {"field": "x", "type": "ordinal", "sort": orders[0], "axis": {"title": names[0], "labelAngle": 0}},
        "y": {"field": "y", "type": "ordinal", "sort": orders[1], "axis": {"title": names[1]}},
    }
    opacity: Spec = {
        "field": "rate",
        "type": "quantitative",
        "scale": {"domain": list(rates), "range": [0.1, 0.75], "zero": False},
        "legend": None,
    }
    shown = tooltip(x=names[0], y=names[1], rate="requests/s")
    spec: Spec = {
        "data": data(values),
        "encoding": encoding,
        "layer": [
            {"mark": {"type": "rect", "color": MAIN}, "encoding": {"opacity": opacity, "tooltip": shown}},
            {"mark": {"type": "text", "color": INK}, "encoding": {"text": {"field": "said"}}},
        ],
    }
    return Chart(
        ", ".join(filter(None, ("Throughput by batch settings", where))),
        "Requests a second of each pair of settings: the darker, the more.",
        spec,
        (*names, "requests/s"),
        tuple((str(value["x"]), str(value["y"]), str(value["said"])) for value in values),
    )


def pareto(points: list[tuple[RunResult, StepSummary, bool]]) -> Chart:
    """Throughput against p99, and the settings that no others beat in both."""
    values: list[Spec] = [
        {
            "rate": step.throughput_per_s.value,
            "ms": step.headline_ms.p99.value,
            "point": run.place,
            "best": "not beaten" if best else "beaten",
        }
        for run, step, best in points
        if step.throughput_per_s.value is not None and step.headline_ms.p99.value is not None
    ]
    wide = where_wide(row["ms"] for row in values)
    x, y = quantity("rate", "requests/s"), quantity("ms", "p99 ms", wide)
    front = sorted((value for value in values if value["best"] == "not beaten"), key=lambda value: value["rate"] or 0.0)
    spec: Spec = {
        "layer": [
            {"data": data(front), "mark": {"type": "line", "color": MAIN}, "encoding": {"x": x, "y": y}},
            {
                "data": data(values),
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour_by("best", ("not beaten", "beaten"), (MAIN, MUTED)),
                    "tooltip": tooltip(point="settings", rate="requests/s", ms="p99 ms"),
                },
            },
        ]
    }
    return Chart(
        "Which settings nothing beats",
        "The p99 against the throughput of all settings; those on the line are beaten by no other in both.",
        spec,
        ("settings", "requests/s", "p99 ms", ""),
        tuple((str(row["point"]), plain(row["rate"]), plain(row["ms"]), str(row["best"])) for row in values),
    )


def capacity_chart(capacity: Capacity) -> Chart:
    """The probes of a search: how much of what the objective allows each load used."""
    load = "requests/s" if capacity.by == "rate" else "threads"
    values, rows = _probes(capacity)
    return Chart(
        "The probes of the search",
        "Each point is a probe: the share of its requests beyond the objective's limit, as a part of the share that it "
        "allows, by load. Above the dashed line the objective is missed; the solid line is the capacity, with its "
        f"interval of 90%. A share of less than {_LEAST_OF_ALLOWED:.0%} of what is allowed stands there.",
        layered(_capacity_layers(capacity, load, values)),
        ("probe", load, "condition", "beyond", "allowed", "outcome"),
        tuple(rows),
    )


def _probes(capacity: Capacity) -> tuple[list[Spec], list[tuple[str, ...]]]:
    """What each probe saw of each condition, as it is drawn, and as rows of a table."""
    values: list[Spec] = []
    rows: list[tuple[str, ...]] = []
    for number, probe in enumerate(capacity.probes, 1):
        for text, seen in probe.conditions.items():
            (condition,) = parse_objective(text)
            allowed = 1 - condition.least_share
            used = seen.share / allowed if allowed > 0 else 0.0
            outcome = "INVALID" if not probe.valid else "falls behind" if probe.falls_behind else probe.outcome
            values.append(
                {
                    "load": probe.load,
                    "used": max(used, _LEAST_OF_ALLOWED),
                    "share": f"{seen.share:.3%} of {seen.requests:,}",
                    "outcome": probe.outcome if probe.valid else "INVALID",
                    "said": f"probe {number}: {outcome}",
                    "condition": text,
                }
            )
            said = plain(probe.load) if capacity.by == "rate" else f"{probe.load:g}"
            rows.append((str(number), said, text, f"{seen.share:.3%}", f"{allowed:.3g}", outcome))
    return values, rows


def _capacity_layers(capacity: Capacity, load: str, values: Sequence[Spec]) -> list[Spec]:
    """The capacity and its interval, the limit, and the probes, which are `values`."""
    x = quantity("load", load)
    y = quantity("used", "share beyond the limit, of what is allowed", [1.0, *(row["used"] for row in values)])
    estimate = capacity.estimate
    layers: list[Spec] = []
    if estimate.ci90:
        between = data([{"from": estimate.ci90[0], "to": estimate.ci90[1]}])
        encoding: Spec = {"x": {**x, "field": "from"}, "x2": {"field": "to"}}
        layers.append({"data": between, "mark": {"type": "rect", "color": MAIN, "opacity": 0.12}, "encoding": encoding})
    if estimate.value is not None:
        layers.append(
            {
                "data": data([{"load": estimate.value}]),
                "mark": {"type": "rule", "color": MAIN, "strokeWidth": 2},
                "encoding": {"x": x},
            }
        )
    layers += [
        {
            "data": data([{"used": 1.0}]),
            "mark": {"type": "rule", "color": FAULT, "strokeDash": [5, 3]},
            "encoding": {"y": y},
        },
        {
            "data": data(values),
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.9},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour_by("outcome", list(_OUTCOMES), list(_OUTCOMES.values())),
                "shape": {"field": "condition", "type": "nominal", "legend": None},
                "tooltip": tooltip(said="probe", condition="condition", load=load, share="beyond"),
            },
        },
    ]
    return layers


def stages_chart(stages: tuple[Stage, ...]) -> Chart:
    """What each stage of a profile of rates offered and achieved, and how long requests took."""
    start_s = stages[0].start_s
    values = [
        {"from": stage.start_s - start_s, "to": stage.end_s - start_s, "value": value, "of": name}
        for stage in stages
        for name, value in (("offered/s", stage.offered_per_s), ("achieved/s", stage.achieved_per_s))
    ]
    latencies: list[Spec] = [
        {"at": (stage.start_s + stage.end_s) / 2 - start_s, "ms": value, "of": name}
        for stage in stages
        for name, value in (("p50 ms", stage.response_ms.p50), ("p99 ms", stage.response_ms.p99))
        if value is not None
    ]
    return Chart(
        "Stages of the rate",
        "The rate that each stage offered and achieved (bars, left), and the response of its requests (lines, right).",
        _stages_spec(values, latencies),
        ("from s", "to s", "offered/s", "achieved/s", "p50 ms", "p99 ms"),
        tuple(
            (
                f"{stage.start_s - start_s:g}",
                f"{stage.end_s - start_s:g}",
                plain(stage.offered_per_s),
                plain(stage.achieved_per_s),
                plain(stage.response_ms.p50),
                plain(stage.response_ms.p99),
            )
            for stage in stages
        ),
    )


def _stages_spec(rates: Sequence[Spec], latencies: Sequence[Spec]) -> Spec:
    """Rates as bars, by the axis at the left, and latencies as lines, by that at the right."""
    axis = {"title": "seconds", "grid": False}
    x: Spec = {"field": "from", "type": "quantitative", "axis": axis}
    names = ("offered/s", "achieved/s", "p50 ms", "p99 ms")
    colour = colour_by("of", names, (MUTED, MAIN, INK, TAIL))
    right = {"title": "ms", "orient": "right", "grid": False}
    wide = where_wide(row["ms"] for row in latencies)
    return {
        "layer": [
            {
                "data": data(rates),
                "mark": {"type": "rule", "strokeWidth": 3},
                "encoding": {
                    "x": x,
                    "x2": {"field": "to"},
                    "y": quantity("value", "requests/s"),
                    "color": colour,
                    "tooltip": tooltip(of="rate", value="per s"),
                },
            },
            {
                "data": data(latencies),
                "mark": {"type": "line", "point": True},
                "encoding": {
                    "x": {**x, "field": "at"},
                    "y": {**quantity("ms", "ms", wide), "axis": right},
                    "color": colour,
                    "tooltip": tooltip(of="latency", ms="ms"),
                },
            },
        ],
        "resolve": {"scale": {"y": "independent"}},
    }
