"""Summaries: the statistics of a run, one summary a step name, made of the evidence of its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from servemark.result import ErrorExample, EventSummary, LatencySummary, Statistic, StepSummary, error_name
from servemark.stats import intervals
from servemark.stats.events import between_events, spread
from servemark.stats.evidence import Batches, EventEvidence, Evidence, StepEvidence, Window
from servemark.stats.percentiles import percentiles_ms
from servemark.stats.samples import Sample
from servemark.units import NS_PER_MS

Resampled = NDArray[np.float64]


def summarise(
    evidence: Evidence,
    *,
    seed: int,
    examples: Mapping[int, tuple[ErrorExample, ...]] | None = None,
    event_gaps: Mapping[int, bytes] | None = None,
) -> tuple[StepSummary, ...]:
    """Summarise a run, a step name at a time, in the order of the plan.

    `seed` makes the bootstrap repeatable. `examples` holds the first failures of each step, by its number, and
    `event_gaps` the histograms of the times between the events of streamed responses, likewise.
    """
    if not evidence.steps:
        return ()
    resampled = intervals.stationary_bootstrap(len(evidence.steps[0].completed), seed)
    numbers = {
        step.name: {number for number, name in enumerate(evidence.step_names) if name == step.name}
        for step in evidence.steps
    }
    return tuple(
        _step_summary(
            step,
            evidence,
            _first_examples(examples or {}, numbers[step.name]),
            [gaps for number, gaps in (event_gaps or {}).items() if number in numbers[step.name]],
            resampled,
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
    resampled: Resampled,
) -> StepSummary:
    window = evidence.window

    def latency(which: str) -> LatencySummary:
        return _latency_summary(step.latencies_ns[which], step.by_batch[which], resampled)

    return StepSummary(
        name=step.name,
        requests=step.requests,
        succeeded=step.succeeded,
        measured=step.measured,
        errors=dict(_named_errors(step.errors, evidence.error_kinds)),
        error_examples=examples,
        throughput_per_s=_rate(step.completed, step.completed.sum(), window, resampled),
        response_ms=latency("response"),
        service_ms=latency("service"),
        client_queue_ms=latency("client_queue"),
        generator_lag_ms=latency("generator_lag"),
        failed_response_ms=_latency_summary(step.failed_ns, None, resampled),
        bytes_sent=step.bytes_sent,
        bytes_received=step.bytes_received,
        events=_event_summary(step.events, window, resampled, gaps) if step.events else None,
        headline=step.headline,
        measured_failed=step.failed_ns.count,
        bytes_received_per_s=step.bytes_of_completed / window.seconds if window.seconds > 0 else None,
    )


def _event_summary(events: EventEvidence, window: Window, resampled: Resampled, gaps: Sequence[bytes]) -> EventSummary:
    return EventSummary(
        count=events.count,
        streams=events.per_request.count,
        per_request=spread(events.per_request),
        events_per_s=_rate(events.by_batch, events.completed, window, resampled),
        time_to_first_event_ms=_latency_summary(events.first_event_ns, events.first_event, resampled),
        between_events_ms=between_events(gaps),
    )


def _latency_summary(sample: Sample, batches: Batches | None, resampled: Resampled) -> LatencySummary:
    """The distribution of latencies in nanoseconds, in milliseconds.

    `batches` has the same, for the interval of the mean; None where it is to have none.
    """
    ci95 = None
    if batches is not None and sample.count >= intervals.SMALLEST_N:
        low, high = intervals.ratio_interval(batches.sums, batches.counts, resampled)
        ci95 = (low / NS_PER_MS, high / NS_PER_MS)
    return LatencySummary(
        mean=Statistic(_in_ms(sample.mean), ci95, None if ci95 else intervals.SMALLEST_N),
        min=_in_ms(sample.min),
        max=_in_ms(sample.max),
        stddev=_in_ms(sample.stddev),
        **percentiles_ms(sample),
    )


def _in_ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / NS_PER_MS


def _rate(by_batch: NDArray[np.float64], requests: float, window: Window, resampled: Resampled) -> Statistic:
    """What `requests` of them brought, by batch, over the length of the window."""
    value = float(by_batch.sum()) / window.seconds if window.seconds > 0 else None
    if value is None or requests < intervals.SMALLEST_N:
        return Statistic(value, None, intervals.SMALLEST_N)
    batch_s = np.full(len(by_batch), window.seconds / len(by_batch))
    return Statistic(value, intervals.ratio_interval(by_batch, batch_s, resampled))


def _named_errors(errors: Mapping[tuple[int, int], int], kinds: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    by_name: Counter[str] = Counter()
    for (kind, status), count in errors.items():
        by_name[error_name(kinds[kind], status)] += count
    yield from sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
