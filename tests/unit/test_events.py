"""Events of streamed responses: which count for what, and their histogram."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from servemark import _loadgen
from servemark.result import EventSummary, Spread
from servemark.stats.events import between_events, joined_share
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import summarise

MS = 1_000_000
STREAMED = 16
CLOSED_EARLY = _loadgen.ERROR_KINDS.index("closed_early")
#: A histogram as the engine made it, of 45 times between events.
HISTOGRAM = (Path(__file__).parent / "data" / "gaps.v2z").read_bytes()


def streams(n, events, gap_ms=10):
    """Streams scheduled every 10 ms: the first event after 20 ms, the others 5 ms apart, the end with the last."""
    events = np.broadcast_to(np.asarray(events), n)
    scheduled = np.arange(n, dtype=np.int64) * gap_ms * MS
    first = np.where(events > 0, scheduled + 20 * MS, -1)
    last = np.where(events > 0, first + np.maximum(events - 1, 0) * 5 * MS, -1)
    return {
        "scheduled": scheduled,
        "ready": scheduled,
        "sent": scheduled,
        "first_byte": scheduled + 1 * MS,
        "end": np.where(events > 0, last, scheduled + 2 * MS),
        "events": events,
        "first_event": first,
        "last_event": last,
        "flags": STREAMED,
    }


def events_of(file, window, gaps=None) -> tuple[EventSummary | None, ...]:
    steps = summarise(gather([file], Question(window=window)), event_gaps=gaps)
    return tuple(step.events for step in steps)


def test_a_step_that_did_not_stream_has_no_events(make_records):
    assert events_of(make_records(50), Window(0, 10)) == (None,)


def test_times_to_the_first_event_count_from_the_schedule(make_records):
    file = make_records(100, **streams(100, 3))
    (events,) = events_of(file, Window(0, 2000 * MS))
    first = events.time_to_first_event_ms
    assert (first.p50.value, first.min, first.max) == (20.0, 20.0, 20.0)
    assert first.mean.value == 20.0
    assert first.mean.ci95 == (20.0, 20.0)
    assert first.p50.ci95 == (20.0, 20.0)
    assert (events.count, events.streams) == (300, 100)
    assert events.per_request == Spread(mean=3.0, min=3, p50=3, max=3)
    assert events.between_events_ms is None


def test_a_stream_without_events_counts_as_one_but_has_no_first_event(make_records):
    file = make_records(4, **streams(4, [0, 1, 2, 9]))
    (events,) = events_of(file, Window(0, 2000 * MS))
    assert (events.count, events.streams) == (12, 4)
    assert events.per_request == Spread(mean=3.0, min=0, p50=1, max=9)
    assert events.time_to_first_event_ms.min == 20.0
    assert events.time_to_first_event_ms.p50.ci95 is None


def test_the_count_is_of_everything_and_the_rest_of_what_was_measured(make_records):
    columns = streams(100, 2)
    kind = np.zeros(100, dtype=np.uint8)
    kind[40] = CLOSED_EARLY
    file = make_records(100, **columns, kind=kind)
    (events,) = events_of(file, Window(200 * MS, 800 * MS))
    assert events.count == 200
    assert events.streams == 59
    ended = ((columns["end"] >= 200 * MS) & (columns["end"] <= 800 * MS) & (kind == 0)).sum()
    assert events.events_per_s.value == pytest.approx(2 * ended / 0.6)
    low, high = events.events_per_s.ci95
    assert low <= events.events_per_s.value <= high


def test_few_streams_have_a_rate_without_an_interval(make_records):
    (events,) = events_of(make_records(29, **streams(29, 100)), Window(0, 10_000 * MS))
    rate = events.events_per_s
    assert (rate.value, rate.ci95, rate.needs_n) == (pytest.approx(290.0), None, None)
    assert rate.needs_s > 30, "29 batches of time with streams, of which it takes a hundred"


def test_streams_that_were_not_measured_leave_only_their_count(make_records):
    (events,) = events_of(make_records(3, **streams(3, 2), kind=CLOSED_EARLY), Window(0, 1000 * MS))
    assert (events.count, events.streams, events.per_request) == (6, 0, None)
    assert events.time_to_first_event_ms.max is None


def test_histograms_of_steps_of_one_name_are_added_up(make_records):
    file = make_records(9, steps=("a", "b", "a"), step=np.arange(9) % 3, **streams(9, 2))
    a, b = events_of(file, Window(0, 1000 * MS), {0: (HISTOGRAM,), 2: (HISTOGRAM,)})
    assert a.between_events_ms.count == 90
    assert b.between_events_ms is None
    assert a.between_events_ms.max == between_events([HISTOGRAM]).max


def decoded(v2_deflate: bytes) -> Iterator[tuple[int, int]]:
    """The (value, count) pairs of a histogram, read as the format's description says, without our reader.

    A cookie and a length, zlib; then a header of 40 bytes, and the counts in order as ZigZag LEB128, a negative one
    standing for so many zeros.
    """
    cookie, length = struct.unpack(">II", v2_deflate[:8])
    assert cookie & ~0xF0 == 0x1C849304
    plain = zlib.decompress(v2_deflate[8 : 8 + length])
    cookie, payload, offset, digits, lowest, _highest, ratio = struct.unpack(">IIIIQQd", plain[:40])
    assert cookie & ~0xF0 == 0x1C849303
    assert (offset, digits, lowest, ratio) == (0, 3, 1, 1.0)
    at, index, end = 40, 0, 40 + payload
    while at < end:
        number = shift = 0
        while True:
            byte = plain[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        number = (number >> 1) ^ -(number & 1)
        if number < 0:
            index -= number
            continue
        # 2,048 counts one apart; from there each 1,024 counts are twice as far apart as the 1,024 before.
        bucket, within = (0, index) if index < 2048 else (index // 1024 - 1, index % 1024 + 1024)
        if number:
            yield ((within + 1) << bucket) - 1, number
        index += 1


def test_the_statistics_of_a_histogram_are_those_of_its_counts():
    values = np.repeat(*np.array(list(decoded(HISTOGRAM))).T)
    found = between_events([HISTOGRAM])
    assert found.count == len(values) == 45
    assert found.max == values.max() / MS
    for share, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        assert value == np.quantile(values, share, method="inverted_cdf") / MS
    assert found.mean == pytest.approx(values.mean() / MS, rel=1e-3)


def test_events_that_were_read_together_are_those_without_a_time_between_them():
    values = np.repeat(*np.array(list(decoded(HISTOGRAM))).T)
    assert joined_share([HISTOGRAM]) == pytest.approx(np.mean(values == 0), abs=1e-3)
    assert joined_share([]) == 0.0
