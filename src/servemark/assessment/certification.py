"""From what was measured of a run to its certificate: which checks there are, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from servemark.assessment.changes import changes_of
from servemark.assessment.generators import OfGenerator, losses, most_apart, named, stopped_late, unread
from servemark.assessment.measured import Measured
from servemark.assessment.objectives import Trial, figures_asked, missed_by_lag
from servemark.certificate import certify
from servemark.certificate.conditions import IDLE_LIMIT_SHARE, RunConditions, disturbances
from servemark.certificate.effects import limit_of_rate
from servemark.certificate.generator import (
    Cycle,
    check_clock,
    check_lag,
    check_load,
    check_local_resources,
    check_loopback,
    check_pauses,
    check_unstamped,
    check_verdict,
)
from servemark.certificate.pauses import NO_PAUSES
from servemark.certificate.records import check_accounted, check_in_flight, check_schedule, check_server
from servemark.certificate.spread import check_generators, check_start
from servemark.result import Certificate, Check, Disturbance, StepSummary
from servemark.servers import of_one
from servemark.stats.events import gaps_of_step, joined_share
from servemark.stats.evidence import NO_TIME, Evidence, StepEvidence, UnderWay
from servemark.stats.summary import bounded, independent_rate
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import ClosedLoad, OpenLoad

_NOT_OF_JMETER = (
    "in flight",
    "generator-limited",
    "generator lag",
    "clock",
    "receive lag",
    "loopback self-test",
    "pauses",
)
#: Why a check cannot be made that looks at one record beside another.
_CONDENSED = "records were condensed (--max-records), and are not there one by one"


def certificate_of(
    measured: Measured, evidence: Evidence, steps: Sequence[StepSummary], each: tuple[OfGenerator, ...] = ()
) -> Certificate:
    """The certificate of a run; `each` are its generators, where these are other processes."""
    steps = _bounded(steps, evidence)
    seen = conditions_of(measured, evidence)
    if each:  # each counted what was under way until it stopped itself
        evidence = replace(evidence, under_way=UnderWay.of_all([one.evidence.under_way for one in each]))
    return certify(
        [
            *_of_records(measured, evidence),
            check_local_resources(steps, seen),
            *_of_generator(measured, evidence, steps, seen),
            *checks_of_verdicts(measured, [Trial(evidence, {})]),
            *(_of_several(measured, evidence, steps, each, seen) if each else ()),
            _of_server(measured),
        ],
        disturbances_of_all(seen, each),
    )


def disturbances_of_all(seen: RunConditions, each: tuple[OfGenerator, ...]) -> tuple[Disturbance, ...]:
    """What may have changed the figures: of several generators the worst of each kind, with whose it is.

    What all on one machine had alike is nobody's.
    """
    of_all = {found.name: found for found in disturbances(seen)}
    has_one_machine = len({one.run.boot for one in each}) <= 1
    worst = dict(of_all) if has_one_machine else {}
    for one in each:
        for found in disturbances(conditions_of(one.part)) if not one.run.lost else ():
            if found.name not in worst or found.measured > worst[found.name].measured:
                reason = f"{named(one.place, len(each), one.run)}: {found.reason}"
                worst[found.name] = replace(found, reason=reason)
    return tuple((of_all | worst).values())


def checks_of_verdicts(measured: Measured, trials: Sequence[Trial]) -> list[Check]:
    """Check each condition which `trials`, of which `measured` is one, miss by the generator's lag alone."""
    seen = conditions_of(measured, trials[0].evidence)
    return [
        check_verdict(condition.text, late=late, missed=missed, conditions=seen)
        for condition, late, missed in missed_by_lag(measured.objective, trials)
    ]


def conditions_of(measured: Measured, evidence: Evidence | None = None) -> RunConditions:
    """What the machine and the generator's threads did meanwhile."""
    loads = [group.load for group in measured.plan.groups]
    engine_run, counts = measured.engine_run, measured.engine_run.counts
    users = sum(load.users for load in loads if isinstance(load, ClosedLoad))
    steps, window = (evidence.steps, evidence.window) if evidence else ((), NO_TIME)
    return RunConditions(
        open_loop=any(isinstance(load, OpenLoad) for load in loads),
        users=users,
        machine=measured.machine,
        generator_cpu_s=engine_run.generator_cpu_s,
        here_cpu_s=engine_run.busiest_cpu_s,
        generator_s=engine_run.ended_ns / NS_PER_S,
        # JMeter has a thread for each user, and no more than the CPUs let it run at once.
        threads=measured.compiled.threads * len(engine_run.generators)
        if measured.engine == "native"
        else max(1, min(users, measured.machine.cpus)),
        realtime=engine_run.realtime,
        keep_awake=engine_run.keep_awake,
        receive_clock=engine_run.receive_clock,
        pauses=counts.pauses if counts else NO_PAUSES,
        measured_ns=(window.start_ns, window.end_ns),
        clock_steps=counts.clock_steps if counts else 0,
        idle_share=_idle_share(measured, steps),
        changes=changes_of(measured),
        asked=figures_asked(measured.objective, steps) if measured.point.is_probe else None,
    )


def _idle_share(measured: Measured, evidence: Sequence[StepEvidence]) -> float:
    """The share of the time of a closed loop's users in which they waited for the generator."""
    load = measured.point.load
    thinking_ms = 0.0
    if isinstance(load, ClosedLoad):
        thinking_ms = 1000 * load.think_s * sum(of_step.measured for of_step in evidence)
    cycle_ms = thinking_ms + sum(of_step.cycle_ms for of_step in evidence)
    return sum(of_step.idle_ms for of_step in evidence) / cycle_ms if cycle_ms else 0.0


def check_highest_rate(measured: Measured, evidence: Evidence, steps: Sequence[StepSummary], *, asked: bool) -> Check:
    """The check of whether the generator let the server do what it can; `asked` says whether that was the question."""
    seen = conditions_of(measured, evidence)
    if not isinstance(measured.point.load, ClosedLoad) or measured.engine_run.counts is None:
        return check_load(None, seen)
    starved = None
    if evidence.in_flight is not None and asked and seen.idle_share > IDLE_LIMIT_SHARE:
        starved = evidence.in_flight.starved_share
    limit = limit_of_rate(_bounded(steps, evidence)[0].throughput_per_s)
    return check_load(Cycle(seen.idle_share, starved, limit, asked, steps[0].name), seen)


def _bounded(steps: Sequence[StepSummary], evidence: Evidence) -> list[StepSummary]:
    """The summaries by whose intervals it is judged how far figures may be moved."""
    return [bounded(step, of) for step, of in zip(steps, evidence.steps, strict=True)]


def _of_records(measured: Measured, evidence: Evidence) -> list[Check]:
    engine_run, counts = measured.engine_run, measured.engine_run.counts
    return [
        check_accounted(
            expected=measured.plan.exact_requests,
            scheduled=engine_run.scheduled,
            recorded=evidence.recorded,
            sent=(counts.sent, evidence.under_way.sent) if counts else None,
            interrupted=engine_run.interrupted,
        ),
        Check("schedule", None, _CONDENSED)
        if evidence.is_condensed
        else check_schedule(evidence.arrivals, interrupted=engine_run.interrupted),
    ]


def _of_generator(
    measured: Measured, evidence: Evidence, steps: Sequence[StepSummary], seen: RunConditions
) -> list[Check]:
    counts, under_way = measured.engine_run.counts, evidence.under_way
    if counts is None:
        why = "JMeter does not tell it" if measured.engine == "jmeter" else "a generator that was lost does not tell it"
        return [Check(name, None, why) for name in _NOT_OF_JMETER]
    asks = measured.benchmark.asks_highest_rate and not measured.point.values
    return [
        Check("in flight", None, _CONDENSED)
        if evidence.is_condensed
        else check_in_flight(
            counted_ns=counts.in_flight_ns, recorded_ns=under_way.in_flight_ns, completions=under_way.completions
        ),
        check_highest_rate(measured, evidence, steps, asked=asks),
        *(
            check
            for step, of_step in zip(steps, evidence.steps, strict=True)
            for check in _of_step(measured, step, of_step, evidence, seen)
        ),
    ]


def _of_step(
    measured: Measured, step: StepSummary, evidence: StepEvidence, of_all: Evidence, seen: RunConditions
) -> list[Check]:
    """One judgement a step: what is nothing for one may be much for another."""
    counts = measured.engine_run.counts
    assert counts
    gaps = gaps_of_step(measured.engine_run.event_gaps, of_all.step_names, step.name)
    return [
        check_lag(step, evidence, seen),
        check_clock(step, evidence, seen),
        check_unstamped(
            step,
            evidence,
            receive_lag_ms=counts.receive_lag_ns / max(of_all.responses, 1) / NS_PER_MS,
            run_queue_ms=counts.run_queue_delay_ns / counts.run_queue_waits / NS_PER_MS
            if counts.run_queue_waits
            else None,
            joined_share=joined_share(gaps),
            seen=seen,
        ),
        check_loopback(step, p50_ns=counts.loopback_p50_ns, conditions=seen),
        check_pauses(
            step,
            evidence,
            limit=limit_of_rate(independent_rate(step, evidence)),
            conditions=seen,
        ),
    ]


def _of_several(
    measured: Measured,
    evidence: Evidence,
    steps: Sequence[StepSummary],
    each: tuple[OfGenerator, ...],
    seen: RunConditions,
) -> list[Check]:
    """Judge a crew; of several, also each by itself by what is judged of all together."""
    ended = check_generators(losses(measured, evidence, each), len(each), stopped_late(each))
    if len(each) == 1:
        return [ended]
    apart_ns, whose = most_apart(each)
    window_s = evidence.window.seconds
    failed = [check for one in each for check in _of_one(one, len(each))]
    if not failed:
        reason = f"what is judged of all together holds for each of the {len(each)} by itself"
        failed = [Check("each generator", True, reason, 0, 0, "checks")]
    unbegun = [named(one.place, len(each), one.run) for one in each if one.run.lost and not one.run.scheduled]
    return [
        ended,
        *(
            Check(f"start ({step.name})", None, f"{unbegun[0]} was lost and sent nothing")
            if unbegun
            else check_start(
                step, apart_ns=apart_ns, whose=whose, unread=unread(each), window_s=window_s, conditions=seen
            )
            for step in steps
        ),
        *failed,
    ]


def _of_one(one: OfGenerator, of: int) -> list[Check]:
    """What fails of a generator by itself."""
    part, counts = one.part, one.run.counts
    if counts is None:  # of one that was lost another check tells
        return []
    seen, steps = conditions_of(part, one.evidence), _bounded(one.steps, one.evidence)
    recorded = one.evidence.recorded
    sent = counts.sent, one.evidence.under_way.sent
    checks = [
        check_accounted(expected=None, scheduled=one.run.scheduled, recorded=recorded, sent=sent, interrupted=False),
        # Whether the server was kept busy is nothing that one of them makes.
        *(check for check in _of_generator(part, one.evidence, steps, seen) if check.name != "generator-limited"),
    ]
    where = f"generator {one.place + 1}"
    return [
        replace(
            check,
            name=f"{check.name[:-1]}; {where})" if check.name.endswith(")") else f"{check.name} ({where})",
            reason=f"{named(one.place, of, one.run)}: {check.reason}",
        )
        for check in checks
        if check.passed is False
    ]


def _of_server(measured: Measured) -> Check:
    failure = measured.failure
    if measured.went_on:
        at_end = f", at the end: {failure}" if failure else ""
        return Check("server unchanged", None, f"it was allowed to fail meanwhile (--go-on-errors){at_end}")
    if measured.point.model.scaled and not failure:
        return Check("server unchanged", None, "to change it is what was measured")
    before, after = of_one(measured.settings_before), of_one(measured.settings_after)
    return check_server(str(failure) if failure else None, before, after)
