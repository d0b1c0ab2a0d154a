"""Summaries: the statistics of a run's records, one summary a step name.

One pass over the record file; memory is 8 bytes a latency a measured record, so ten million records fit in 1 GiB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servemark.result import ErrorExample, EventSummary, HeadlineLatency, LatencySummary, Statistic, StepSummary
from servemark.stats import intervals
from servemark.stats.events import EventTally, between_events, spread
from servemark.stats.percentiles import REPORTED, percentiles
from servemark.units import NS_PER_MS, NS_PER_S, NS_PER_US

LATENCIES = ("response", "service", "client_queue", "generator_lag")
#: Why a time of a record may not be beyond doubt: bits.
_CLOCK_READ, _UNSURE_SENT, _PAUSED = 1, 2, 4


@dataclass(frozen=True)
class Window:
    """The measured time of a run: successes scheduled in it make the latencies, successes that end in it the rate.

    Both ends are nanoseconds from the run's origin.
    """

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / NS_PER_S

    def batch_of(self, times_ns: NDArray[np.int64], batches: int) -> NDArray[np.intp]:
        """The number of the time batch that each time falls in, clipped to the window."""
        share = (times_ns - self.start_ns) / max(self.end_ns - self.start_ns, 1)
        return np.clip(share * batches, 0, batches - 1).astype(np.intp)


@dataclass(frozen=True)
class Evidence:
    """What of a step's measured records the checks of the generator look at, beside what is reported.

    Attributes:
        punctual_ms: of an open loop, the reported percentiles of response minus generator_lag, by name: what a
            generator that is never late would have reported. Empty for a closed loop.
        trusted_ms: the reported percentiles of the headline over the records whose ends are beyond doubt, by name.
            Empty where all are, or none.
        measured: how many records there are.
        clock_read: those whose end is a reading of the clock, and not the kernel's time of arrival.
        unsure_sent: those that may have left later than they say.
        paused: those whose answer may have come while the generator paused for longest.
        receive_lag_ms: for how long an answer lay there unread, on the mean; 0 without times of arrival.
        idle_ms: for how long users of a closed loop waited for the generator, together; 0 in an open loop.
        cycle_ms: for how long those users were not thinking, together.
    """

    punctual_ms: Mapping[str, float]
    trusted_ms: Mapping[str, float]
    measured: int
    clock_read: int
    unsure_sent: int
    paused: int
    receive_lag_ms: float
    idle_ms: float
    cycle_ms: float

    @property
    def is_stamped(self) -> bool:
        """Whether most of the records have the kernel's time of arrival."""
        return 2 * self.clock_read <= self.measured


@dataclass(frozen=True)
class Summary:
    """The statistics of a run: one entry a step name in `steps`, and as many in `evidence`."""

    steps: tuple[StepSummary, ...]
    evidence: tuple[Evidence, ...]


def latencies_ns(rows: NDArray[np.void], flags: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """The four latencies of records that were sent (design: measurement rule 2), in nanoseconds.

    `flags` has the bits of the `flags` column by name. In an open loop `ready` is when a generator that is never late
    could have sent, in a closed one when this one knew: there all is the generator's lag but the time in which the
    connection was opened.
    """
    queue = rows["ready"] - rows["scheduled"]
    closed = rows["flags"] & flags.get("closed_loop", 0) != 0
    if closed.any():
        opened = rows["flags"] & (flags["opened"] | flags["reconnected"]) != 0
        opening = (rows["connect_us"].astype(np.int64) + rows["tls_us"]) * NS_PER_US * opened
        queue = np.where(closed, np.minimum(opening, queue), queue)
    return {
        "response": rows["end"] - rows["scheduled"],
        "service": rows["end"] - rows["sent"],
        "client_queue": queue,
        "generator_lag": rows["sent"] - rows["scheduled"] - queue,
    }


class _StepTally:
    """What is gathered about one step while its records pass by."""

    def __init__(self, capacity: int, batches: int, flags: Mapping[str, int], pause_ns: tuple[int, int]) -> None:
        self.flags = flags
        self.pause_ns = pause_ns
        self.doubts = np.empty(capacity, dtype=np.uint8)
        self.closed = self.receive_lag_ns = 0
        self.latency = {name: np.empty(capacity, dtype=np.int64) for name in LATENCIES}
        self.batch_sum = {name: np.zeros(batches) for name in LATENCIES}
        self.batch_count = np.zeros(batches)
        self.batch_completed = np.zeros(batches)
        self.failed_response: list[NDArray[np.int64]] = []
        self.measured = self.requests = self.succeeded = self.bytes_sent = self.bytes_received = 0
        self.measured_failed = self.bytes_of_completed = 0
        self.errors: Counter[tuple[int, int]] = Counter()
        self.events = EventTally(flags, batches)

    def add(self, rows: NDArray[np.void], window: Window) -> None:
        batches = len(self.batch_count)
        ok = rows["kind"] == 0
        self.requests += len(rows)
        self.closed += int(np.count_nonzero(rows["flags"] & self.flags.get("closed_loop", 0)))
        self.succeeded += int(ok.sum())
        self.bytes_sent += int(rows["bytes_sent"].sum(dtype=np.int64))
        self.bytes_received += int(rows["bytes_received"].sum(dtype=np.int64))
        inside = (rows["scheduled"] >= window.start_ns) & (rows["scheduled"] < window.end_ns)
        if not ok.all():
            failed = rows[~ok]
            self.errors.update(zip(failed["kind"].tolist(), failed["status"].tolist(), strict=True))
            failed = rows[~ok & inside]
            self.measured_failed += len(failed)
            self.failed_response.append(failed["end"] - failed["scheduled"])
        ended = ok & (rows["end"] >= window.start_ns) & (rows["end"] <= window.end_ns)
        completed = rows["end"][ended]
        self.batch_completed += np.bincount(window.batch_of(completed, batches), minlength=batches)
        self.bytes_of_completed += int(rows["bytes_received"][ended].sum(dtype=np.int64))
        is_measured = ok & inside
        self.events.add(rows, is_measured, ended, window)
        measured = rows[is_measured]
        batch = window.batch_of(measured["scheduled"], batches)
        self.batch_count += np.bincount(batch, minlength=batches)
        for name, values in latencies_ns(measured, self.flags).items():
            self.latency[name][self.measured : self.measured + len(values)] = values
            self.batch_sum[name] += np.bincount(batch, weights=values, minlength=batches)
        self._look_at_clocks(measured)
        self.measured += len(measured)

    def _look_at_clocks(self, measured: NDArray[np.void]) -> None:
        doubts = self.doubts[self.measured : self.measured + len(measured)]
        doubts[:] = (measured["flags"] & self.flags.get("clock_read", 0) != 0) * np.uint8(_CLOCK_READ)
        doubts |= (measured["flags"] & self.flags.get("unsure_sent", 0) != 0) * np.uint8(_UNSURE_SENT)
        start_ns, end_ns = self.pause_ns
        doubts |= ((measured["sent"] < end_ns) & (measured["end"] > start_ns)) * np.uint8(_PAUSED)
        if "read" in (measured.dtype.names or ()):
            self.receive_lag_ns += int((measured["read"] - measured["end"]).sum())

    @property
    def headline(self) -> HeadlineLatency:
        """Which latency answers for the step: of a closed loop the service, which has no delay of the generator's."""
        return "service" if self.closed and self.closed == self.requests else "response"


def summarise(
    chunks: Iterable[NDArray[np.void]],
    *,
    rows: int,
    window: Window,
    step_names: tuple[str, ...],
    error_kinds: tuple[str, ...],
    examples: Mapping[int, tuple[ErrorExample, ...]],
    seed: int,
    flags: Mapping[str, int] | None = None,
    pause_ns: tuple[int, int] = (0, 0),
    event_gaps: Mapping[int, bytes] | None = None,
) -> Summary:
    """Summarise the records in `chunks` (at most `rows` of them), a step name at a time, in the order of `step_names`.

    Steps of one name are one: their records are pooled. `examples` holds the first failures of each step, by its
    number; `seed` makes the bootstrap repeatable. `flags` has the bits of the `flags` column by name,
    `pause_ns` when the generator paused for longest, and `event_gaps` the histograms of the times between the events of
    streamed responses, by the step's number.
    """
    batches = max(1, min(intervals.MOST_BATCHES, rows))
    names = list(dict.fromkeys(step_names))
    tallies = [_StepTally(rows, batches, flags or {}, pause_ns) for _ in names]
    place = np.array([names.index(name) for name in step_names])
    for chunk in chunks:
        for number, tally in enumerate(tallies):
            tally.add(chunk if len(tallies) == 1 else chunk[place[chunk["step"]] == number], window)
    resampled = intervals.stationary_bootstrap(batches, seed)
    evidence = tuple(_evidence(tally) for tally in tallies)  # first: what follows reorders the latencies
    steps = tuple(
        _step_summary(name, tally, window, error_kinds, _first_examples(examples, place == number), resampled)
        for number, (name, tally) in enumerate(zip(names, tallies, strict=True))
    )
    gaps = [[of for step, of in (event_gaps or {}).items() if place[step] == number] for number in range(len(names))]
    events = (_event_summary(tally.events, window, resampled, of) for tally, of in zip(tallies, gaps, strict=True))
    return Summary(tuple(replace(step, events=of) for step, of in zip(steps, events, strict=True)), evidence)


def _first_examples(
    examples: Mapping[int, tuple[ErrorExample, ...]], wanted: NDArray[np.bool_]
) -> tuple[ErrorExample, ...]:
    """The first failure of each kind among the steps that are `wanted`, in the order in which they happened."""
    found = [example for step, of_step in examples.items() if wanted[step] for example in of_step]
    first: dict[str, ErrorExample] = {}
    for example in sorted(found, key=lambda example: example.at_s):
        first.setdefault(example.kind, example)
    return tuple(first.values())


def _evidence(tally: _StepTally) -> Evidence:
    def measured(latency: str) -> NDArray[np.int64]:
        return tally.latency[latency][: tally.measured]

    doubts = tally.doubts[: tally.measured]
    counts = {doubt: int(np.count_nonzero(doubts & doubt)) for doubt in (_CLOCK_READ, _UNSURE_SENT, _PAUSED)}
    is_stamped = 2 * counts[_CLOCK_READ] <= tally.measured
    trusted = doubts & (_CLOCK_READ if is_stamped else _PAUSED) == 0
    is_open = tally.headline == "response"
    return Evidence(
        punctual_ms=_percentiles_ms(measured("response") - measured("generator_lag")) if is_open else {},
        trusted_ms={} if trusted.all() or not trusted.any() else _percentiles_ms(measured(tally.headline)[trusted]),
        measured=tally.measured,
        clock_read=counts[_CLOCK_READ],
        unsure_sent=counts[_UNSURE_SENT],
        paused=counts[_PAUSED],
        receive_lag_ms=tally.receive_lag_ns / max(tally.measured, 1) / NS_PER_MS,
        idle_ms=0.0 if is_open else tally.batch_sum["generator_lag"].sum() / NS_PER_MS,
        cycle_ms=0.0 if is_open else tally.batch_sum["response"].sum() / NS_PER_MS,
    )


def _percentiles_ms(values_ns: NDArray[np.int64]) -> dict[str, float]:
    found = zip(REPORTED, percentiles(values_ns, NS_PER_MS, list(REPORTED.values())), strict=True)
    return {name: statistic.value for name, statistic in found if statistic.value is not None}


def _step_summary(
    name: str,
    tally: _StepTally,
    window: Window,
    error_kinds: tuple[str, ...],
    examples: tuple[ErrorExample, ...],
    resampled: NDArray[np.intp],
) -> StepSummary:
    def latency(which: str) -> LatencySummary:
        values = tally.latency[which][: tally.measured]
        if tally.measured < intervals.SMALLEST_N:
            return latency_summary(values, None)
        low, high = intervals.ratio_interval(tally.batch_sum[which], tally.batch_count, resampled)
        return latency_summary(values, (low / NS_PER_MS, high / NS_PER_MS))

    failed = np.concatenate([np.empty(0, dtype=np.int64), *tally.failed_response])
    return StepSummary(
        name=name,
        requests=tally.requests,
        succeeded=tally.succeeded,
        measured=tally.measured,
        errors=dict(_named_errors(tally.errors, error_kinds)),
        error_examples=examples,
        throughput_per_s=_rate(tally.batch_completed, tally.batch_completed.sum(), window, resampled),
        response_ms=latency("response"),
        service_ms=latency("service"),
        client_queue_ms=latency("client_queue"),
        generator_lag_ms=latency("generator_lag"),
        failed_response_ms=latency_summary(failed, None),
        bytes_sent=tally.bytes_sent,
        bytes_received=tally.bytes_received,
        headline=tally.headline,
        measured_failed=tally.measured_failed,
        bytes_received_per_s=tally.bytes_of_completed / window.seconds if window.seconds > 0 else None,
    )


def _event_summary(
    tally: EventTally, window: Window, resampled: NDArray[np.intp], gaps: Sequence[bytes]
) -> EventSummary | None:
    if not tally.seen:
        return None
    per_request, first_ns = tally.per_request(), tally.first_event_ns()
    mean_ci95 = None
    if len(first_ns) >= intervals.SMALLEST_N:
        low, high = intervals.ratio_interval(tally.batch_first_sum, tally.batch_first_count, resampled)
        mean_ci95 = (low / NS_PER_MS, high / NS_PER_MS)
    return EventSummary(
        count=tally.count,
        streams=len(per_request),
        per_request=spread(per_request),
        events_per_s=_rate(tally.batch_events, tally.completed, window, resampled),
        time_to_first_event_ms=latency_summary(first_ns, mean_ci95),
        between_events_ms=between_events(gaps),
    )


def latency_summary(values_ns: NDArray[np.int64], mean_ci95: tuple[float, float] | None) -> LatencySummary:
    """The distribution of latencies in nanoseconds (reordered in place), in milliseconds.

    `mean_ci95` is the interval of the mean, in milliseconds, where one could be had.
    """
    n = len(values_ns)
    mean = float(values_ns.mean()) / NS_PER_MS if n else None
    statistics: dict[str, Any] = dict(
        zip(REPORTED, percentiles(values_ns, NS_PER_MS, list(REPORTED.values())), strict=True)
    )
    return LatencySummary(
        mean=Statistic(mean, mean_ci95, None if mean_ci95 else intervals.SMALLEST_N),
        min=float(values_ns.min()) / NS_PER_MS if n else None,
        max=float(values_ns.max()) / NS_PER_MS if n else None,
        stddev=float(values_ns.std(ddof=1)) / NS_PER_MS if n > 1 else None,
        **statistics,
    )


def _rate(by_batch: NDArray[np.float64], requests: float, window: Window, resampled: NDArray[np.intp]) -> Statistic:
    """What `requests` of them brought, by batch, over the length of the window."""
    value = float(by_batch.sum()) / window.seconds if window.seconds > 0 else None
    if value is None or requests < intervals.SMALLEST_N:
        return Statistic(value, None, intervals.SMALLEST_N)
    batch_s = np.full(len(by_batch), window.seconds / len(by_batch))
    return Statistic(value, intervals.ratio_interval(by_batch, batch_s, resampled))


def _named_errors(errors: Counter[tuple[int, int]], kinds: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    by_name: Counter[str] = Counter()
    for (kind, status), count in errors.items():
        name = kinds[kind]
        by_name[f"{name}:{status}" if name in {"http_status", "unexpected_status"} else name] += count
    yield from sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
