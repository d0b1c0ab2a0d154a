"""The page of a comparison: the answer, what it is made of, and the curves of all results on the same axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from servemark.printable import printable, printable_in
from servemark.report.comparison import answer_in_words, comparison_in_words, details_of_comparison
from servemark.report.html.charts import (
    GRID,
    MAIN,
    MUTED,
    TAIL,
    Chart,
    Spec,
    colour_by,
    data,
    layered,
    tooltip,
)
from servemark.report.html.drawn import Room, drawn_of
from servemark.report.html.page import Answer, Page, Section, blocks_of
from servemark.report.html.percentiles import Curve, curve_of, percentile_chart, without_curve
from servemark.report.layout import texts_of
from servemark.report.recorded import DRAWN_IN_COMPARISONS
from servemark.report.terminal import legend_of
from servemark.report.words import plain
from servemark.result import ComparedBenchmark, Comparison, Result, matchable

#: What each answer is, as an objective would have it.
_OUTCOMES = {"fails more": "missed", "slower": "missed", "undecided": "undecided"}
_NAMES = {"throughput_per_s": "rate", "events_per_s": "events/s"}


@dataclass(frozen=True)
class Side:
    """A result that is compared: what it is called on the page, and its folder."""

    label: str
    result: Result
    folder: Path


def comparison_page(base: Side, others: Sequence[tuple[Side, Comparison]]) -> Page:
    """The page of `base` against each of `others`; records that cannot be read are said there."""
    sides = [side for side, _ in others]
    names = ", ".join(side.label for side in sides)
    return Page(
        title=printable(f"{base.label} and {names}: servemark"),
        kind="comparison",
        sections=(
            *(_answered(base, side, found) for side, found in others),
            *_curves(base, sides),
        ),
        footer=tuple(
            printable(f"{side.label}: servemark {side.result.tool.version}, {side.result.started_at}, {side.folder}")
            for side in (base, *sides)
        ),
    )


def _answered(base: Side, side: Side, comparison: Comparison) -> Section:
    """How one result compares with the base."""
    comparison = printable_in(comparison)
    details = list(details_of_comparison(comparison))
    return Section(
        title=printable(f"{side.label} against {base.label}"),
        answers=(answer_of(comparison),),
        charts=tuple(chart for one in comparison.benchmarks for chart in _trials(one, comparison, base, side)),
        summary=blocks_of([*details, *legend_of(texts_of(details))]),
    )


def answer_of(comparison: Comparison) -> Answer:
    """What a comparison says in a sentence."""
    return Answer(comparison_in_words(comparison), _OUTCOMES.get(comparison.answer, "met"))


def _trials(one: ComparedBenchmark, comparison: Comparison, base: Side, side: Side) -> Iterator[Chart]:
    """Each trial of either side, as a change from the base's median; nothing where nothing is judged."""
    told = [change for change in one.changes if change.answer is not None and change.change_share is not None]
    judged = [change for change in told if change.base and median(change.base)]
    if not judged:
        return
    labels = [printable(name) for name in (("A", "B") if one.by_block else (base.label, side.label))]
    values, rows = [], []
    for change in judged:
        where = "".join(f" ({key} {value})" for key, value in change.point.items())
        name = f"{change.step} {_NAMES.get(change.figure, change.figure.removesuffix('_ms'))}{where}"
        middle = median(change.base)
        for label, found in zip(labels, (change.base, change.new), strict=True):
            for number, value in enumerate(found, 1):
                share = 100 * (value / middle - 1)
                values.append({"figure": name, "of": label, "percent": share, "value": value})
                rows.append((name, label, str(number), plain(value), f"{share:+.1f}"))
    names = list(dict.fromkeys(str(value["figure"]) for value in values))
    limit = 100 * comparison.threshold_share
    axis: Spec = {"title": "change from the median of the base, %", "grid": True}
    x: Spec = {"field": "percent", "type": "quantitative", "axis": axis, "scale": {"zero": True}}
    y: Spec = {"field": "figure", "type": "nominal", "sort": names, "axis": {"title": None, "labelLimit": 180}}
    layers: list[Spec] = [
        {
            "data": data([{"from": -limit, "to": limit}]),
            "mark": {"type": "rect", "color": GRID, "opacity": 0.6},
            "encoding": {"x": {**x, "field": "from"}, "x2": {"field": "to"}},
        },
        {
            "data": data([{"percent": 0.0}]),
            "mark": {"type": "rule", "color": MUTED},
            "encoding": {"x": x},
        },
        {
            "data": data(values),
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.75},
            "encoding": {
                "x": x,
                "y": y,
                "yOffset": {"field": "of", "type": "nominal", "sort": labels},
                "color": colour_by("of", labels, (MAIN, TAIL)),
                "tooltip": tooltip(figure="figure", of="of", value="value", percent="%"),
            },
        },
    ]
    yield Chart(
        f"Each {'block' if one.by_block else 'trial'} of both, {one.name}",
        f"A point is the value of a {'block' if one.by_block else 'trial'}, as a change from the median of the base. "
        f"What lies within the shaded {limit:g}% is no difference. {answer_in_words(one).capitalize()}.",
        {**layered(layers), "height": 70 * len(names) + 30},
        ("figure", "of", "number", "value", "%"),
        tuple(rows),
    )


def _curves(base: Side, others: Sequence[Side]) -> Iterator[Section]:
    """A section for each benchmark that the base and another have: the percentiles of all, on the same axes."""
    sides = [base, *others]
    matched = {side.label: matchable(side.result) for side in sides}
    of_base = matched[base.label]
    room = Room([len(one.answering) for of in matched.values() for name, one in of.items() if name in of_base])
    for name in of_base:
        found: dict[str, dict[str, Curve]] = {}
        notes: list[str] = []
        latency = "response"
        for side in sides:
            raw = matched[side.label].get(name)
            if raw is None:
                continue
            drawn, lacking = drawn_of(printable_in(raw), raw, side.folder, room, DRAWN_IN_COMPARISONS)
            notes += [f"{side.label}: {line}" for line in lacking]
            for one in drawn:
                latency = one.latency
                for step, over_time in one.steps():
                    where = ", ".join(filter(None, (step.name, one.run.place)))
                    found.setdefault(where, {})[printable(side.label)] = curve_of(step, over_time)
        charts = []
        for where, series in found.items():
            if len(series) > 1:
                title = f"Latency by percentile, {where}"
                chart, why = percentile_chart(series, latency, "result", title), without_curve(series, title)
                charts += [chart] if chart else []
                notes += [why] if why else []
        if charts or notes:
            yield Section(title=printable(name), answers=(), charts=tuple(charts), notes=tuple(map(printable, notes)))
