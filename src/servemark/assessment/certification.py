"""From what was measured of a run to its certificate: which checks there are, and on what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.assessment.measured import Measured, of_one
from servemark.certificate import certify
from servemark.certificate.circumstances import Circumstances, disturbances
from servemark.certificate.generator import (
    check_cpu,
    check_lag,
    check_loopback,
    check_receive_lag,
    check_run_queue,
)
from servemark.certificate.records import check_accounted, check_in_flight, check_schedule, check_server
from servemark.result import Certificate, Check, LatencySummary
from servemark.stats.accounting import Account, account, first_scheduled
from servemark.stats.summary import Summary, Window
from servemark.units import NS_PER_S
from servemark.workload.load import ClosedLoad, OpenLoad
from servemark.workload.plan import EngineArrivals

_NOT_OF_JMETER = ("in flight", "generator lag", "receive lag", "run-queue delay", "generator CPU", "loopback self-test")


def certificate_of(measured: Measured, summary: Summary) -> Certificate:
    """The certificate of a run."""
    seen = circumstances_of(measured)
    found = account(measured.records.chunks(), counted_window(measured))
    return certify(
        [*_of_records(measured, found), *_of_generator(measured, summary, seen, found), _of_server(measured)],
        disturbances(seen),
    )


def circumstances_of(measured: Measured) -> Circumstances:
    """What the machine and the generator's threads did meanwhile."""
    loads = [group.load for group in measured.plan.groups]
    engine_run = measured.engine_run
    return Circumstances(
        open_loop=any(isinstance(load, OpenLoad) for load in loads),
        users=sum(load.users for load in loads if isinstance(load, ClosedLoad)),
        machine=measured.machine,
        generator_cpu_s=engine_run.generator_cpu_s,
        generator_s=engine_run.ended_ns / NS_PER_S,
        threads=measured.compiled.threads,
        realtime=engine_run.realtime,
        keep_awake=engine_run.keep_awake,
    )


def counted_window(measured: Measured) -> Window:
    """From the warm-up to the end of scheduling: the time over which the engine summed up what was under way."""
    ended_ns = measured.engine_run.scheduling_ended_ns
    return Window(min(measured.compiled.warmup_ns, ended_ns), ended_ns)


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


def _of_generator(measured: Measured, summary: Summary, seen: Circumstances, found: Account) -> list[Check]:
    counts = measured.engine_run.counts
    if counts is None:
        return [Check(name, None, "JMeter does not tell it") for name in _NOT_OF_JMETER]
    steps = zip(summary.steps, summary.punctual_ms, strict=True)
    median_response_ms = _fastest_ms([step.response_ms for step in summary.steps])
    return [
        check_in_flight(counted_ns=counts.in_flight_ns, recorded_ns=found.in_flight_ns, completions=found.completions),
        *(check_lag(step, punctual_ms, seen) for step, punctual_ms in steps),
        check_receive_lag(
            lag_ns=counts.receive_lag_ns,
            sent=counts.sent,
            median_response_ms=median_response_ms,
            circumstances=seen,
        ),
        check_run_queue(
            delay_ns=counts.run_queue_delay_ns,
            waits=counts.run_queue_waits,
            median_service_ms=_fastest_ms([step.service_ms for step in summary.steps]),
            circumstances=seen,
        ),
        check_cpu(seen),
        check_loopback(
            p50_ns=counts.loopback_p50_ns,
            median_response_ms=median_response_ms,
            circumstances=seen,
        ),
    ]


def _fastest_ms(latencies: Sequence[LatencySummary]) -> float | None:
    """The median of the step whose median is least; None where nothing was measured."""
    return min((latency.p50.value for latency in latencies if latency.p50.value is not None), default=None)


def _of_server(measured: Measured) -> Check:
    failure = measured.failure
    if measured.point.model.scaled and not failure:
        return Check("server unchanged", None, "to change it is what was measured")
    before, after = of_one(measured.settings_before), of_one(measured.settings_after)
    return check_server(str(failure) if failure else None, before, after)
