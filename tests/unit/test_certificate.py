"""Each check of a certificate can pass, fail, and say that it does not apply."""

from __future__ import annotations

import dataclasses

import pytest

from servemark.certificate import certify, check_accounted, check_lag, check_server
from servemark.result import Check, LatencySummary, Statistic, StepSummary


def _latency(ms):
    statistic = Statistic(ms, (ms, ms) if ms else None, None if ms else 1)
    return LatencySummary(*[statistic] * 6, min=ms, max=ms, stddev=0.0)


def _step(ms=10.0, measured=100):
    latency = _latency(ms)
    return StepSummary(
        "predict", measured, measured, measured, {}, (), Statistic(1.0, None, 30), *[latency] * 4, _latency(None), 0, 0
    )


def test_only_a_failed_check_makes_it_invalid():
    passed, unknown, failed = (Check("x", value, "") for value in (True, None, False))
    assert certify([passed, unknown]).valid
    assert not certify([passed, failed]).valid


def test_lost_records_fail():
    check = check_accounted(expected=None, scheduled=10, recorded=9, interrupted=False)
    assert check.passed is False
    assert "10 requests were scheduled but 9 recorded" in check.reason


def test_requests_that_were_never_scheduled_fail_unless_interrupted():
    assert check_accounted(expected=12, scheduled=10, recorded=10, interrupted=False).passed is False
    assert check_accounted(expected=12, scheduled=10, recorded=10, interrupted=True).passed is True
    assert check_accounted(expected=10, scheduled=10, recorded=10, interrupted=False).passed is True


@pytest.mark.parametrize(
    ("response_ms", "lag_ms", "passed"),
    [(10.0, 0.4, True), (10.0, 0.6, False), (100.0, 4.0, True), (100.0, 6.0, False)],
)
def test_lag_may_move_a_percentile_by_half_a_millisecond_or_5_percent(response_ms, lag_ms, passed):
    step = _step(response_ms)
    punctual = dict.fromkeys(("p50", "p99"), response_ms - lag_ms)
    check = check_lag(step, punctual)
    assert check.passed is passed
    assert f"by {lag_ms:.3f} ms" in check.reason


def test_lag_names_the_worst_percentile():
    step = dataclasses.replace(
        _step(10.0), response_ms=dataclasses.replace(_latency(10.0), p99=Statistic(90.0, (80.0, 99.0)))
    )
    check = check_lag(step, {"p50": 10.0, "p99": 80.0})
    assert "p99 by 10.000 ms" in check.reason


def test_lag_does_not_apply_when_nothing_succeeded():
    assert check_lag(_step(measured=0), {}).passed is None


def test_lag_of_a_percentile_without_an_interval_is_not_looked_at():
    few = dataclasses.replace(_latency(10.0), p99=Statistic(90.0, None, 368))
    check = check_lag(dataclasses.replace(_step(10.0), response_ms=few), {"p50": 10.0, "p99": 10.0})
    assert check.passed is True


def test_a_server_that_failed_or_changed_fails():
    assert check_server("it died", {"workers": 2}, {}).passed is False
    changed = check_server(None, {"workers": 2}, {"workers": 1})
    assert changed.passed is False
    assert "workers 2 -> 1" in changed.reason
    assert check_server(None, {"workers": 2}, {"workers": 2}).passed is True
    assert check_server(None, {}, {}).passed is None
