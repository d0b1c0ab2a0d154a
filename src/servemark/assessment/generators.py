"""A run of a crew, told of each generator: what it did of its share, and what those owed that were lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from servemark.assessment.gathering import evidence_of_part, processes_of
from servemark.assessment.measured import Measured
from servemark.engines import GeneratorRun
from servemark.result import GeneratorResult, StepSummary
from servemark.stats.evidence import Evidence
from servemark.stats.summary import summarise
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import ClosedLoad

#: So many of what is owed are named.
_NAMED = 3


@dataclass(frozen=True)
class OfGenerator:
    """What is made of one generator of a crew.

    Attributes:
        place: of its share, from 0.
        part: the run, with the records and the counts of this one alone.
        evidence: of its records, over the measured time of all.
        steps: the summary of these.
    """

    place: int
    part: Measured
    evidence: Evidence
    steps: tuple[StepSummary, ...]

    @property
    def run(self) -> GeneratorRun:
        """What it said of itself."""
        (run,) = self.part.engine_run.generators
        return run


def generators_of(measured: Measured, evidence: Evidence) -> tuple[OfGenerator, ...]:
    """Each of the generators of a run whose `evidence` is that of all; none where only this process sent it.

    Raises:
        RecordingError: records cannot be read.
    """
    generators = measured.engine_run.generators
    if len(generators) < 2 and not generators[0].host:
        return ()
    found = []
    for place, (run, records) in enumerate(zip(generators, measured.records, strict=True)):
        ended_ns = measured.engine_run.scheduling_ended_ns + run.stopped_late_ns
        own_run = replace(measured.engine_run, generators=(run,), scheduling_ended_ns=ended_ns, event_gaps={})
        part = replace(measured, records=(records,), engine_run=own_run)
        own = evidence_of_part(part, evidence.window)
        found.append(OfGenerator(place, part, own, summarise(own)))
    return tuple(found)


def named(place: int, of: int, run: GeneratorRun) -> str:
    """What a generator is called: ``generator 2 of 4 (host)``."""
    return f"generator {place + 1} of {of} ({run.host})"


def generator_result(one: OfGenerator) -> GeneratorResult:
    """What the result has of a generator."""
    run, counts = one.run, one.run.counts
    step = one.steps[0] if one.steps else None
    clock = run.clock
    waits = counts.run_queue_waits if counts else 0
    return GeneratorResult(
        number=one.place + 1,
        host=run.host,
        records=f"{run.records.parent.name}/{run.records.name}",
        recorded=one.evidence.recorded,
        sent=counts.sent if counts else None,
        generator_lag_p99_ms=step.generator_lag_ms.p99.value if step else None,
        run_queue_delay_ms=counts.run_queue_delay_ns / waits / NS_PER_MS if counts and waits else None,
        loopback_p50_ms=counts.loopback_p50_ns / NS_PER_MS if counts and counts.loopback_p50_ns else None,
        cpu_s=run.cpu_s if counts else None,
        clock_bound_ms=clock.bound_ns / NS_PER_MS if clock else None,
        clock_drift_ms=clock.drift_ns / NS_PER_MS if clock and clock.drift_ns is not None else None,
        realtime=run.realtime or "off",
        receive_clock=run.receive_clock,
        keep_awake=run.keep_awake or "off",
        lost=run.lost or None,
    )


def losses(measured: Measured, evidence: Evidence, each: tuple[OfGenerator, ...]) -> list[str]:
    """Say of each generator that was lost why it was, and which requests it owed."""
    found = []
    for one in each:
        if one.run.lost:
            told = () if evidence.is_condensed else _owed(measured, evidence, one, len(each))
            owed = "; ".join(told) or "what cannot be told"
            found.append(f"{named(one.place, len(each), one.run)} was lost {one.run.lost}; it owed {owed}")
    return found


def stopped_late(each: tuple[OfGenerator, ...]) -> list[str]:
    """Tell of each generator that heard late that it was to stop how long it went on, in words."""
    return [
        f"{named(one.place, len(each), one.run)} went on for {one.run.stopped_late_ns / NS_PER_S:.3f} s when the "
        "others had stopped, of which nothing is in the measured time"
        for one in each
        if one.run.stopped_late_ns and not one.part.engine_run.interrupted
    ]


def _owed(measured: Measured, evidence: Evidence, one: OfGenerator, of: int) -> Iterator[str]:
    """What of its share a generator has no record of, as far as it was due before the others stopped."""
    rows = one.part.records[0].memmap()
    for name, process in processes_of(measured):
        account = evidence.arrivals.get(name)
        if account is None:
            continue
        begun = rows["user"][rows["group"] == process.group]
        yield _listed("arrival", np.setdiff1d(one.place + of * np.arange(account.due_of[one.place]), begun))
    users_before = 0
    for group in measured.plan.groups:
        load = group.load
        if not isinstance(load, ClosedLoad):
            continue
        users = np.arange(users_before, users_before + load.users)
        users = users[users % of == one.place]
        users_before += load.users
        owed = f"what {_listed('user', users)} would have sent"
        if load.loops is not None and not any(step.until for step in group.scenario.steps):
            steps = 1 if group.scenario.weights else len(group.scenario.steps)
            lacking = len(users) * load.loops * steps - int(np.isin(rows["user"], users).sum())
            owed = f"{lacking:,} requests of {_listed('user', users)}"
        yield owed


def _listed(what: str, numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    """``arrivals 1, 5, 9 … (2,310 of them)``."""
    first = ", ".join(map(str, numbers[:_NAMED].tolist()))
    if len(numbers) == 1:
        return f"{what} {first}"
    more = f" … ({len(numbers):,} of them)" if len(numbers) > _NAMED else ""
    return f"{what}s {first}{more}" if len(numbers) else f"no {what}"


def most_apart(each: tuple[OfGenerator, ...]) -> tuple[int, str]:
    """How far, in ns, two of the generators may have been from each other at most, and their names.

    Each may have been off the common schedule in another direction.
    """
    furthest = sorted(each, key=_apart_ns)[-2:]
    names = [named(one.place, len(each), one.run) for one in sorted(furthest, key=lambda one: one.place)]
    return sum(map(_apart_ns, furthest)), " and ".join(names)


def unread(each: tuple[OfGenerator, ...]) -> list[str]:
    """The names of those whose clocks could not be read after the run."""
    return [named(one.place, len(each), one.run) for one in each if one.run.clock and one.run.clock.drift_ns is None]


def _apart_ns(one: OfGenerator) -> int:
    return one.run.clock.apart_ns if one.run.clock else 0
