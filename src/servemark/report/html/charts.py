"""A chart of the page: a Vega-Lite specification with what it says in words, and its figures as a table.

Colours are those of ``style.css``, by name, so that a chart follows the theme, and what is printed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: A specification, or a part of one.
Spec = dict[str, Any]
#: What one thing is drawn in, and so many things of a kind.
INK, MUTED, GRID, WARN, FAULT = (f"var(--{name})" for name in ("ink", "muted", "grid", "warn", "fault"))
SERIES = tuple(f"var(--series-{number})" for number in range(1, 9))
MAIN, TAIL = SERIES[0], SERIES[1]
#: The height of a chart, in CSS pixels.
_HEIGHT = 260
#: Axes are in proportion where the greatest value is more than so many times the least, that is, logarithmic.
_WIDE_RANGE = 20.0
#: Marks of a logarithmic axis in a decade, the fewest first, and how many of all are enough.
_STEPS = ((1,), (1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9), tuple(step / 10 for step in range(10, 100)))
_LEAST_TICKS = 3


@dataclass(frozen=True)
class Chart:
    """What is drawn: its `title` says what it shows, its `description` what it means, in a sentence or two.

    `rows` are its figures, as wide as `headings`.
    """

    title: str
    description: str
    spec: Spec
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def whole_spec(self) -> Spec:
        """The specification with what all charts have in common; as wide as its place."""
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",  # a name; nothing is fetched
            "width": "container",
            "height": _HEIGHT,
            "background": None,
            "autosize": {"type": "fit", "contains": "padding"},
            **self.spec,
        }


#: How all charts look.
CONFIG: Spec = {
    "font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif',
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "labelOverlap": True,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "labelLimit": 260,
        "orient": "top",
        "columns": 2,
        "symbolOpacity": 1,
    },
    "text": {"color": INK, "fontSize": 11},
    "range": {"category": list(SERIES)},
}


def data(rows: Iterable[Mapping[str, Any]]) -> Spec:
    """Data that stand in the specification."""
    return {"values": [{name: _value(value) for name, value in row.items()} for row in rows]}


def _value(value: Any) -> Any:
    """A number to five digits, which no eye tells from it; JSON has no infinity."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def layered(layers: Iterable[Spec]) -> Spec:
    """A specification of layers, without those that have nothing to show."""
    return {"layer": [layer for layer in layers if "data" not in layer or layer["data"]["values"]]}


def quantity(field: str, title: str, log_of: Sequence[float] = ()) -> Spec:
    """An axis of numbers: from 0, or logarithmic over the values in `log_of`."""
    scale: Spec = {"type": "log", "nice": False} if log_of else {"zero": True}
    axis: Spec = {"title": title, **({"values": _ticks(min(log_of), max(log_of))} if log_of else {})}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def where_wide(values: Iterable[float | None]) -> list[float]:
    """Pick those of `values` that there are, if only a logarithmic axis shows all of them; such a one cannot show 0."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    return found if found and 0 < _WIDE_RANGE * min(found) < max(found) else []


def _ticks(least: float, most: float) -> list[float]:
    """Round numbers between two: of each decade as few as leave some to read the axis by."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    found: list[float] = []
    for steps in _STEPS:
        found = [tick for decade in decades for step in steps if least <= (tick := float(f"{step}e{decade}")) <= most]
        if len(found) >= _LEAST_TICKS:
            break
    return found


def colour_by(field: str, names: Sequence[str], colours: Sequence[str] = SERIES) -> Spec:
    """The colour of each of some names, with a legend where there are several."""
    chosen = [colours[number % len(colours)] for number in range(len(names))]
    legend = {"title": None} if len(names) > 1 else None
    return {"field": field, "type": "nominal", "scale": {"domain": list(names), "range": chosen}, "legend": legend}


def tooltip(**fields: str) -> list[Spec]:
    """What is shown of a mark that is pointed at: fields with their titles."""
    return [{"field": field, "title": title} for field, title in fields.items()]
