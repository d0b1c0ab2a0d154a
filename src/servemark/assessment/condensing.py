"""How the records of a run would be condensed, told before it begins by its plan and its objective alone."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.assessment.gathering import begins_of, ends_of, stage_bounds_ns
from servemark.assessment.objectives import limits_together
from servemark.condensed_files import WITHIN_SHARE, Condensing
from servemark.options.objectives import Condition
from servemark.result import CondensedRecords
from servemark.stats.evidence import Evidence
from servemark.units import NS_PER_S, ns_from_s
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.load import Load, OpenLoad

#: Slots of the measured time: what intervals are told by.
_SLOTS = 250
#: Of a load that does not say how long it is.
_SLOT_NS = NS_PER_S // 4


def condensing_of(load: Load, plan: EnginePlan, objective: Sequence[Condition] = ()) -> Condensing | None:
    """How records of `plan`, which sends `load`, are condensed; None where something is asked for that needs all.

    That is the length that adapts to what was measured, the time of each event, and what the answers say.
    """
    if load.until is not None or plan.record_events or plan.reads_answers:
        return None
    names = list(dict.fromkeys(step.name for step in plan.steps))
    bounds = stage_bounds_ns(load.arrivals, load.warmup_s) if isinstance(load, OpenLoad) else []
    measured_ns = ns_from_s(load.longest_s - load.warmup_s) if load.longest_s and load.scenarios is None else 0
    numbers, together = range(len(plan.steps)), limits_together(objective, names)
    return Condensing(
        start_ns=plan.warmup_ns,
        slot_ns=max(1, measured_ns // _SLOTS) if measured_ns else _SLOT_NS,
        places=tuple(names.index(step.name) for step in plan.steps),
        begins=tuple(number in begins_of(plan) for number in numbers),
        ends=tuple(number in ends_of(plan) for number in numbers),
        stages=tuple(bounds),
        limits=tuple(tuple(together.get(name, {}).items()) for name in names),
    )


#: What looks at one record beside another.
_LACKING = (
    "whether each arrival was scheduled when it was due",
    "how many requests were under way at once",
    "which requests a lost generator owed",
    "intervals of the time that requests spent in the client",
    "a warm-up that is found",
    "what happened over time, request by request",
)


def condensed_records(evidence: Evidence) -> CondensedRecords | None:
    """What the result says of records that were condensed; None of those that were kept."""
    if evidence.slot_ns is None:
        return None
    return CondensedRecords(evidence.recorded, WITHIN_SHARE, evidence.slot_ns / NS_PER_S, _LACKING)
