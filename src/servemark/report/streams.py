"""What streamed responses brought, for the terminal: server-sent events, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from servemark.report.layout import Columns, Fact
from servemark.report.words import (
    counted,
    decimal,
    digits_of,
    figure,
    marked,
    p50_and_p99_ms,
    per_s,
    per_s_interval,
    steps_told,
)
from servemark.result import BenchmarkResult, EventSummary, StepSummary
from servemark.units import format_ms


def streamed(step: StepSummary) -> Iterator[Fact]:
    """A few lines about the events of `step`, if any of its responses streamed."""
    events = step.events
    if events is None:
        return
    yield Fact("events", _counts(events))
    if events.streams:
        yield Fact("event rate", f"{per_s(events.events_per_s)} {per_s_interval(events.events_per_s)}")
    first = events.time_to_first_event_ms
    if first.max is not None:
        yield Fact("first event", p50_and_p99_ms(first))
    gaps = events.between_events_ms
    if gaps is not None:
        # From a histogram, and without intervals.
        uncertain = ((name, marked(format_ms(getattr(gaps, name)), certain=False)) for name in ("p50", "p90", "p99"))
        others = (("max", format_ms(gaps.max)), ("mean", marked(format_ms(gaps.mean), certain=False)))
        yield Fact("between events", ", ".join(f"{name} {value}" for name, value in (*uncertain, *others)))


def streams_of_all(benchmark: BenchmarkResult) -> Iterator[Columns | Text]:
    """A table of the events of a benchmark of several steps or points, a row each, if any of its responses streamed."""
    rows = steps_told(benchmark)
    if not any(step.events for _, step in rows):
        return
    table = Columns("events, ms", "count", "each", "per s", "first p50", "p99", "between p50", "p99")
    for name, step in rows:
        if step.events is not None:
            table.add_row(name, *_cells(step.events))
    yield table
    yield Text()


def _cells(events: EventSummary) -> Iterator[str]:
    first, gaps = events.time_to_first_event_ms, events.between_events_ms
    yield f"{_measured(events):,}"
    yield _mean(events) if events.per_request else "-"
    yield figure(events.events_per_s, digits_of(events.events_per_s.value))
    digits = digits_of(first.p50.value)
    yield figure(first.p50, digits)
    yield figure(first.p99, digits)
    digits = digits_of(gaps.p50 if gaps else None)
    for value in (gaps.p50, gaps.p99) if gaps else (None, None):
        yield marked(decimal(value, digits), certain=False)


def _counts(events: EventSummary) -> str:
    each = events.per_request
    if each is None:
        return f"none of a measured stream; {counted(events.count, 'event')} in all that was sent"
    varied = "" if each.min == each.max else f" ({each.min:,} to {each.max:,})"
    return f"{_measured(events):,} in {counted(events.streams, 'measured stream')}, {_mean(events)} each{varied}"


def _measured(events: EventSummary) -> int:
    """Events of the streams that were measured, of which the other figures are."""
    return round(events.per_request.mean * events.streams) if events.per_request else 0


def _mean(events: EventSummary) -> str:
    mean = events.per_request.mean if events.per_request else 0.0
    return decimal(mean, 0 if mean == int(mean) else digits_of(mean))
