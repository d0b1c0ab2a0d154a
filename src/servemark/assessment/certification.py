"""From what was measured of a run to its certificate: which checks there are, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.assessment.changes import changes_of
from servemark.assessment.measured import Measured, of_one
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
)
from servemark.certificate.records import check_accounted, check_in_flight, check_schedule, check_server
from servemark.result import Certificate, Check, StepSummary
from servemark.stats.accounting import Account, account, first_scheduled
from servemark.stats.concurrency import busy_period, least_in_flight, starved_share
from servemark.stats.summary import Evidence, Summary, Window
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import ClosedLoad, OpenLoad
from servemark.workload.plan import EngineArrivals

_NOT_OF_JMETER = (
    "in flight",
    "generator-limited",
    "generator lag",
    "clock",
    "receive lag",
    "loopback self-test",
    "pauses",
)


def certificate_of(measured: Measured, summary: Summary) -> Certificate:
    """The certificate of a run."""
    seen = conditions_of(measured, summary.evidence)
    found = account(measured.records.chunks(), _accounted_window(measured))
    return certify(
        [
            *_of_records(measured, found),
            check_local_resources(summary.steps, seen),
            *_of_generator(measured, summary, seen, found),
            _of_server(measured),
        ],
        disturbances(seen),
    )


def conditions_of(measured: Measured, evidence: Sequence[Evidence] = ()) -> RunConditions:
    """What the machine and the generator's threads did meanwhile."""
    loads = [group.load for group in measured.plan.groups]
    engine_run, counts = measured.engine_run, measured.engine_run.counts
    users = sum(load.users for load in loads if isinstance(load, ClosedLoad))
    return RunConditions(
        open_loop=any(isinstance(load, OpenLoad) for load in loads),
        users=users,
        machine=measured.machine,
        generator_cpu_s=engine_run.generator_cpu_s,
        generator_s=engine_run.ended_ns / NS_PER_S,
        # JMeter has a thread for each user, and no more than the CPUs let it run at once.
        threads=measured.compiled.threads if measured.engine == "native" else max(1, min(users, measured.machine.cpus)),
        realtime=engine_run.realtime,
        keep_awake=engine_run.keep_awake,
        receive_clock=engine_run.receive_clock,
        paused_s=counts.paused_ns / NS_PER_S if counts else 0.0,
        longest_pause_s=counts.longest_pause_ns / NS_PER_S if counts else 0.0,
        longest_pause_at_s=counts.longest_pause_at_ns / NS_PER_S if counts else 0.0,
        idle_share=_idle_share(measured, evidence),
        changes=changes_of(measured),
    )


def _idle_share(measured: Measured, evidence: Sequence[Evidence]) -> float:
    """Of the time of the users of a closed loop, the part in which they waited for the generator."""
    load = measured.point.load
    thinking_ms = 0.0
    if isinstance(load, ClosedLoad):
        thinking_ms = 1000 * load.think_s * sum(of_step.measured for of_step in evidence)
    cycle_ms = thinking_ms + sum(of_step.cycle_ms for of_step in evidence)
    return sum(of_step.idle_ms for of_step in evidence) / cycle_ms if cycle_ms else 0.0


def in_flight_and_needed(measured: Measured) -> tuple[int | None, int | None]:
    """The fewest requests of a closed loop under way while all users were at work, and how many keep all workers busy.

    None where that cannot be known.
    """
    rows = measured.records.memmap()
    return least_in_flight(rows["sent"], rows["end"], *_busy_period_ns(measured, rows)), _needed(measured)


def _needed(measured: Measured) -> int | None:
    workers, batch_size = (of_one(measured.settings_before).get(name) for name in ("workers", "batch_size"))
    return workers * batch_size if isinstance(workers, int) and isinstance(batch_size, int) else None


def _busy_period_ns(measured: Measured, rows: NDArray[np.void]) -> tuple[int, int]:
    start_ns, stop_ns = busy_period(rows["user"], rows["scheduled"])
    return max(start_ns, measured.records.warmup_ns), stop_ns


def check_highest_rate(
    measured: Measured, steps: Sequence[StepSummary], evidence: Sequence[Evidence], *, asked: bool
) -> Check:
    """The check of whether the generator let the server do what it can; `asked` says whether that was the question."""
    seen = conditions_of(measured, evidence)
    if not isinstance(measured.point.load, ClosedLoad) or measured.engine_run.counts is None:
        return check_load(None, seen)
    needed, starved = _needed(measured), None
    if needed is not None and asked and seen.idle_share > IDLE_LIMIT_SHARE:  # all records are sorted for it
        rows = measured.records.memmap()
        starved = starved_share(rows["sent"], rows["end"], *_busy_period_ns(measured, rows), needed)
    limit = limit_of_rate(steps[0].throughput_per_s)
    return check_load(Cycle(seen.idle_share, starved, limit, asked, steps[0].name), seen)


def counted_window(measured: Measured) -> Window:
    """From the warm-up to the end of scheduling: the time over which the engine summed up what was under way."""
    ended_ns = measured.engine_run.scheduling_ended_ns
    return Window(min(measured.compiled.warmup_ns, ended_ns), ended_ns)


def _accounted_window(measured: Measured) -> Window:
    """The same; of an exact number of requests until the last of them had been read."""
    window = counted_window(measured)
    return replace(window, end_ns=measured.engine_run.ended_ns) if measured.plan.exact_requests else window


def _of_records(measured: Measured, found: Account) -> list[Check]:
    engine_run, counts = measured.engine_run, measured.engine_run.counts
    return [
        check_accounted(
            expected=measured.plan.exact_requests,
            scheduled=engine_run.scheduled,
            recorded=measured.records.rows,
            sent=(counts.sent, found.sent) if counts else None,
            interrupted=engine_run.interrupted,
        ),
        check_schedule(_schedules(measured), interrupted=engine_run.interrupted),
    ]


def _schedules(measured: Measured) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each open loop, when its arrivals should have been due, and when they were."""
    compiled, found = measured.compiled, {}
    for number, group in enumerate(compiled.groups):
        if group.arrivals:
            expected = _arrivals_ns(measured, group.arrivals)
            recorded = first_scheduled(
                measured.records.chunks(),
                group=number,
                first_step=None if group.weights else group.steps[0],
                arrivals=len(expected),
            )
            found[", ".join(dict.fromkeys(compiled.steps[step].name for step in group.steps))] = (expected, recorded)
    return found


def _arrivals_ns(measured: Measured, arrivals: EngineArrivals) -> NDArray[np.int64]:
    """The schedule of `arrivals` up to the end of scheduling, as the pure function gives it."""
    ended_ns = measured.engine_run.scheduling_ended_ns
    count = measured.records.rows + 1
    while True:
        times_ns = np.frombuffer(_loadgen.schedule(arrivals, measured.compiled.seed, 0, count), dtype="<i8")
        if len(times_ns) < count or times_ns[-1] >= ended_ns:
            return times_ns[: np.searchsorted(times_ns, ended_ns)]
        count *= 2


def _of_generator(measured: Measured, summary: Summary, seen: RunConditions, found: Account) -> list[Check]:
    counts = measured.engine_run.counts
    if counts is None:
        return [Check(name, None, "JMeter does not tell it") for name in _NOT_OF_JMETER]
    asks = measured.benchmark.asks_highest_rate and not measured.point.values
    return [
        check_in_flight(counted_ns=counts.in_flight_ns, recorded_ns=found.in_flight_ns, completions=found.completions),
        check_highest_rate(measured, summary.steps, summary.evidence, asked=asks),
        *(
            check
            for step, evidence in zip(summary.steps, summary.evidence, strict=True)
            for check in _of_step(measured, step, evidence, seen)
        ),
    ]


def _of_step(measured: Measured, step: StepSummary, evidence: Evidence, seen: RunConditions) -> list[Check]:
    """One judgement a step: what is nothing for one may be much for another."""
    counts = measured.engine_run.counts
    assert counts
    return [
        check_lag(step, evidence, seen),
        check_clock(step, evidence, seen),
        check_unstamped(
            step,
            evidence,
            receive_lag_ms=counts.receive_lag_ns / max(counts.sent, 1) / NS_PER_MS,
            run_queue_ms=counts.run_queue_delay_ns / counts.run_queue_waits / NS_PER_MS
            if counts.run_queue_waits
            else None,
            seen=seen,
        ),
        check_loopback(step, p50_ns=counts.loopback_p50_ns, conditions=seen),
        check_pauses(
            step,
            paused_s=counts.paused_ns / NS_PER_S,
            window_s=measured.engine_run.scheduling_ended_ns / NS_PER_S,
            conditions=seen,
        ),
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
