"""Evidence: all that statistics, certificate and verdicts need of the records of a run, and what is asked of them.

It is small and does not change, whatever is asked of it afterwards; ``servemark.stats.gather`` gathers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.result import KERNEL_CLOCK, USER_CLOCK, HeadlineLatency, Histogram
from servemark.stats.percentiles import percentiles_ms
from servemark.stats.samples import Sample
from servemark.stats.tally_question import NO_TIME as NO_TIME
from servemark.stats.tally_question import Window as Window
from servemark.stats.tokens import TokenEvidence
from servemark.units import NS_PER_MS
from servemark.workload.engine_plan import EngineArrivals

FloatArray = NDArray[np.float64]
#: The failures of which a complete response was read.
_OF_RESPONSES = ("http_status", "unexpected_status", "application")


@dataclass(frozen=True, kw_only=True)
class Process:
    """The arrivals of a group of an open loop, as they should have been.

    Attributes:
        first_step: the step that every arrival begins with, which one `repeats` if it performs that several times; None
            where each performs one step of a mix.
        ended_ns: of each generator, in the order of their shares: its arrivals that are due from here on were not to be
            begun.
    """

    arrivals: EngineArrivals
    seed: int
    group: int
    first_step: int | None
    repeats: bool
    ended_ns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of records, beside what is always looked at.

    Attributes:
        window: the measured time.
        pause: when the generator paused for longest.
        accounted: the time over which requests under way are summed up.
        stages: of a profile of rates, in order, and apart.
        begins: the steps with which an arrival of an open loop begins, and `ends` those with which it ends.
        processes: of each group of an open loop, by any name.
        places: how many requests under way keep the server busy, where users of a closed loop are to do that.
        from_ns: before this time it is not looked at whether they do.
        workers: of the server, each with one request at a time, where it is asked how busy the load keeps them.
        limits: latencies by name, each with a time in nanoseconds: how many requests of a step miss it.
        together: by the name of a step the limits that its requests are to keep at once, by latency in nanoseconds.
    """

    window: Window
    pause: Window = NO_TIME
    accounted: Window = NO_TIME
    stages: tuple[Window, ...] = ()
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    processes: Mapping[str, Process] = field(default_factory=dict)
    places: int | None = None
    from_ns: int = 0
    workers: int | None = None
    limits: tuple[tuple[str, int], ...] = ()
    together: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Batches:
    """Sums and counts by part of equal time of the window: a mean is the one over the other."""

    sums: FloatArray
    counts: FloatArray


@dataclass(frozen=True)
class Shares:
    """How many requests of each part of equal time of the window there were, and how many of them are meant."""

    meant: FloatArray
    counts: FloatArray

    @classmethod
    def joined(cls, trials: Sequence[Shares]) -> Shares:
        """Join the shares of several trials, one behind the other."""
        return cls(np.concatenate([one.meant for one in trials]), np.concatenate([one.counts for one in trials]))


@dataclass(frozen=True, kw_only=True)
class EventEvidence:
    """What the events of a step's streams add up to.

    Attributes:
        count: events of everything that was sent.
        completed: streams that ended well in the window, and `by_batch` their events, by when they ended.
        per_request: events of each measured stream.
        first_event_ns: from where the headline counts to the first event, of those that had one; `first_event` the same
            by batch.
    """

    count: int
    completed: int
    by_batch: FloatArray
    per_request: Sample
    first_event_ns: Sample
    first_event: Batches


@dataclass(frozen=True, kw_only=True)
class StepEvidence:
    """What the records of one step name add up to.

    Attributes:
        requests: of everything that was sent, the warm-up too; so `succeeded`, `bytes_sent` and `bytes_received`.
        errors: failures by kind and status.
        latencies_ns: of what is measured, by the names of ``LATENCIES``; `by_batch` the same by when it was scheduled.
        above: of the headline's latency, by quantile: the requests that took longer, by when they were scheduled.
        slow: those of them that took a tenth longer than the median, likewise; None of nothing.
        missed: of each limit that was asked for: the requests that failed, or took as long or longer, of the longest
            gap the streams that had one as long; `late` of those from the schedule of an open loop how many of them did
            only by the generator's lag.
        failures: of all that were scheduled in the window, those that failed.
        completed: successes that ended in the window, by batch; `bytes_of_completed` the bytes of their responses.
        failed_ns: the responses of failures that were scheduled in the window.
        punctual_ns: of an open loop, the times from the schedule without the generator's lag, by name.
        trusted_ns: the headline of those measured records whose ends are beyond doubt; None where all are, or none.
        clock_read: measured records whose end is a reading of the clock, and not the kernel's time of arrival.
        unsure_sent: those that may have left later than they say.
        paused: those whose answer may have come while the generator paused for longest.
        receive_lag_ms: for how long an answer lay there unread, on the mean; 0 without times of arrival.
        events: None where no response streamed.
        tokens: None where no answer was read.
        within: those of the completed that kept all limits of the step at once, by batch; None where it has none.
        distribution: of the headline's latency; None of nothing.
    """

    name: str
    headline: HeadlineLatency
    requests: int
    succeeded: int
    bytes_sent: int
    bytes_received: int
    errors: Mapping[tuple[int, int], int]
    latencies_ns: Mapping[str, Sample]
    by_batch: Mapping[str, Batches]
    above: Mapping[float, Shares]
    slow: Shares | None
    missed: Mapping[tuple[str, int], Shares]
    late: Mapping[tuple[str, int], float]
    failures: Shares
    completed: FloatArray
    bytes_of_completed: int
    failed_ns: Sample
    punctual_ns: Mapping[str, Sample]
    trusted_ns: Sample | None
    clock_read: int
    unsure_sent: int
    paused: int
    receive_lag_ms: float
    events: EventEvidence | None
    distribution: Histogram | None = None
    tokens: TokenEvidence | None = None
    within: FloatArray | None = None

    @property
    def measured(self) -> int:
        """How many records there are in the statistics."""
        return self.latencies_ns["response"].count

    @property
    def is_stamped(self) -> bool:
        """Whether most of the records have the kernel's time of arrival."""
        return 2 * self.clock_read <= self.measured

    def punctual_ms(self, latency: str) -> Mapping[str, float]:
        """What a generator that is never late would have reported of an open loop, by name; empty for a closed one."""
        return _values(self.punctual_ns[latency]) if self.headline == "response" else {}

    @property
    def trusted_ms(self) -> Mapping[str, float]:
        """The percentiles of the headline over the records beyond doubt, by name; empty where all are, or none."""
        return _values(self.trusted_ns) if self.trusted_ns else {}

    @property
    def idle_ms(self) -> float:
        """The time that users of a closed loop waited for the generator, together; 0 in an open loop."""
        return self._of_users_ms("generator_lag")

    @property
    def cycle_ms(self) -> float:
        """The time that users of a closed loop were not thinking, together; 0 in an open loop."""
        return self._of_users_ms("response")

    def _of_users_ms(self, latency: str) -> float:
        return self.latencies_ns[latency].total / NS_PER_MS if self.headline == "service" else 0.0


@dataclass(frozen=True)
class StageEvidence:
    """What a stage of a profile adds up to; `ended` are the successes that ended in it, and an arrival with them."""

    window: Window
    requests: int
    failed: int
    begun: int
    ended: int
    response_ns: Sample
    client_queue_ns: Sample


@dataclass(frozen=True)
class Begun:
    """Arrivals that were scheduled in the window, and from the first to the last of them."""

    count: int
    span_ns: int


@dataclass(frozen=True)
class UnderWay:
    """Requests that began to be written.

    Attributes:
        sent: how many.
        in_flight_ns: how long they were under way for the generator, from the first byte written until it had read
            their end, summed over the part of it that lies in the accounted time.
        completions: how many of those ended in that time.
    """

    sent: int
    in_flight_ns: int
    completions: int

    @classmethod
    def of_all(cls, parts: Sequence[UnderWay]) -> UnderWay:
        """Sum up several generators, each over its own accounted time."""
        return cls(
            sent=sum(one.sent for one in parts),
            in_flight_ns=sum(one.in_flight_ns for one in parts),
            completions=sum(one.completions for one in parts),
        )


@dataclass(frozen=True)
class InFlight:
    """Requests under way, from the first byte written to the last byte of the response, while all users were at work.

    Attributes:
        least: the fewest at any moment; None when none ended then.
        starved_share: the part of the places that no request took; None of no time.
    """

    least: int | None
    starved_share: float | None


@dataclass(frozen=True)
class Evidence:
    """What the records of a run add up to: one entry a step name in `steps`, in the order of the plan.

    `workers_busy_share` is the part of their time in the window for which workers had a request; None where it was not
    asked. `slot_ns` is how long the slots of time are by which records are known that were not kept; None where they
    were. Of those nothing is known of their order, `arrivals` and `in_flight` are empty, and values are as exact as
    ``condensed_files.WITHIN_SHARE``.
    """

    window: Window
    step_names: tuple[str, ...]
    error_kinds: tuple[str, ...]
    steps: tuple[StepEvidence, ...]
    stages: tuple[StageEvidence, ...]
    begun: Begun
    arrivals: Mapping[str, _loadgen.ArrivalAccount]
    under_way: UnderWay
    in_flight: InFlight | None
    workers_busy_share: float | None = None
    slot_ns: int | None = None

    @property
    def is_condensed(self) -> bool:
        """Whether records were not kept, but what they add up to."""
        return self.slot_ns is not None

    @property
    def recorded(self) -> int:
        """Records of everything that was sent."""
        return sum(step.requests for step in self.steps)

    @property
    def responses(self) -> int:
        """Records of complete responses, whatever these said."""
        failed = (errors for step in self.steps for errors in step.errors.items())
        answered = sum(count for (kind, _), count in failed if self.error_kinds[kind] in _OF_RESPONSES)
        return answered + sum(step.succeeded for step in self.steps)

    @property
    def receive_clock(self) -> str:
        """Whose time of arrival answers have, as the records tell it."""
        return KERNEL_CLOCK if all(step.is_stamped for step in self.steps) else USER_CLOCK


def _values(sample: Sample) -> dict[str, float]:
    found = percentiles_ms(sample).items()
    return {name: statistic.value for name, statistic in found if statistic.value is not None}
