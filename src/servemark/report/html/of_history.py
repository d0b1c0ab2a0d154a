"""The page of a history: how a figure of each series went, and where it changed."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.history.trends import Series
from servemark.printable import printable
from servemark.report.history import facts_of, title_of, verdict_of
from servemark.report.html.charts import INK, MAIN, WARN, Chart, Spec, data, layered, tooltip
from servemark.report.html.page import Answer, Page, Section, blocks_of
from servemark.report.words import decimal, digits_of
from servemark.stats.change_points import LEAST_N

_UNITS = {"rate": "per s"}
#: About so many results have a label below the axis.
_MOST_TICKS = 10


def history_page(series: Sequence[Series], statistic: str) -> Page:
    """The page of `statistic` (p50, p99 or rate) of each of some series."""
    return Page(
        title=f"{statistic} over time: servemark",
        kind=f"history of {statistic}",
        sections=tuple(_section(one, statistic) for one in series),
    )


def _section(series: Series, statistic: str) -> Section:
    last = series.changes[-1] if series.changes else None
    outcome = "" if last is None else {"slower": "missed", "faster": "met"}[verdict_of(last, statistic)]
    facts = list(facts_of(series, statistic))
    changed = [fact.text.plain for fact in facts if fact.label == "changed"]
    none = "no change was found" if len(series.members) >= LEAST_N else f"fewer than {LEAST_N} results tell no change"
    return Section(
        title=title_of(series, statistic),
        answers=(Answer(f"changed {changed[-1]}" if changed else none, outcome),),
        measured=(printable("; ".join(filter(None, (series.point, series.setup, series.machine)))),),
        charts=(_chart(series, statistic),),
        summary=blocks_of(facts),
    )


def _chart(series: Series, statistic: str) -> Chart:
    """Each result with its interval; the median between changes."""
    values, rows = [], []
    for place, member in enumerate(series.members, 1):
        low, high = member.figure.ci95 or (member.value, member.value)
        date = member.result.started_at
        values.append(
            {"n": place, "number": member.result.number, "date": date, "value": member.value, "low": low, "high": high}
        )
        digits = digits_of(member.value)
        interval = f"{decimal(low, digits)} to {decimal(high, digits)}" if member.figure.ci95 else "-"
        folder = f"{member.result.folder}{' (gone)' if member.result.is_gone else ''}"
        rows.append((str(member.result.number), date, decimal(member.value, digits), interval, printable(folder)))
    percent = f"{series.members[-1].measured.interval_percent}%"
    return Chart(
        f"{statistic} of each result",
        f"Each point is a result, in the order in which they were measured, with its interval of {percent}; "
        "dashed rules are where the series changed, and lines the median between them.",
        layered(_layers(series, statistic, values)),
        ("result", "date", f"{statistic} {_UNITS.get(statistic, 'ms')}", f"{percent} interval", "folder"),
        tuple(rows),
    )


def _layers(series: Series, statistic: str, values: Sequence[Spec]) -> list[Spec]:
    """Rules where the series changed, the median between these, and the results themselves, which are `values`."""
    unit, percent = _UNITS.get(statistic, "ms"), f"{series.members[-1].measured.interval_percent}%"
    # No more ticks than results: those between two would be labelled as one of them.
    ticks = min(len(values), _MOST_TICKS)
    axis: Spec = {"title": "results, the first to the last", "grid": False, "format": "d", "tickCount": ticks}
    x: Spec = {
        "field": "n",
        "type": "quantitative",
        "axis": axis,
        "scale": {"nice": False, "domain": [0.5, len(values) + 0.5]},
    }
    y: Spec = {
        "field": "value",
        "type": "quantitative",
        "scale": {"zero": False},
        "axis": {"title": f"{statistic} {unit}"},
    }
    changed = [{"n": change.at + 0.5, "verdict": verdict_of(change, statistic)} for change in series.changes]
    return [
        {
            "data": data(changed),
            "mark": {"type": "rule", "color": WARN, "strokeDash": [4, 3]},
            "encoding": {"x": x, "tooltip": tooltip(verdict="changed")},
        },
        {
            "data": data(_medians(series)),
            "mark": {"type": "rule", "color": INK, "strokeWidth": 2},
            "encoding": {"x": {**x, "field": "from"}, "x2": {"field": "to"}, "y": y},
        },
        {
            "data": data(values),
            "mark": {"type": "rule", "color": MAIN, "opacity": 0.5},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "data": data(values),
            "mark": {"type": "point", "filled": True, "size": 50, "color": MAIN, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "tooltip": tooltip(number="result", date="date", value=unit, low=f"{percent} from", high="to"),
            },
        },
    ]


def _medians(series: Series) -> list[Spec]:
    """The median from each change to the next; nothing where the series did not change."""
    if not series.changes:
        return []
    starts = [0, *(change.at for change in series.changes)]
    ends = [*(change.at - 1 for change in series.changes), len(series.members) - 1]
    middles = [series.changes[0].before, *(change.after for change in series.changes)]
    return [
        {"from": start + 1, "to": end + 1, "value": middle}
        for start, end, middle in zip(starts, ends, middles, strict=True)
    ]
