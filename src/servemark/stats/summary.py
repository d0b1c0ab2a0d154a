"""Summaries: the statistics of a run, one summary a step name, made of the evidence of its records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.result import (
    ErrorExample,
    EventSummary,
    LatencySummary,
    Statistic,
    StepSummary,
    TokenSummary,
    Trend,
    error_name,
)
from servemark.stats import intervals
from servemark.stats.dependence import LEAST_TIMES
from servemark.stats.distributions import NORMAL_REACH
from servemark.stats.drift import drift_of
from servemark.stats.events import between_events, gaps_of_step, spread
from servemark.stats.evidence import Batches, EventEvidence, Evidence, StepEvidence, Window
from servemark.stats.percentiles import as_independent, percentiles_ms
from servemark.stats.samples import Sample
from servemark.stats.tokens import TokenEvidence, output_tokens
from servemark.units import NS_PER_MS

#: A rate of fewer requests than this is not judged.
_FEWEST = 30


def summarise(
    evidence: Evidence,
    *,
    examples: Mapping[int, tuple[ErrorExample, ...]] | None = None,
    event_gaps: Mapping[int, tuple[bytes, ...]] | None = None,
    content_gaps: Mapping[int, tuple[bytes, ...]] | None = None,
) -> tuple[StepSummary, ...]:
    """Summarise a run, a step name at a time, in the order of the plan.

    `examples` holds the first failures of each step, by its number, and
    `event_gaps` the histograms of the times between the events of streamed responses, likewise, and `content_gaps`
    those of events with content.
    """
    if not evidence.steps:
        return ()
    numbers = {
        step.name: {number for number, name in enumerate(evidence.step_names) if name == step.name}
        for step in evidence.steps
    }
    return tuple(
        _step_summary(
            step,
            evidence,
            _first_examples(examples or {}, numbers[step.name]),
            gaps_of_step(event_gaps or {}, evidence.step_names, step.name),
            gaps_of_step(content_gaps or {}, evidence.step_names, step.name),
        )
        for step in evidence.steps
    )


def _first_examples(examples: Mapping[int, tuple[ErrorExample, ...]], wanted: set[int]) -> tuple[ErrorExample, ...]:
    """The first failure of each kind among the steps that are `wanted`, in the order in which they happened."""
    found = [example for step, of_step in examples.items() if step in wanted for example in of_step]
    first: dict[str, ErrorExample] = {}
    for example in sorted(found, key=lambda example: example.at_s):
        first.setdefault(example.kind, example)
    return tuple(first.values())


def _step_summary(
    step: StepEvidence,
    evidence: Evidence,
    examples: tuple[ErrorExample, ...],
    gaps: Sequence[bytes],
    content_gaps: Sequence[bytes],
) -> StepSummary:
    window = evidence.window

    def latency(which: str) -> LatencySummary:
        return _latency_summary(step.latencies_ns[which], step.by_batch[which])

    throughput_per_s = rate(step.completed, window.seconds)
    return StepSummary(
        name=step.name,
        requests=step.requests,
        succeeded=step.succeeded,
        measured=step.measured,
        errors=dict(_named_errors(step.errors, evidence.error_kinds)),
        error_examples=examples,
        throughput_per_s=throughput_per_s,
        response_ms=latency("response"),
        service_ms=latency("service"),
        client_queue_ms=latency("client_queue"),
        generator_lag_ms=latency("generator_lag"),
        failed_response_ms=_latency_summary(step.failed_ns, None),
        bytes_sent=step.bytes_sent,
        bytes_received=step.bytes_received,
        events=_event_summary(step.events, window, gaps) if step.events else None,
        headline=step.headline,
        measured_failed=step.failed_ns.count,
        trends=_trends(step, window, throughput_per_s),
        distribution=step.distribution,
        bytes_received_per_s=step.bytes_of_completed / window.seconds if window.seconds > 0 else None,
        tokens=_token_summary(step.tokens, window, content_gaps) if step.tokens else None,
    )


def bounded(step: StepSummary, evidence: StepEvidence) -> StepSummary:
    """A summary by whose intervals it is judged how far a figure may be moved: there are some for few requests, too.

    Those which it lacks are such as independent requests would have; of the rate, such as their number has then. Beyond
    p99 nothing is claimed of a figure without one, which is not judged then.
    """

    def latency(sample: Sample, found: LatencySummary) -> LatencySummary:
        independent = percentiles_ms(as_independent(sample))
        lacking: dict[str, Any] = {
            name: one for name, one in independent.items() if name != "p99_9" and getattr(found, name).ci95 is None
        }
        return replace(found, **lacking)

    events, tokens = step.events, step.tokens
    if events and evidence.events:
        first_event_ms = latency(evidence.events.first_event_ns, events.time_to_first_event_ms)
        events = replace(events, time_to_first_event_ms=first_event_ms)
    if tokens and evidence.tokens:
        times_ns = evidence.tokens.times_ns
        tokens = replace(
            tokens,
            first_token_ms=latency(times_ns["first_token"], tokens.first_token_ms),
            first_said_ms=latency(times_ns["first_said"], tokens.first_said_ms) if tokens.first_said_ms else None,
            longest_gap_ms=latency(times_ns["longest_gap"], tokens.longest_gap_ms),
        )
    return replace(
        step,
        throughput_per_s=step.throughput_per_s if step.throughput_per_s.ci95 else independent_rate(step, evidence),
        response_ms=latency(evidence.latencies_ns["response"], step.response_ms),
        service_ms=latency(evidence.latencies_ns["service"], step.service_ms),
        events=events,
        tokens=tokens,
    )


def independent_rate(step: StepSummary, evidence: StepEvidence) -> Statistic:
    """The rate with the interval that as many independent successes would have, by their number; if there are 30."""
    rate, completed = step.throughput_per_s, float(evidence.completed.sum())
    if not rate.value or completed < _FEWEST:
        return replace(rate, ci95=None)
    error = NORMAL_REACH * rate.value / math.sqrt(completed)
    return Statistic(rate.value, (rate.value - error, rate.value + error))


def _trends(step: StepEvidence, window: Window, throughput_per_s: Statistic) -> dict[str, Trend]:
    """Whether p50, p99 and rate stood, where they have an interval."""
    series = {}
    latency = step.latencies_ns[step.headline]
    for name, q in (("p50", 0.5), ("p99", 0.99)):
        worth = latency.worth.get(q)
        if worth and worth.times >= LEAST_TIMES:
            series[name] = (step.above[q].meant, step.above[q].counts)
    if throughput_per_s.ci95:
        series["rate"] = (step.completed, np.full(len(step.completed), window.seconds / len(step.completed)))
    found = {name: drift_of(*amounts) for name, amounts in series.items()}
    return {
        name: Trend("drifting" if drift.is_drifting else "steady", drift.start, drift.end, drift.p)
        for name, drift in found.items()
        if drift is not None
    }


def _event_summary(events: EventEvidence, window: Window, gaps: Sequence[bytes]) -> EventSummary:
    return EventSummary(
        count=events.count,
        streams=events.per_request.count,
        per_request=spread(events.per_request),
        events_per_s=rate(events.by_batch, window.seconds),
        time_to_first_event_ms=_latency_summary(events.first_event_ns, events.first_event),
        between_events_ms=between_events(gaps),
    )


def _token_summary(tokens: TokenEvidence, window: Window, gaps: Sequence[bytes]) -> TokenSummary:
    found = tokens.found
    times = {name: _latency_summary(sample, None) for name, sample in tokens.times_ns.items()}
    batches = Batches(tokens.first_token_sums, tokens.first_token_counts)
    time_per_token = times["time_per_output_token"]
    return TokenSummary(
        answers=found.count,
        streams=found.streamed,
        events=found.contents,
        first_token_ms=_latency_summary(tokens.times_ns["first_token"], batches),
        first_said_ms=times["first_said"] if tokens.times_ns["first_said"].count else None,
        time_per_output_token_ms=time_per_token,
        first_event_told=found.first_told,
        between_content_ms=between_events(gaps),
        longest_gap_ms=times["longest_gap"],
        tail_ms=times["tail"],
        output_tokens=output_tokens(tokens, rate(tokens.by_batch, window.seconds), time_per_token.p50),
        finish_reasons=_by_reason(found.finishes),
        without_end_mark=found.unmarked,
        unread=found.unread,
        cut=found.cut,
        asked=found.asked,
        short=_by_reason(found.short),
        without_content=found.empty,
        not_streamed=found.whole,
        usage_of_none=found.uncounted,
    )


def _by_reason(counts: Sequence[int]) -> dict[str, int]:
    return {name: count for name, count in zip(_loadgen.FINISH_NAMES, counts, strict=True) if count}


def _latency_summary(sample: Sample, batches: Batches | None) -> LatencySummary:
    """The distribution of latencies in nanoseconds, in milliseconds.

    `batches` has the same, for the interval of the mean; None where it is to have none.
    """
    return LatencySummary(
        mean=_mean(sample, batches),
        min=_in_ms(sample.min),
        max=_in_ms(sample.max),
        stddev=_in_ms(sample.stddev),
        **percentiles_ms(sample),
    )


def _mean(sample: Sample, batches: Batches | None) -> Statistic:
    value_ms, stddev = _in_ms(sample.mean), sample.stddev
    if batches is None or stddev is None or sample.count < LEAST_TIMES:
        return Statistic(value_ms, None, LEAST_TIMES)
    found = intervals.mean_interval(batches.sums, batches.counts, stddev)
    if found.ci95 is None:
        return Statistic(value_ms, None, math.ceil(LEAST_TIMES / found.times * sample.count))
    low_ns, high_ns = found.ci95
    return Statistic(value_ms, (low_ns / NS_PER_MS, high_ns / NS_PER_MS))


def _in_ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_MS


def rate(by_batch: NDArray[np.float64], seconds: float) -> Statistic:
    """How many there were of something, by batch, over the time that all batches take."""
    return rate_over_runs([(by_batch, seconds)])


def rate_over_runs(runs: Sequence[tuple[NDArray[np.float64], float]]) -> Statistic:
    """The same over several runs together, whose batches may be of other times.

    Those of a short run are joined until they take about as long as the longest do: how far neighbours are alike is
    told in batches.
    """
    runs = [(by_batch, seconds) for by_batch, seconds in runs if seconds > 0]
    if not runs:
        return Statistic(None, None, LEAST_TIMES)
    longest_s = max(seconds / len(by_batch) for by_batch, seconds in runs)
    counts, each_s = map(np.concatenate, zip(*(_joined(*run, longest_s) for run in runs), strict=True))
    count, seconds = float(counts.sum()), sum(seconds for _, seconds in runs)
    found = intervals.rate_interval(counts, each_s)
    needs_s = None if found.ci95 or not count else seconds * LEAST_TIMES / found.times
    return Statistic(count / seconds, found.ci95, None if found.ci95 or count else LEAST_TIMES, needs_s)


def _joined(
    by_batch: NDArray[np.float64], seconds: float, longest_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many there were by batches of about `longest_s`, and how long each of these is."""
    batch_s = seconds / len(by_batch)
    starts = np.arange(0, len(by_batch), round(longest_s / batch_s))
    return np.add.reduceat(by_batch, starts), batch_s * np.diff(starts, append=len(by_batch))


def _named_errors(errors: Mapping[tuple[int, int], int], kinds: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    by_name: Counter[str] = Counter()
    for (kind, status), count in errors.items():
        by_name[error_name(kinds[kind], status)] += count
    yield from sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
