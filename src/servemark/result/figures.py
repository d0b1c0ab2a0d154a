"""Figures: values with their intervals, and distributions of latencies and of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Statistic:
    """A value and its two-sided 95% confidence interval.

    Where no interval can be had, `ci95` is None and `needs_n` says how many values it would take, or `needs_s` how many
    seconds.
    """

    value: float | None
    ci95: tuple[float, float] | None
    needs_n: int | None = None
    needs_s: float | None = None


@dataclass(frozen=True)
class Trend:
    """Whether a figure stood in the measured time, or drifted.

    A straight line through ten parts of it is at `start` and at `end`: of a rate a second, of a percentile the share of
    responses above that of all. `p` is how often chance alone makes a line at least as steep.
    """

    verdict: Literal["steady", "drifting"]
    start: float
    end: float
    p: float


@dataclass(frozen=True)
class LatencySummary:
    """The distribution of one latency, in milliseconds."""

    mean: Statistic
    p50: Statistic
    p90: Statistic
    p95: Statistic
    p99: Statistic
    p99_9: Statistic
    min: float | None
    max: float | None
    stddev: float | None


@dataclass(frozen=True)
class Spread:
    """How many there were in each of several things."""

    mean: float
    min: int
    p50: int
    max: int


@dataclass(frozen=True)
class GapSummary:
    """The times between events that followed one another in a response, in milliseconds, to three digits.

    From a histogram, and without intervals: the events of one response are far from independent.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class EventSummary:
    """What streamed responses brought: server-sent events, whatever is in them.

    Attributes:
        count: events of everything that was sent, failures included.
        streams: measured requests whose response streamed; what follows is of them, but for `between_events_ms`.
        per_request: events a stream; None without streams.
        events_per_s: events of the successes that ended inside the measured time, over it.
        time_to_first_event_ms: from the schedule to the first event, as a response is counted; of streams that had one.
        between_events_ms: of all requests scheduled after the warm-up that was asked for; None where no stream had two
            events.
    """

    count: int
    streams: int
    per_request: Spread | None
    events_per_s: Statistic
    time_to_first_event_ms: LatencySummary
    between_events_ms: GapSummary | None


@dataclass(frozen=True)
class Distribution:
    """The spread of times in milliseconds, without intervals; None of nothing."""

    p50: float | None
    p99: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class Histogram:
    """How many values there are from one bound in milliseconds to the next: one bound more than counts.

    A bin holds what is above its lower bound and at most its upper one, the first one the least value too.
    """

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]
