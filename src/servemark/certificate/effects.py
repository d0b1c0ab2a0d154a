"""Effects: by how much something of the generator's moves a figure that is reported, and how much is too much.

A figure is wrong when it is moved by more than the largest of 5% of it, 0.1 ms, and half the width of its confidence
interval (design: measurement rule 8). Below that the interval says more of its uncertainty than the generator adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from servemark.result import LatencySummary, Statistic, StepSummary
from servemark.stats.lateness import Lateness, moved_at_most_ms
from servemark.stats.percentiles import REPORTED

#: Of a figure.
LIMIT_SHARE = 0.05
LIMIT_MS = 0.1


@dataclass(frozen=True)
class Effect:
    """A figure that is moved: which one, by how much, and how much it may be: "p99 of the response"."""

    figure: str
    moved_ms: float
    limit_ms: float

    @property
    def severity(self) -> float:
        """The part of the limit that it is."""
        return self.moved_ms / self.limit_ms


def limit_ms(statistic: Statistic) -> float | None:
    """The most that a time may be moved by; None of one without an interval, which is not judged."""
    if statistic.value is None or statistic.ci95 is None:
        return None
    return max(LIMIT_SHARE * statistic.value, LIMIT_MS, (statistic.ci95[1] - statistic.ci95[0]) / 2)


def limit_of_rate(rate: Statistic) -> float | None:
    """The largest share that a rate may be moved by; None of one without an interval."""
    if not rate.value or rate.ci95 is None:
        return None
    return max(LIMIT_SHARE, (rate.ci95[1] - rate.ci95[0]) / 2 / rate.value)


def moved(
    what: str, reported: LatencySummary, without_ms: Mapping[str, float], no_more_ms: Mapping[str, float] | None = None
) -> list[Effect]:
    """The effects on the percentiles of `what`, which would be `without_ms` but for the generator.

    Only percentiles that have an interval are looked at: of a few requests, one that was late would move the others.
    Where it is known by how much each can have been moved at most, `no_more_ms` says it.
    """
    caps_ms = no_more_ms or {}
    return [
        Effect(
            figure_of(percentile, what),
            min(abs(statistic.value - without_ms[percentile]), caps_ms.get(percentile, math.inf)),
            most_ms,
        )
        for percentile, statistic, most_ms in _judged(reported)
        if percentile in without_ms and statistic.value is not None
    ]


def times_of(step: StepSummary) -> dict[str, LatencySummary]:
    """The times that are reported of a step and that end with what the server sends, by name; the headline's first."""
    times: dict[str, LatencySummary] = {step.headline: step.headline_ms, "service": step.service_ms}
    if step.events:
        times["first_event"] = step.events.time_to_first_event_ms
    if step.tokens:
        times["first_token"] = step.tokens.first_token_ms
    return times


def events_of(step: StepSummary) -> dict[str, LatencySummary]:
    """The times that are reported of the events of a step's streams, one a stream, by name; empty without events."""
    times: dict[str, LatencySummary] = {}
    if step.events:
        times["first_event"] = step.events.time_to_first_event_ms
    if step.tokens:
        times["first_token"] = step.tokens.first_token_ms
        if step.tokens.first_said_ms:
            times["first_said"] = step.tokens.first_said_ms
        times["longest_gap"] = step.tokens.longest_gap_ms
    return times


def late(what: str, reported: LatencySummary, lateness: Lateness) -> list[Effect]:
    """The most that lateness may move the percentiles of `what`."""
    most = moved_at_most_ms(reported, lateness)
    return [
        Effect(figure_of(percentile, what), most[percentile], most_ms)
        for percentile, _, most_ms in _judged(reported)
        if percentile in most
    ]


def added(step: StepSummary, by_ms: float) -> list[Effect]:
    """The effects on the percentiles of a step's times, each of which has `by_ms` too much."""
    return [
        Effect(figure_of(percentile, what), by_ms, most_ms)
        for what, reported in times_of(step).items()
        for percentile, _, most_ms in _judged(reported)
    ]


def figure_of(percentile: str, what: str) -> str:
    """A percentile of a time in words, both by their names: p99.9 of the first event."""
    return f"{percentile.replace('_', '.')} of the {what.replace('_', ' ')}"


def _judged(reported: LatencySummary) -> Iterator[tuple[str, Statistic, float]]:
    for percentile in REPORTED:
        statistic = getattr(reported, percentile)
        most_ms = limit_ms(statistic)
        if most_ms is not None:
            yield percentile, statistic, most_ms


def worst(effects: Iterable[Effect]) -> Effect | None:
    """The one that is most of its limit; None of none."""
    return max(effects, key=lambda effect: effect.severity, default=None)
