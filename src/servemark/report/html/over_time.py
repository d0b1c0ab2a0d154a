"""What of a run is drawn over its time: the parts of it, what happened to the server meanwhile, and lines by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from servemark.report.html.charts import GRID, SERIES, WARN, Spec, colour_by, data, layered, quantity, tooltip
from servemark.report.words import plain
from servemark.result import RunResult, StepSummary
from servemark.stats.timeline import StepTimeline, Timeline
from servemark.stats.token_timeline import TokenTimeline

#: Rows of a table of what happened over time; it has every so many parts otherwise.
_MOST_TABLE_ROWS = 40
#: Of what happened to the server so much is said in words.
_MOST_TOLD = 6
#: Steps that are drawn together.
_MOST_SERIES = len(SERIES)


@dataclass(frozen=True)
class Mark:
    """Something that happened to the server: when, in seconds from the run's origin, and what."""

    at_s: float
    what: str


@dataclass(frozen=True)
class Drawn:
    """A run and what is drawn of it; `tokens` by the name of each step whose answers were read for them."""

    run: RunResult
    timeline: Timeline
    marks: tuple[Mark, ...] = ()
    tokens: Mapping[str, TokenTimeline] = field(default_factory=dict)

    @property
    def latency(self) -> str:
        """What its headline's latency is called."""
        return self.run.steps[0].headline if self.run.steps else "response"

    @cached_property
    def edges_s(self) -> NDArray[np.float64]:
        """The times at which its parts begin, and the last one ends, in seconds from its beginning."""
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
        """Its steps that have a measured success, each with what happened over time, as far as the records have any."""
        over_time = {step.name: step for step in self.timeline.steps if step.distribution.count}
        for step in self.run.steps:
            if step.measured and step.name in over_time:
                yield step, over_time[step.name]

    def shown(self) -> list[tuple[StepSummary, StepTimeline]]:
        """The steps of it that have a place in a chart."""
        return list(self.steps())[:_MOST_SERIES]


def lines_by_part(drawn: Drawn, found: Mapping[str, NDArray[np.float64]], title: str, colours: Sequence[str]) -> Spec:
    """Lines that have a value for each part of the time, by their names."""
    values = [
        {"s": at, "value": value, "of": name}
        for name, parts in found.items()
        for at, value in zip(drawn.edges_s[:-1].tolist(), parts.tolist(), strict=True)
    ]
    line: Spec = {
        "data": data(values),
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.6},
        "encoding": {
            "x": seconds("s"),
            "y": quantity("value", title),
            "color": colour_by("of", list(found), colours),
            "tooltip": tooltip(of="of", s="from s", value=title),
        },
    }
    return layered([*background(drawn), line, *rules(drawn)])


def rows_of(drawn: Drawn, found: Mapping[str, NDArray[np.float64]]) -> tuple[tuple[str, ...], ...]:
    """The same as a table."""
    return tuple(
        (plain(at), *(plain(parts[part]) for parts in found.values())) for part, at in thinned(drawn.edges_s[:-1])
    )


def seconds(field: str) -> Spec:
    """The axis of the time of a run."""
    scale = {"nice": False, "zero": True}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"title": "seconds", "grid": False}}


def background(drawn: Drawn) -> list[Spec]:
    """The warm-up, shaded."""
    end_s = drawn.run.warmup_s - drawn.timeline.start_s
    if drawn.run.warmup_s <= 0:
        return []
    return [
        {
            "data": data([{"from": 0.0, "to": end_s}]),
            "mark": {"type": "rect", "color": GRID, "opacity": 0.6},
            "encoding": {"x": seconds("from"), "x2": {"field": "to"}},
        }
    ]


def rules(drawn: Drawn) -> list[Spec]:
    """What happened to the server, each with a rule."""
    if not drawn.marks:
        return []
    values = [{"s": mark.at_s - drawn.timeline.start_s, "what": mark.what} for mark in drawn.marks]
    rule: Spec = {
        "data": data(values),
        "mark": {"type": "rule", "color": WARN, "strokeDash": [4, 3]},
        "encoding": {"x": seconds("s"), "tooltip": tooltip(what="server", s="at s")},
    }
    return [rule]


def told(drawn: Drawn) -> str:
    """What happened to the server, and when, as far as there is room."""
    told = [f"{mark.what} at {mark.at_s - drawn.timeline.start_s:.1f} s" for mark in drawn.marks[:_MOST_TOLD]]
    more = len(drawn.marks) - len(told)
    return ", ".join([*told, f"and {more} more"] if more else told)


def thinned(times: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    """Some of `times`, evenly, each with its place."""
    every = max(1, -(-len(times) // _MOST_TABLE_ROWS))
    for place in range(0, len(times), every):
        yield place, float(times[place])
