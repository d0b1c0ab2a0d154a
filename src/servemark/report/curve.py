"""Latency by percentile, as a small SVG within a page of HTML: no script, no style sheet, no network.

It is drawn of the figures that a result has, and needs no records. Lines and words have the colour of the text around
it, so that it can be read on a dark page, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from servemark.report.words import percentile_name
from servemark.result import BenchmarkResult, LatencySummary, Statistic
from servemark.stats.percentiles import REPORTED
from servemark.terminals import shortened
from servemark.units import format_ms

#: More of them are no picture any more.
_MOST_SERIES = 6
_WIDTH, _HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 160, 26, 30
_LONGEST_NAME = 24
#: Between the marks of two lines at one percentile.
_APART = 4
#: Colours that are told apart without seeing red or green (Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class _Series:
    """The latency of one step of one run, and what it is called."""

    name: str
    latency: LatencySummary

    @property
    def found(self) -> list[tuple[str, Statistic, float]]:
        """The percentiles that there are: name, statistic and value in milliseconds."""
        known = [(name, getattr(self.latency, name)) for name in REPORTED]
        return [(name, statistic, statistic.value) for name, statistic in known if statistic.value is not None]


def percentile_curves(benchmark: BenchmarkResult) -> str:
    """The SVG of a benchmark's latencies: a line a step of each point; empty where there is nothing to draw.

    A bar is the 95% interval, a hollow mark a figure without one. Of many lines the first are drawn.
    """
    series = [one for one in _series(benchmark) if len(one.found) > 1]
    if not series:
        return ""
    shown = series[:_MOST_SERIES]
    scale = _Scale(max(_tops(shown)) or 1.0)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11" fill="currentColor">'
    )
    return "".join(
        [
            head,
            f"<title>{escape(f'{benchmark.name}: latency by percentile')}</title>",
            f'<text x="{_LEFT}" y="14">{escape(_heading(len(shown), len(series)))}</text>',
            *_axes(scale),
            *(part for number, one in enumerate(shown) for part in _line(one, number, len(shown), scale)),
            "</svg>",
        ]
    )


def _tops(series: Sequence[_Series]) -> Iterator[float]:
    for one in series:
        for _, statistic, value in one.found:
            yield max(value, *statistic.ci95) if statistic.ci95 else value


def _heading(shown: int, there: int) -> str:
    some = f"; {shown} of {there} lines" if shown < there else ""
    return f"latency by percentile, with 95% intervals{some}"


def _series(benchmark: BenchmarkResult) -> Iterator[_Series]:
    for run in benchmark.answering.values():
        for step in run.steps if run.point or not benchmark.steps else benchmark.steps:
            if step.measured:
                words = filter(None, (run.place, step.name if len(run.steps) > 1 or not run.place else ""))
                yield _Series(", ".join(words), step.headline_ms)


@dataclass(frozen=True)
class _Scale:
    """The axes: percentiles by how rare what lies above them is, latencies from 0 to `top_ms`."""

    top_ms: float

    def x(self, name: str) -> float:
        rarity = [-math.log10(1 - share) for share in (min(REPORTED.values()), REPORTED[name], max(REPORTED.values()))]
        return _LEFT + 10 + (_WIDTH - _LEFT - _RIGHT - 20) * (rarity[1] - rarity[0]) / (rarity[2] - rarity[0])

    def y(self, value_ms: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value_ms / self.top_ms


def _axes(scale: _Scale) -> Iterator[str]:
    for share in (0.0, 0.5, 1.0):
        y = scale.y(share * scale.top_ms)
        yield (
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            'stroke-opacity="0.25"/>'
        )
        label = format_ms(share * scale.top_ms) if share else "0"
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    for name in REPORTED:
        label = percentile_name(name)
        yield f'<text x="{scale.x(name):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{label}</text>'


def _line(series: _Series, number: int, lines: int, scale: _Scale) -> Iterator[str]:
    colour = _COLOURS[number]
    aside = (number - (lines - 1) / 2) * _APART  # or the intervals of all lines would stand on one another
    places = [(scale.x(name) + aside, scale.y(value), statistic) for name, statistic, value in series.found]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    for x, y, statistic in places:
        yield _interval(x, statistic, colour, scale)
        fill = colour if statistic.ci95 else "none"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" stroke="{colour}"/>'
    y = _TOP + 8 + 16 * number
    x = _WIDTH - _RIGHT + 12
    yield f'<line x1="{x}" x2="{x + 14}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
    yield f'<text x="{x + 20}" y="{y + 4}">{escape(shortened(series.name, _LONGEST_NAME))}</text>'


def _interval(x: float, statistic: Statistic, colour: str, scale: _Scale) -> str:
    if statistic.ci95 is None:
        return ""
    low, high = (scale.y(value) for value in statistic.ci95)
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-width="4" '
        'stroke-opacity="0.35"/>'
    )
