"""Summaries: which records count for what."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from servemark import _loadgen
from servemark.certificate.generator import check_lag
from servemark.result import ErrorExample
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import bounded, summarise

from .test_certificate import OPEN

MS = 1_000_000
KIND = {name: number for number, name in enumerate(_loadgen.ERROR_KINDS)}


def _summarise(file, window, examples=None, pause_ns=(0, 0)):
    evidence = gather([file], Question(window=window, pause=Window(*pause_ns)))
    return SimpleNamespace(steps=summarise(evidence, examples=examples), evidence=evidence.steps)


def _even(n, gap_ms=10, service_ms=4):
    scheduled = np.arange(n, dtype=np.int64) * gap_ms * MS
    return {
        "scheduled": scheduled,
        "ready": scheduled + 1 * MS,
        "sent": scheduled + 2 * MS,
        "first_byte": scheduled + 3 * MS,
        "end": scheduled + (2 + service_ms) * MS,
        "bytes_sent": 100,
        "bytes_received": 1000,
    }


def test_the_four_latencies_are_those_of_the_design(make_records):
    file = make_records(100, **_even(100))
    (step,) = _summarise(file, Window(0, 1000 * MS)).steps
    assert step.response_ms.p50.value == 6.0
    assert step.service_ms.p50.value == 4.0
    assert step.client_queue_ms.p50.value == 1.0
    assert step.generator_lag_ms.p50.value == 1.0
    assert (step.bytes_sent, step.bytes_received) == (10_000, 100_000)


def test_a_punctual_generator_would_have_reported_response_minus_lag(make_records):
    file = make_records(100, **_even(100))
    (evidence,) = _summarise(file, Window(0, 1000 * MS)).evidence
    punctual_ms = evidence.punctual_ms("response")
    assert punctual_ms["p50"] == punctual_ms["p99"] == 5.0


def test_in_a_closed_loop_all_that_is_not_opening_a_connection_is_the_generators(make_records):
    flags = _loadgen.RECORD_FLAGS
    opened = np.where(np.arange(100) % 2, flags["opened"], 0)
    columns = {**_even(100), "flags": flags["closed_loop"] | opened, "connect_us": 300, "tls_us": 400}
    summary = _summarise(make_records(100, **columns), Window(0, 1000 * MS))
    (step,), (evidence,) = summary.steps, summary.evidence
    assert (step.headline, step.headline_ms) == ("service", step.service_ms)
    assert (step.client_queue_ms.min, step.client_queue_ms.max) == (0.0, 0.7)
    assert (step.generator_lag_ms.min, step.generator_lag_ms.max) == (1.3, 2.0)
    assert (evidence.punctual_ms("response"), evidence.idle_ms, evidence.cycle_ms) == ({}, 50 * 3.3, 600.0)


def test_times_in_doubt_are_told_from_the_others(make_records):
    flags = _loadgen.RECORD_FLAGS
    doubts = np.zeros(100, dtype=np.uint8)
    doubts[:3], doubts[3:5] = flags["clock_read"], flags["unsure_sent"]
    columns = _even(100)
    columns["end"] = columns["end"] + (doubts > 0) * 50 * MS
    summary = _summarise(make_records(100, **columns, flags=doubts), Window(0, 1000 * MS))
    (evidence,) = summary.evidence
    assert (evidence.clock_read, evidence.unsure_sent, evidence.is_stamped) == (3, 2, True)
    assert evidence.trusted_ms["p90"] == 6.0
    assert evidence.trusted_ms["p99"] == 56.0  # of those that may have left late
    assert summary.steps[0].response_ms.p99.value == 56.0


def test_without_times_of_arrival_what_came_in_a_pause_is_in_doubt(make_records):
    file = make_records(100, **_even(100), flags=_loadgen.RECORD_FLAGS["clock_read"])
    (evidence,) = _summarise(file, Window(0, 1000 * MS), pause_ns=(105 * MS, 155 * MS)).evidence
    assert (evidence.is_stamped, evidence.paused) == (False, 6)
    assert evidence.trusted_ms["p50"] == 6.0


def test_latencies_are_of_what_was_scheduled_in_the_window_and_counts_of_everything(make_records):
    file = make_records(100, **_even(100))
    (step,) = _summarise(file, Window(200 * MS, 800 * MS)).steps
    assert step.requests == step.succeeded == 100
    assert (step.measured, step.measured_failed, step.requests_measured) == (60, 0, 60)


def test_failures_of_the_measured_time_are_told_from_those_of_the_warm_up(make_records):
    kind = np.where(np.arange(100) % 10 == 0, KIND["timeout"], 0)
    (step,) = _summarise(make_records(100, **_even(100), kind=kind), Window(200 * MS, 800 * MS)).steps
    assert (step.failed, step.measured, step.measured_failed) == (10, 54, 6)


def test_the_bytes_a_second_are_those_of_the_successes_of_the_rate(make_records):
    columns = _even(100)
    columns["bytes_received"] = np.where(np.arange(100) < 20, 1_000_000, 1000)  # of the warm-up
    (step,) = _summarise(make_records(100, **columns), Window(200 * MS, 800 * MS)).steps
    assert step.bytes_received_per_s == pytest.approx(1000 * step.throughput_per_s.value)


def test_the_rate_is_of_successes_that_end_in_the_window(make_records):
    columns = _even(1000)
    file = make_records(1000, **columns)
    (step,) = _summarise(file, Window(200 * MS, 8000 * MS)).steps
    ended = ((columns["end"] >= 200 * MS) & (columns["end"] <= 8000 * MS)).sum()
    assert step.throughput_per_s.value == pytest.approx(ended / 7.8)
    low, high = step.throughput_per_s.ci95
    assert low <= step.throughput_per_s.value <= high


def test_failures_have_their_own_count_and_times(make_records):
    columns = _even(40)
    kind, status = np.zeros(40, dtype=np.uint8), np.full(40, 200, dtype=np.uint16)
    kind[3], status[3] = KIND["http_status"], 503
    kind[[5, 6]], status[[5, 6]] = KIND["timeout"], 0
    end = columns["end"].copy()
    end[[5, 6]] += 500 * MS
    example = ErrorExample("http_status:503", 0.03, "queue full", "{}")
    file = make_records(40, **{**columns, "kind": kind, "status": status, "end": end})
    (step,) = _summarise(file, Window(0, 1000 * MS), {0: (example,)}).steps
    assert step.errors == {"timeout": 2, "http_status:503": 1}
    assert (step.requests, step.succeeded, step.failed, step.measured) == (40, 37, 3, 37)
    assert step.response_ms.max == 6.0
    assert step.failed_response_ms.max == 506.0
    assert step.error_examples == (example,)


def test_steps_are_summarised_apart(make_records):
    number = np.arange(90) % 2
    columns = _even(90)
    columns["end"] = columns["end"] + number * 10 * MS
    file = make_records(90, steps=("first", "second"), step=number, **columns)
    first, second = _summarise(file, Window(0, 1000 * MS)).steps
    assert (first.name, second.name) == ("first", "second")
    assert (first.response_ms.p50.value, second.response_ms.p50.value) == (6.0, 16.0)


def test_a_run_without_records_has_a_summary_without_values(make_records):
    (step,) = _summarise(make_records(0), Window(0, 0)).steps
    assert step.requests == step.measured == 0
    assert step.response_ms.mean.value is None
    assert step.throughput_per_s.value is None


def test_few_requests_have_values_but_no_interval_of_the_mean(make_records):
    (step,) = _summarise(make_records(99, **_even(99)), Window(0, 1000 * MS)).steps
    assert step.response_ms.mean.value == 6.0
    assert step.response_ms.mean.ci95 is None
    assert step.response_ms.mean.needs_n == 100
    assert step.throughput_per_s.ci95 is None
    assert step.throughput_per_s.needs_s == pytest.approx(100 / 99, rel=0.02)


def test_what_has_no_interval_is_judged_as_if_requests_were_independent_up_to_p99(make_records):
    columns = _even(16_000, gap_ms=1)
    stretches = np.random.default_rng(1).exponential(20, size=16) * MS  # in each all are as slow
    columns["end"] = columns["end"] + np.repeat(stretches, 1000).astype(np.int64) + np.arange(16_000) % 1000
    summary = _summarise(make_records(16_000, **columns), Window(0, 16_000 * MS))
    shown, judged = (one.response_ms for one in (summary.steps[0], bounded(summary.steps[0], summary.evidence[0])))
    assert (shown.p50.ci95, shown.p99.ci95, shown.p99_9.ci95) == (None, None, None)
    assert (judged.p50.ci95 is None, judged.p99.ci95 is None, judged.p99_9.ci95 is None) == (False, False, True)


def test_of_few_streams_it_is_judged_too_how_far_the_lag_moves_their_first_event(make_records):
    """Lag of 40 ms is nothing to a stream of 10 s, and nearly half of what its first event seems to take."""
    columns = _even(60, gap_ms=500, service_ms=10_000)
    columns["sent"] = columns["ready"] + 40 * MS
    columns |= {"first_event": columns["sent"] + 50 * MS, "last_event": columns["end"], "events": 9}
    file = make_records(60, **columns, flags=_loadgen.RECORD_FLAGS["streamed"])
    summary = _summarise(file, Window(0, 60_000 * MS))
    (step,), (evidence,) = summary.steps, summary.evidence
    assert step.events.time_to_first_event_ms.p50.ci95 is None
    check = check_lag(bounded(step, evidence), evidence, OPEN)
    assert check.passed is False
    assert check.reason == "generator lag moves p50 of the first event by 40.0 ms, limit 4.5 ms"


def test_the_mean_and_its_spread_are_those_of_numpy(make_records):
    rng = np.random.default_rng(2)
    columns = _even(5000)
    columns["end"] = columns["sent"] + rng.integers(MS, 9 * MS, 5000)
    file = make_records(5000, **columns)
    (step,) = _summarise(file, Window(0, 50_001 * MS)).steps
    response_ms = (columns["end"] - columns["scheduled"]) / MS
    assert step.response_ms.mean.value == pytest.approx(response_ms.mean())
    assert step.response_ms.stddev == pytest.approx(response_ms.std(ddof=1))
    low, high = step.response_ms.mean.ci95
    half = 1.96 * response_ms.std() / 5000**0.5
    assert high - low == pytest.approx(2 * half, rel=0.3)
    assert low < response_ms.mean() < high
