"""What several generators did, told as one run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.engines import EngineRun, GeneratorRun, Job
from servemark.engines.native.spread import Counts, RemoteGenerator
from servemark.engines.native.spread.clocks import Offset, agreement
from servemark.errors import RecordingError
from servemark.event_files import date_gaps
from servemark.machine.counters import MachineWatch
from servemark.machine.processes import boot_id
from servemark.result import ErrorExample
from servemark.units import ns_from_s
from servemark.workload.engine_plan import EnginePlan

if TYPE_CHECKING:
    from servemark.certificate.conditions import MachineUse


@dataclass(frozen=True)
class Part:
    """What one generator did.

    Attributes:
        generator: that it was.
        outcome: what it says of it; None of one that was lost.
        counts: the last that were heard of it.
        before: what its clock said before the run, and `after` it, where it still answered.
        lost: when and why it made no end, in words; empty of one that did.
        lost_ns: how long after the common start that was seen; 0 of one that made its end.
    """

    generator: RemoteGenerator
    outcome: EngineRun | None
    counts: Counts
    before: Offset
    after: Offset | None
    lost: str = ""
    lost_ns: int = 0


def joined(
    job: Job,
    parts: Sequence[Part],
    machine: MachineWatch,
    *,
    interrupted: bool,
    stop_reason: str | None,
    stops_ns: int | None = None,
    began_unix_ns: int = 0,
) -> EngineRun:
    """The run of all; `machine` is the driver's, looked at meanwhile.

    `stops_ns` is when all were to stop, if they were told that; whoever heard of it late has gone on for longer.
    All began at `began_unix_ns` by the driver's wall clock, 0 if they never did: it is what the files of each say then,
    since those of their machines may tell any time.

    Raises:
        RecordingError: a file of records cannot be read or written.
    """
    told = [part.outcome for part in parts if part.outcome is not None]
    uses = _uses(parts, machine)
    lost_ns = max(part.lost_ns for part in parts)  # where nobody told when it ended, the last was at work until then
    ended_ns = _ended_ns(parts, stops_ns) if told else _due_until_ns(job, lost_ns)
    generators = tuple(_generator(part, job, uses, ended_ns) for part in parts)
    if began_unix_ns:
        for one in generators:
            _date(one.records, began_unix_ns)
    return EngineRun(
        generators=with_connections(generators, job.compiled),
        scheduling_ended_ns=ended_ns,
        ended_ns=max((one.ended_ns for one in told), default=lost_ns),
        interrupted=interrupted or any(one.interrupted for one in told),
        stop_reason=stop_reason,
        examples=first_examples([one.examples for one in told]),
        event_gaps=_gaps([one.event_gaps for one in told]),
        content_gaps=_gaps([one.content_gaps for one in told]),
    )


def _ended_ns(parts: Sequence[Part], stops_ns: int | None) -> int:
    """When scheduling ended, of which somebody told: up to then all who had something to schedule were at work.

    Those whom nothing stopped end when the last of them does.
    """
    told = [(part.outcome, bool(part.lost)) for part in parts if part.outcome is not None]
    stopped = [
        one.scheduling_ended_ns
        for one, is_lost in told
        if not is_lost and (one.interrupted or (stops_ns is not None and one.scheduling_ended_ns >= stops_ns))
    ]
    return min([max(one.scheduling_ended_ns for one, _ in told), *stopped])


def _due_until_ns(job: Job, ended_ns: int) -> int:
    """When scheduling ended of a run that ended then: no later than its load was to last."""
    longest_s = [group.load.longest_s for group in job.plan.groups]
    lasts_s = [one for one in longest_s if one is not None]
    return min(ended_ns, ns_from_s(max(lasts_s))) if len(lasts_s) == len(longest_s) else ended_ns


def with_connections(generators: tuple[GeneratorRun, ...], plan: EnginePlan) -> tuple[GeneratorRun, ...]:
    """The generators with how many connections each had, where descriptors did not suffice for all of one of them."""
    if not any(one.reduced_connections for one in generators):
        return generators
    most = max((group.arrivals.max_connections for group in plan.groups if group.arrivals), default=0)
    shares = [most // len(generators) + (place < most % len(generators)) for place in range(len(generators))]
    return tuple(
        replace(one, reduced_connections=one.reduced_connections or share)
        for one, share in zip(generators, shares, strict=True)
    )


def _gaps(told: Sequence[Mapping[int, tuple[bytes, ...]]]) -> dict[int, tuple[bytes, ...]]:
    """The histograms of all, by the step's number."""
    gaps: dict[int, tuple[bytes, ...]] = {}
    for one in told:
        for step, found in one.items():
            gaps[step] = (*gaps.get(step, ()), *found)
    return gaps


def first_examples(found: Sequence[dict[int, tuple[ErrorExample, ...]]]) -> dict[int, tuple[ErrorExample, ...]]:
    """Pick of each step the first failure of each kind, in the order of time, whichever generator met it."""
    first: dict[int, dict[str, ErrorExample]] = {}
    for step, example in sorted(
        ((step, example) for one in found for step, examples in one.items() for example in examples),
        key=lambda pair: (pair[0], pair[1].at_s),
    ):
        first.setdefault(step, {}).setdefault(example.kind, example)
    return {step: tuple(kinds.values()) for step, kinds in first.items()}


def _generator(part: Part, job: Job, uses: dict[str, MachineUse], ended_ns: int) -> GeneratorRun:
    """What the run, whose scheduling ended at `ended_ns`, has of one of its generators."""
    facts = part.generator.facts
    clock = agreement(part.before, part.after, same_machine=facts.boot == boot_id())
    if part.outcome is not None:
        (one,) = part.outcome.generators
        records, scheduled = part.generator.records, one.scheduled
        machine = _as_seen_by(one.machine, uses[facts.boot])
    else:
        records, scheduled = part.generator.records, max(part.counts.scheduled, _rows_of(part, job))
        machine = uses[facts.boot]
        one = GeneratorRun(records=records, scheduled=scheduled, cpu_s=0.0, machine=machine)
    return replace(
        one,
        records=records,
        scheduled=scheduled,
        machine=machine,
        host=facts.host,
        boot=facts.boot,
        clock=clock,
        lost=part.lost,
        stopped_late_ns=max(0, part.outcome.scheduling_ended_ns - ended_ns) if part.outcome is not None else 0,
    )


def _date(records: Path, began_unix_ns: int) -> None:
    from servemark.records import date_records  # with what they are read by only at the end

    date_records(records, began_unix_ns)
    date_gaps(records, began_unix_ns)


def _as_seen_by(own: MachineUse, use: MachineUse) -> MachineUse:
    """The `use` of a machine, with what it grants to the process that told its `own`: each container has its limits."""
    return replace(
        use,
        throttled_s=own.throttled_s,
        throttled_times=own.throttled_times,
        usable_cpus=own.usable_cpus,
        realtime_fix=own.realtime_fix,
    )


def _rows_of(part: Part, job: Job) -> int:
    """How many records of a lost generator are here; where nothing of it is, an empty file takes its place."""
    from servemark.records import open_records, write_records  # with what they are read by only at the end

    try:
        return len(open_records(part.generator.records))
    except RecordingError:
        write_records(
            part.generator.records,
            [],
            steps=[step.name for step in job.compiled.steps],
            started_unix_ns=time.time_ns() - part.counts.elapsed_ns,
            warmup_ns=job.compiled.warmup_ns,
        )
        return 0


def _uses(parts: Sequence[Part], machine: MachineWatch) -> dict[str, MachineUse]:
    """What each machine did, by the start of it: what the generators there used of it is all theirs.

    The driver's is looked at by the driver, who knows what the server used of it, and was busy itself.
    """
    own, here = boot_id(), machine.use()
    told: dict[str, list[MachineUse]] = {}
    for part in parts:
        found = [one.machine for one in part.outcome.generators] if part.outcome is not None else []
        told.setdefault(part.generator.facts.boot, []).extend(found)
    uses = {}
    for boot, found in told.items():
        seen = here if boot == own or not found else found[0]
        own_cpu_s = sum(one.own_cpu_s for one in found) + (here.own_cpu_s if boot == own else 0.0)
        uses[boot] = replace(seen, own_cpu_s=own_cpu_s)
    return uses
