"""Checks of the generator's own delay: what it added to the times, and what it adds to those of an ideal server."""

from __future__ import annotations

from collections.abc import Mapping

from servemark.certificate.circumstances import GENERATOR_BUSY_SHARE, Circumstances, cause_and_advice
from servemark.result import Check, StepSummary
from servemark.units import NS_PER_MS

#: Bias that the generator's own lag may put into a reported percentile (design: measurement rule 8).
_LAG_LIMIT_MS = 0.5
#: Of the time that it is compared with: of a percentile, of the median service time, of the median response time.
_LIMIT_SHARE = 0.05
_RUN_QUEUE_LIMIT_MS = 0.1
_LOOPBACK_LIMIT_MS = 0.05


def check_lag(step: StepSummary, punctual_ms: Mapping[str, float], circumstances: Circumstances) -> Check:
    """The generator's own delay moves no percentile of the response time by more than the larger of 0.5 ms and 5%.

    Only percentiles that have an interval are looked at: of a few requests, one that was late would move the others.

    `punctual_ms` holds the same percentiles of response minus generator_lag: what a generator that is never late
    would have reported.
    """
    name = f"generator lag ({step.name})"
    worst: Check | None = None
    for percentile, without_ms in punctual_ms.items():
        statistic = getattr(step.response_ms, percentile)
        if statistic.ci95 is None:
            continue
        with_ms = statistic.value
        moved_ms = abs(with_ms - without_ms)
        limit_ms = max(_LAG_LIMIT_MS, _LIMIT_SHARE * without_ms)
        if worst is None or moved_ms / limit_ms > (worst.measured or 0.0) / (worst.limit or 1.0):
            moved = f"generator lag moves {percentile.replace('_', '.')}"
            worst = _within(name, moved_ms, limit_ms, f"{moved} by {_ms(moved_ms)}", circumstances)
    return worst or Check(name, None, "too few requests succeeded for any percentile to have an interval")


def check_receive_lag(
    *, lag_ns: int, sent: int, median_response_ms: float | None, circumstances: Circumstances
) -> Check:
    """In an open loop the generator takes a response that is ready after at most the larger of 0.5 ms and 5%.

    The mean over all requests, of the time that their threads did others' work. What a response waits for its thread
    is in its time as if the server had taken it, so 5% are those of the fastest step's median response time without
    the lag: an overloaded generator must not be measured by times that it made itself.
    """
    name = "receive lag"
    if not circumstances.open_loop:
        return Check(name, None, "closed loop: a busy generator sends less, and is told as generator-limited")
    if median_response_ms is None:
        return Check(name, None, "no request succeeded")
    mean_ms = lag_ns / sent / NS_PER_MS
    limit_ms = max(_LAG_LIMIT_MS, _LIMIT_SHARE * (median_response_ms - mean_ms))
    return _within(name, mean_ms, limit_ms, f"a response waits for the generator for {_ms(mean_ms)}", circumstances)


def check_run_queue(
    *, delay_ns: int, waits: int, median_service_ms: float | None, circumstances: Circumstances
) -> Check:
    """At a wake-up the generator's threads wait for a CPU for at most the larger of 100 us and 5% of the service time.

    The mean over all wake-ups, as the kernel counts them (schedstat). Until a thread runs nothing has a time: a
    response that waits for it looks like one that comes later. `median_service_ms` is the fastest step's.
    """
    name = "run-queue delay"
    if not waits:
        return Check(name, None, "this system does not count it")
    if median_service_ms is None:
        return Check(name, None, "no request succeeded")
    mean_ms = delay_ns / waits / NS_PER_MS
    limit_ms = max(_RUN_QUEUE_LIMIT_MS, _LIMIT_SHARE * median_service_ms)
    found = f"at a wake-up the generator waits for a CPU for {_ms(mean_ms)}"
    return _within(name, mean_ms, limit_ms, found, circumstances)


def check_cpu(circumstances: Circumstances) -> Check:
    """In an open loop the generator's threads compute for at most 80% of the time."""
    name = "generator CPU"
    if not circumstances.open_loop:
        return Check(name, None, "closed loop: a busy generator sends less, and not late")
    share = circumstances.generator_share
    found = f"the generator's threads compute for {share:.0%} of the time, limit {GENERATOR_BUSY_SHARE:.0%}"
    if share <= GENERATOR_BUSY_SHARE:
        return Check(name, True, found, share, GENERATOR_BUSY_SHARE, "share")
    return Check(name, False, f"{found}: {cause_and_advice(circumstances)}", share, GENERATOR_BUSY_SHARE, "share")


def check_loopback(*, p50_ns: int | None, median_response_ms: float | None, circumstances: Circumstances) -> Check:
    """An ideal server on this machine has a p50 of at most the larger of 50 us and 5% of the median response time.

    `p50_ns` is the self-test's, None when it could not be made; `median_response_ms` the fastest step's.
    """
    name = "loopback self-test"
    if p50_ns is None:
        return Check(name, None, "it could not be made: no socket, thread or file could be had")
    if median_response_ms is None:
        return Check(name, None, "no request succeeded")
    p50_ms = p50_ns / NS_PER_MS
    limit_ms = max(_LOOPBACK_LIMIT_MS, _LIMIT_SHARE * median_response_ms)
    found = f"a response that takes no time is measured as {_ms(p50_ms)}"
    return _within(name, p50_ms, limit_ms, found, circumstances)


def _within(name: str, measured_ms: float, limit_ms: float, found: str, circumstances: Circumstances) -> Check:
    reason = f"{found}, limit {_ms(limit_ms)}"
    if measured_ms <= limit_ms:
        return Check(name, True, reason, measured_ms, limit_ms, "ms")
    return Check(name, False, f"{reason}: {cause_and_advice(circumstances)}", measured_ms, limit_ms, "ms")


def _ms(value: float) -> str:
    """With one decimal from 1 ms on, below with as many of three as say something."""
    return f"{value:.1f} ms" if value >= 1 else f"{value:.3f}".rstrip("0").rstrip(".") + " ms"
