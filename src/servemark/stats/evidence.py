"""Evidence: everything that statistics, certificate and verdicts need of the records of a run, gathered in one place.

The passes over the records are ``_loadgen.Tally``: one that adds everything up, and others for order statistics, which
are exact. What comes of them is small and does not change, whatever is asked of it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.condensed_files import Condensed
from servemark.records import RecordFile, reading
from servemark.result import HeadlineLatency, Histogram
from servemark.stats import intervals
from servemark.stats.condensed import CondensedTally, condensed_of
from servemark.stats.counting import LATENCIES, SAMPLES, Counted, CountedSample, headline_of, samples_of
from servemark.stats.histograms import histogram
from servemark.stats.percentiles import REPORTED, percentiles_ms, rank
from servemark.stats.samples import Sample
from servemark.stats.tally_question import NO_TIME as NO_TIME
from servemark.stats.tally_question import TallyQuestion
from servemark.stats.tally_question import Window as Window
from servemark.stats.tokens import TokenEvidence, token_evidence
from servemark.stats.warm_up import slow_ns
from servemark.units import NS_PER_MS
from servemark.workload.plan import EngineArrivals

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Process:
    """The arrivals of a group of an open loop, as they should have been.

    Attributes:
        first_step: the step that every arrival begins with, which one `repeats` if it performs that several times; None
            where each performs one step of a mix.
        ended_ns: arrivals that are due from here on were not to be begun.
    """

    arrivals: EngineArrivals
    seed: int
    group: int
    first_step: int | None
    repeats: bool
    ended_ns: int


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
        missed: of each limit that was asked for: the requests that failed, or took as long or longer.
        failures: of all that were scheduled in the window, those that failed.
        completed: successes that ended in the window, by batch; `bytes_of_completed` the bytes of their responses.
        failed_ns: the responses of failures that were scheduled in the window.
        punctual_ns: of an open loop, response without the generator's lag.
        trusted_ns: the headline of those measured records whose ends are beyond doubt; None where all are, or none.
        clock_read: measured records whose end is a reading of the clock, and not the kernel's time of arrival.
        unsure_sent: those that may have left later than they say.
        paused: those whose answer may have come while the generator paused for longest.
        receive_lag_ms: for how long an answer lay there unread, on the mean; 0 without times of arrival.
        events: None where no response streamed.
        tokens: None where no answer was read.
        beyond: the requests that were beyond any of several limits at once, which was counted as records were
            condensed; None where that was not asked, or records are there.
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
    failures: Shares
    completed: FloatArray
    bytes_of_completed: int
    failed_ns: Sample
    punctual_ns: Sample
    trusted_ns: Sample | None
    clock_read: int
    unsure_sent: int
    paused: int
    receive_lag_ms: float
    events: EventEvidence | None
    distribution: Histogram | None = None
    tokens: TokenEvidence | None = None
    beyond: Shares | None = None

    @property
    def measured(self) -> int:
        """How many records there are in the statistics."""
        return self.latencies_ns["response"].count

    @property
    def is_stamped(self) -> bool:
        """Whether most of the records have the kernel's time of arrival."""
        return 2 * self.clock_read <= self.measured

    @property
    def punctual_ms(self) -> Mapping[str, float]:
        """What a generator that is never late would have reported of an open loop, by name; empty for a closed one."""
        return _values(self.punctual_ns) if self.headline == "response" else {}

    @property
    def trusted_ms(self) -> Mapping[str, float]:
        """The percentiles of the headline over the records beyond doubt, by name; empty where all are, or none."""
        return _values(self.trusted_ns) if self.trusted_ns else {}

    @property
    def idle_ms(self) -> float:
        """For how long users of a closed loop waited for the generator, together; 0 in an open loop."""
        return self._of_users_ms("generator_lag")

    @property
    def cycle_ms(self) -> float:
        """For how long these users were not thinking, together."""
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


def gather(files: Sequence[RecordFile], question: Question, condensed: Condensed | None = None) -> Evidence:
    """Gather the evidence of the records in `files`, all of one run; there is at least one file.

    `condensed` is what they were condensed to, where that was read already (``condensed_of``).

    Raises:
        RecordingError: they cannot be read.
    """
    condensed = condensed or condensed_of(files)
    if condensed:
        return _gather_condensed(files[0], question, condensed)
    first = files[0]
    names = list(dict.fromkeys(first.step_names))
    asked = TallyQuestion(
        places=tuple(names.index(name) for name in first.step_names),
        window=question.window,
        batches=max(1, min(intervals.MOST_BATCHES, sum(map(len, files)))),
        pause=question.pause,
        accounted=question.accounted,
        stages=question.stages,
        begins=tuple(step in question.begins for step in range(len(first.step_names))),
        ends=tuple(step in question.ends for step in range(len(first.step_names))),
        users=question.places is not None,
    )
    with reading(files):
        tally = _loadgen.Tally(list(files), asked)
        counted = Counted.of(tally, len(names), question.limits)
        samples = iter(list(samples_of(tally, counted)))
    count, first_ns, last_ns = tally.begun
    return Evidence(
        window=question.window,
        step_names=first.step_names,
        error_kinds=first.error_kinds,
        steps=tuple(
            _step(name, step, {of: next(samples) for of in SAMPLES}, counted.of_step(number), question.limits)
            for number, (name, step) in enumerate(zip(names, tally.steps, strict=True))
        ),
        stages=tuple(
            StageEvidence(window, of.requests, of.failed, of.begun, of.ended, next(samples), next(samples))
            for window, of in zip(question.stages, tally.stages, strict=True)
        ),
        begun=Begun(count, last_ns - first_ns if count else 0),
        arrivals={name: _account(files, process) for name, process in question.processes.items()},
        under_way=UnderWay(*tally.under_way),
        in_flight=None if question.places is None else _in_flight(tally, files, question, question.places),
        workers_busy_share=_busy_share(tally, files, question.window, question.workers) if question.workers else None,
    )


def _gather_condensed(first: RecordFile, question: Question, condensed: Condensed) -> Evidence:
    """The evidence of condensed records: of a measured time that ends with a slot, unless it ends with the last of all.

    Nothing is known of their order, and so nothing of the schedule, and of what was under way only how much was sent.
    """
    names, how = list(dict.fromkeys(first.step_names)), condensed.how
    window, slots = _slots(question.window, condensed)
    tally: Any = CondensedTally(condensed, slots, intervals.MOST_BATCHES)
    counted = Counted.of(tally, len(names), question.limits)
    samples = iter(list(samples_of(tally, counted)))
    count, first_ns, last_ns = tally.begun
    steps = []
    for number, (name, step) in enumerate(zip(names, tally.steps, strict=True)):
        found = _step(name, step, {of: next(samples) for of in SAMPLES}, counted.of_step(number), question.limits)
        is_told = hasattr(step, "batch_beyond")
        beyond = Shares(np.array(step.batch_beyond), found.failures.counts) if is_told else None
        steps.append(replace(found, beyond=beyond))
    stages = [
        StageEvidence(Window(*stage), of.requests, of.failed, of.begun, of.ended, next(samples), next(samples))
        for stage, of in zip(how.stages, tally.stages, strict=True)
    ]
    return Evidence(
        window=window,
        step_names=first.step_names,
        error_kinds=first.error_kinds,
        steps=tuple(steps),
        stages=tuple(stages[: len(question.stages)]),
        begun=Begun(count, last_ns - first_ns if count else 0),
        arrivals={},
        under_way=UnderWay(*tally.under_way),
        in_flight=None,
        slot_ns=how.slot_ns,
    )


def _slots(window: Window, condensed: Condensed) -> tuple[Window, int]:
    """The part of the measured time that is whole slots, or all of it where everything ended in it; and how many."""
    start_ns, slot_ns = condensed.how.start_ns, condensed.how.slot_ns
    if condensed.last_ns <= window.end_ns:
        return window, max(1, -(-(condensed.last_ns + 1 - start_ns) // slot_ns))
    slots = max(1, (window.end_ns - start_ns) // slot_ns)
    return Window(start_ns, start_ns + slots * slot_ns), slots


def _step(
    name: str,
    tally: _loadgen.TallyStep,
    samples: Mapping[str, Sample],
    counted: Mapping[str, CountedSample],
    limits: Sequence[tuple[str, int]],
) -> StepEvidence:
    measured = samples["response"].count
    is_stamped = 2 * tally.clock_read <= measured
    doubtful = tally.clock_read if is_stamped else tally.paused
    counts = np.array(tally.batch_measured, dtype=np.float64)
    events = None
    if tally.streamed:
        first = Batches(np.array(tally.batch_first_sums_ns), np.array(tally.batch_first, dtype=np.float64))
        events = EventEvidence(
            count=tally.events,
            completed=tally.completed_streams,
            by_batch=np.array(tally.batch_events, dtype=np.float64),
            per_request=samples["events"],
            first_event_ns=samples["first_event"],
            first_event=first,
        )
    headline = headline_of(tally)
    return StepEvidence(
        name=name,
        headline=headline,
        requests=tally.requests,
        succeeded=tally.succeeded,
        bytes_sent=tally.bytes_sent,
        bytes_received=tally.bytes_received,
        errors={(kind, status): count for kind, status, count in tally.errors},
        latencies_ns={latency: samples[latency] for latency in LATENCIES},
        by_batch={
            latency: Batches(np.array(sums), counts)
            for latency, sums in zip(LATENCIES, tally.batch_sums_ns, strict=True)
        },
        above=_above(counted[headline], measured),
        slow=_slow(counted[headline], measured),
        missed=_missed(counted, limits),
        failures=Shares(counted["failed"].counts, counted["response"].counts + counted["failed"].counts),
        completed=np.array(tally.batch_completed, dtype=np.float64),
        bytes_of_completed=tally.bytes_of_completed,
        failed_ns=samples["failed"],
        punctual_ns=samples["punctual"],
        trusted_ns=samples["stamped" if is_stamped else "unpaused"] if 0 < doubtful < measured else None,
        clock_read=tally.clock_read,
        unsure_sent=tally.unsure_sent,
        paused=tally.paused,
        receive_lag_ms=tally.receive_lag_ns / max(measured, 1) / NS_PER_MS,
        events=events,
        distribution=_distribution(counted[headline]),
        tokens=token_evidence(tally, samples),
    )


def _distribution(counted: CountedSample) -> Histogram | None:
    if not counted.edges_ns:
        return None
    return histogram(counted.edges_ns, int(counted.counts.sum()), lambda edge_ns: int(counted.above[edge_ns].sum()))


def _above(counted: CountedSample, count: int) -> dict[float, Shares]:
    """Of each quantile that is reported the values above it; empty of none."""
    if not count:
        return {}
    return {q: Shares(counted.above[counted.ordered[rank(count, q)]], counted.counts) for q in REPORTED.values()}


def _slow(counted: CountedSample, count: int) -> Shares | None:
    if not count:
        return None
    return Shares(counted.above[slow_ns(counted.ordered[rank(count, REPORTED["p50"])])], counted.counts)


def _missed(counted: Mapping[str, CountedSample], limits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Shares]:
    """Of each limit the requests that failed, had no such latency, or one as long or longer."""
    requests = counted["response"].counts + counted["failed"].counts
    found = {}
    for latency, limit_ns in limits:
        sample = counted[latency]
        found[latency, limit_ns] = Shares(requests - sample.counts + sample.above[limit_ns - 1], requests)
    return found


def _in_flight(tally: _loadgen.Tally, files: Sequence[RecordFile], question: Question, places: int) -> InFlight:
    """What was under way from the last first request of a user to the first last one.

    Outside of that users have yet to start, or have nothing more to send.
    """
    start_ns, stop_ns = tally.busy_ns
    start_ns = max(start_ns, question.from_ns)
    with reading(files):
        least, taken_ns = tally.in_flight(start_ns, stop_ns, places)
    all_ns = places * (stop_ns - start_ns)
    starved = 1 - taken_ns / all_ns if all_ns > 0 else None
    return InFlight(least, starved)


def _busy_share(tally: _loadgen.Tally, files: Sequence[RecordFile], window: Window, workers: int) -> float | None:
    """The part of the window for which workers had a request, as far as can be seen from where requests are sent."""
    with reading(files):
        _, taken_ns = tally.in_flight(window.start_ns, window.end_ns, workers)
    all_ns = workers * (window.end_ns - window.start_ns)
    return taken_ns / all_ns if all_ns > 0 else None


def _account(files: Sequence[RecordFile], process: Process) -> _loadgen.ArrivalAccount:
    with reading(files):
        return _loadgen.account_for_arrivals(
            list(files),
            process.arrivals,
            seed=process.seed,
            group=process.group,
            first_step=process.first_step,
            repeats=process.repeats,
            ended_ns=process.ended_ns,
        )


def _values(sample: Sample) -> dict[str, float]:
    found = percentiles_ms(sample).items()
    return {name: statistic.value for name, statistic in found if statistic.value is not None}
