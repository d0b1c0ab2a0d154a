"""Streams: what it makes of the times of their events that these were read late.

The kernel stamps the last segment of what one read takes. So an event is late where the next one came before it was
read; without the kernel's times of arrival each is that was read late.
"""

from __future__ import annotations

from dataclasses import replace

from servemark.certificate.effects import Effect, events_of, late
from servemark.result import StepSummary
from servemark.stats.lateness import Lateness


def events_late(step: StepSummary, lateness: Lateness) -> list[Effect]:
    """The effects on the times of a step's streams, where every event in so much of the time was read late."""
    return _effects(step, lateness, _of_streams(step, lateness))


def joined_late(step: StepSummary, joined_share: float, wait_ms: float, pauses: Lateness) -> list[Effect]:
    """The effects where answers have the kernel's stamps, and `joined_share` of events was read with later ones.

    What there is to read waits for `wait_ms`, on the mean, and so no larger part of it than that over the time between
    events waits until another comes (Markov's inequality), and then no longer than that and a mean wait, about.
    """
    assert step.events
    assert step.events.between_events_ms
    between_ms = step.events.between_events_ms.mean
    share = min(joined_share, wait_ms / between_ms) if between_ms else joined_share
    waits = Lateness(share, min(2 * wait_ms / joined_share, between_ms + wait_ms))
    paused = replace(pauses, share=min(joined_share, pauses.share))
    return [
        *_effects(step, waits, _of_gaps(step, between_ms, waits)),
        *_effects(step, paused, _of_streams(step, pauses)),
    ]


def _effects(step: StepSummary, of_events: Lateness, of_longest_gaps: Lateness) -> list[Effect]:
    return [
        effect
        for what, times in events_of(step).items()
        for effect in late(what, times, of_longest_gaps if what == "longest_gap" else of_events)
    ]


def _of_gaps(step: StepSummary, between_ms: float, waits: Lateness) -> Lateness:
    """What waits make of the longest gap of each stream: either end of it may have been read late.

    So may all its other events, where one more wait makes the longest of a usual gap.
    """
    per_request = step.events.per_request if step.events else None
    longest_ms = step.tokens.longest_gap_ms.p50.value if step.tokens else None
    is_usual = (longest_ms or 0.0) <= between_ms + waits.most_ms
    return replace(waits, share=min(waits.share * (per_request.mean if per_request and is_usual else 2), 1.0))


def _of_streams(step: StepSummary, lateness: Lateness) -> Lateness:
    """What lateness of a moment is for a whole stream, which meets it for as long as it takes."""
    took_ms = step.service_ms.p50.value or 0.0
    share = lateness.share * (1 + took_ms / lateness.most_ms) if lateness.most_ms else 0.0
    return replace(lateness, share=min(share, 1.0))
