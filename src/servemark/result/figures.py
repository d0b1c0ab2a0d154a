"""Figures: values with their intervals, and distributions of latencies and of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


#: Who counted tokens: the server, a tokenizer over the whole text, either (the tokenizer where the server told none),
#: or nobody.
TokenSource = Literal["usage", "tokenizer", "usage, else tokenizer", "none"]


@dataclass(frozen=True)
class OutputTokens:
    """Tokens that were generated.

    Attributes:
        count: in the measured answers whose tokens are known, `answers` of them; None where nobody counted.
        per_s: those of the successes that ended inside the measured time, over it.
        per_user_per_s: of one stream from its first to its last event with content: the inverse of the median time per
            output token.
        source: who counted.
        per_request: tokens of an answer; None where nobody counted.
        per_event: tokens of an event with content, on the mean over streams.
        by_usage_and_tokenizer: what each of them counted of the answers that both did; None where not both did.
    """

    count: int | None
    answers: int
    per_s: Statistic
    per_user_per_s: Statistic
    source: TokenSource
    per_request: Spread | None
    per_event: float | None
    by_usage_and_tokenizer: tuple[int, int] | None = None


@dataclass(frozen=True)
class TokenSummary:
    """What servers that send tokens answered, by what their events say; of the measured successes.

    Attributes:
        answers: how many were read, and `streams` those of them that streamed content.
        events: events with content: text, reasoning or calls of tools; what else came is none.
        first_token_ms: from where the headline counts to the first event with content.
        first_said_ms: the same to the first that was not reasoning alone; None where none reasoned.
        time_per_output_token_ms: from the first event with content to the last one, over the tokens that came after
            those of the first one; of that, `first_event_told` streams told how many it held, and of the others it
            counts as one.
        between_content_ms: between events with content, of successes scheduled after the warm-up; None where no stream
            had two.
        longest_gap_ms: the longest time between two of them, of each stream.
        tail_ms: from the last event with content to the end.
        finish_reasons: how many answers ended why, by their own words; ``none`` said nothing.
        without_end_mark: streams that lacked the mark behind the last event, of a format that has one.
        unread: answers that had something in them which was not understood.
        cut: answers that were longer than what is kept of one.
        asked: answers of which it is known how many tokens were asked for at most, and how many came.
        short: how many of them had fewer, by why they ended.
        without_content: answers that had none.
        not_streamed: answers that came whole, where their requests asked for streams: they have no times.
        usage_of_none: answers with content whose usage said that they had no token, which is taken for no usage.
    """

    answers: int
    streams: int
    events: int
    first_token_ms: LatencySummary
    first_said_ms: LatencySummary | None
    time_per_output_token_ms: LatencySummary
    first_event_told: int
    between_content_ms: GapSummary | None
    longest_gap_ms: LatencySummary
    tail_ms: LatencySummary
    output_tokens: OutputTokens
    finish_reasons: Mapping[str, int]
    without_end_mark: int
    unread: int
    cut: int
    asked: int = 0
    short: Mapping[str, int] = field(default_factory=dict)
    without_content: int = 0
    not_streamed: int = 0
    usage_of_none: int = 0


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
