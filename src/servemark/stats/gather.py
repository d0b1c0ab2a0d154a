"""Evidence gathered: what is asked of the records of a run is answered in a few passes over them.

The passes are ``_loadgen.Tally``: one that adds everything up, and others for order statistics, which are exact. Of
records that were condensed the same is made of what they were condensed to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from servemark import _loadgen
from servemark.condensed_files import Condensed
from servemark.records import RecordFile, reading
from servemark.result import Histogram
from servemark.stats import intervals
from servemark.stats.condensed import CondensedTally, condensed_of
from servemark.stats.counting import LATENCIES, PUNCTUAL, SAMPLES, Counted, CountedSample, headline_of, samples_of
from servemark.stats.evidence import (
    Batches,
    Begun,
    EventEvidence,
    Evidence,
    InFlight,
    Process,
    Question,
    Shares,
    StageEvidence,
    StepEvidence,
    UnderWay,
    Window,
)
from servemark.stats.histograms import histogram
from servemark.stats.percentiles import REPORTED, rank
from servemark.stats.samples import Sample
from servemark.stats.tally_question import TallyQuestion
from servemark.stats.tokens import token_evidence
from servemark.stats.warm_up import slow_ns
from servemark.units import NS_PER_MS


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
        limits=tuple(tuple(question.together.get(name, {}).items()) for name in names),
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
    steps = [
        _step(name, step, {of: next(samples) for of in SAMPLES}, counted.of_step(number), question.limits)
        for number, (name, step) in enumerate(zip(names, tally.steps, strict=True))
    ]
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
        late=_late(counted, limits),
        failures=Shares(counted["failed"].counts, counted["response"].counts + counted["failed"].counts),
        completed=np.array(tally.batch_completed, dtype=np.float64),
        bytes_of_completed=tally.bytes_of_completed,
        failed_ns=samples["failed"],
        punctual_ns={latency: samples[punctual] for latency, punctual in PUNCTUAL.items()},
        trusted_ns=samples["stamped" if is_stamped else "unpaused"] if 0 < doubtful < measured else None,
        clock_read=tally.clock_read,
        unsure_sent=tally.unsure_sent,
        paused=tally.paused,
        receive_lag_ms=tally.receive_lag_ns / max(measured, 1) / NS_PER_MS,
        events=events,
        distribution=_distribution(counted[headline]),
        tokens=token_evidence(tally, samples),
        within=None if tally.batch_within is None else np.array(tally.batch_within, dtype=np.float64),
    )


def _distribution(counted: CountedSample) -> Histogram | None:
    if not counted.edges_ns:
        return None
    return histogram(counted.edges_ns, int(counted.counts.sum()), lambda edge_ns: int(counted.above[edge_ns].sum()))


def _above(counted: CountedSample, count: int) -> dict[float, Shares]:
    """The values above each quantile that is reported; empty where there is no value."""
    if not count:
        return {}
    return {q: Shares(counted.above[counted.ordered[rank(count, q)]], counted.counts) for q in REPORTED.values()}


def _slow(counted: CountedSample, count: int) -> Shares | None:
    if not count:
        return None
    return Shares(counted.above[slow_ns(counted.ordered[rank(count, REPORTED["p50"])])], counted.counts)


def _missed(counted: Mapping[str, CountedSample], limits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Shares]:
    """The requests by limit that failed, had no such latency, or one as long or longer.

    Of the longest gap only those that had one, since it tells which responses are alike.
    """
    requests = counted["response"].counts + counted["failed"].counts
    found = {}
    for latency, limit_ns in limits:
        sample = counted[latency]
        if latency == "longest_gap":
            found[latency, limit_ns] = Shares(sample.above[limit_ns - 1], sample.counts)
            continue
        found[latency, limit_ns] = Shares(requests - sample.counts + sample.above[limit_ns - 1], requests)
    return found


def _late(counted: Mapping[str, CountedSample], limits: Sequence[tuple[str, int]]) -> dict[tuple[str, int], float]:
    """The number of requests that took longer than each limit from the schedule only by the generator's lag."""
    found = {}
    for latency, limit_ns in limits:
        sample, punctual = counted[latency], counted.get(PUNCTUAL.get(latency, ""))
        if punctual and 0 < punctual.counts.sum() == sample.counts.sum():  # every one is of an open loop
            late = sample.above[limit_ns - 1].sum() - punctual.above[limit_ns - 1].sum()
            found[latency, limit_ns] = float(late)
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
