"""Runs a plan on JMeter and waits for it, minding signals and adaptive length.

JMeter runs headless, in a session of its own, and never outlives this call, however it ends. What it did is read from
its results alone: its exit status is 0 when every request failed, and 1 for harmless reasons.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.engines import EngineRun, GeneratorRun, Watch
from servemark.engines.jmeter import jtl
from servemark.engines.jmeter.plan import FAILURES, write_plan
from servemark.engines.jmeter.process import LOG, OUTPUT, RESULTS, Running
from servemark.environments.jmeter import JMeterHome
from servemark.errors import RecordingError, SetupError
from servemark.interrupts import held_back
from servemark.machine.counters import MachineWatch
from servemark.units import NS_PER_MS, NS_PER_S, ns_from_s
from servemark.workload.address import Address
from servemark.workload.load import Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import ApiName

_LOOK_EVERY_S = 0.2
#: After a first Ctrl-C, how long requests in flight are awaited.
_DRAIN_S = 1.0
#: How long JMeter gets to write down what it aborted, before it is killed.
_ABORT_S = 2.0
#: How much earlier than planned a run may end by its clock and ours.
_EARLY_S = 1.5
_MOST_LOG_LINES = 10
_MOST_BODY_BYTES = 16 << 20


def execute(
    plan: Plan,
    addresses: Mapping[ApiName, Address],
    *,
    record_path: Path,
    folder: Path,
    timeout_s: float,
    connect_timeout_s: float,
    seed: int,
    watch: Watch,
    machine: MachineWatch,
    home: JMeterHome,
) -> EngineRun:
    """Send all of `plan` with JMeter, working in `folder` (made if missing), and record to `record_path`.

    Ctrl-C ends scheduling, and what is still under way a second later is aborted; a second Ctrl-C does not wait. Either
    way this returns normally, with `interrupted` set. The CPU time is JMeter's from its first request on.

    Raises:
        UsageError: JMeter cannot do what the plan asks.
        SetupError: JMeter sent nothing; says why, from its log.
        RecordingError: the plan or the records could not be written, or the results not be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RESULTS, LOG, OUTPUT, FAILURES):
            (folder / name).unlink(missing_ok=True)  # JMeter would append to them.
        written = write_plan(
            plan, addresses, folder, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, seed=seed
        )
    except OSError as error:
        raise RecordingError(f"cannot write JMeter's plan into {folder}", cause=error.strerror or str(error)) from error
    warmup_ns = ns_from_s(max(group.closed.warmup_s for group in plan.groups))
    with Running(written, folder, home, warmup_ns) as running:
        ended = _await_end(running, _until(plan), warmup_ns, watch)
    used = machine.use()
    converted = jtl.convert(
        folder / RESULTS,
        written,
        record_path,
        warmup_ns=warmup_ns,
        stopped_unix_ms=ended.stopped_unix_ms,
        kept_bodies=folder / FAILURES,
    )
    bodies = folder / FAILURES
    if bodies.exists() and bodies.stat().st_size > _MOST_BODY_BYTES:
        bodies.unlink()  # The first of each kind are in the result.
    early = _ended_early(plan, converted, folder) if ended.stopped_unix_ms is None else None
    if not converted.records and not ended.cut_short:
        raise SetupError("JMeter sent nothing", cause=early or "", next_step=f"see {folder / LOG}", detail=_log(folder))
    return EngineRun(
        generators=(GeneratorRun(records=record_path, scheduled=converted.records, cpu_s=running.cpu_s, machine=used),),
        scheduling_ended_ns=_scheduling_ended_ns(plan, converted, ended.stopped_unix_ms),
        interrupted=ended.cut_short or early is not None,
        stop_reason=ended.stop_reason or early,
        examples=converted.examples,
        ended_ns=converted.last_end_ns,
    )


@dataclass
class _End:
    """How a run came to its end: when it was asked to, and whether that was because it had enough."""

    stopped_unix_ms: int | None = None
    stop_reason: str | None = None
    cut_short: bool = False


def _await_end(running: Running, until: Until | None, warmup_ns: int, watch: Watch) -> _End:
    end = _End()
    abort_at_s = kill_at_s = float("inf")

    def stop(drain_s: float) -> None:
        nonlocal abort_at_s, kill_at_s
        running.ask("Shutdown")
        end.stopped_unix_ms = end.stopped_unix_ms or time.time_ns() // NS_PER_MS
        end.cut_short = True
        abort_at_s = time.monotonic() + drain_s
        kill_at_s = abort_at_s + _ABORT_S

    def hear(interrupts: int) -> None:
        nonlocal kill_at_s
        stop(_DRAIN_S)
        if interrupts > 1:
            kill_at_s = 0.0

    with held_back(hear):
        while time.monotonic() < kill_at_s:
            time.sleep(_LOOK_EVERY_S)
            if running.ended():
                break
            counts = running.counts()
            reason = watch(counts, "")
            if reason and not end.stop_reason:
                end.stop_reason = reason
                stop(0.0)
            enough_at_ns = warmup_ns + ns_from_s(until.min_s) if until else 0
            enough = until is not None and counts.measured_succeeded >= until.successes
            if enough and counts.elapsed_ns >= enough_at_ns and end.stopped_unix_ms is None:
                running.ask("Shutdown")
                end.stopped_unix_ms = time.time_ns() // NS_PER_MS
            if time.monotonic() >= abort_at_s:
                running.ask("StopTestNow")
    return end


def _until(plan: Plan) -> Until | None:
    foreground = (group.closed for group in plan.groups if not group.background)
    return next((load.until for load in foreground if load.until), None)


def _scheduling_ended_ns(plan: Plan, converted: jtl.JtlRecords, stopped_unix_ms: int | None) -> int:
    """The planned time, or an earlier stop; with loops, the last end."""
    longest_s = [group.closed.longest_s for group in plan.groups if not group.background]
    timed = [seconds for seconds in longest_s if seconds is not None]
    ended_ns = converted.last_end_ns
    if timed and len(timed) == len(longest_s):
        # JMeter's clock starts a little before its first request, and so ends the run as much too early.
        ended_ns = min(ended_ns, ns_from_s(max(timed)))
    if stopped_unix_ms is not None and converted.records:
        stopped_ns = (stopped_unix_ms - converted.started_unix_ms) * NS_PER_MS
        ended_ns = min(ended_ns, max(stopped_ns, converted.last_scheduled_ns + NS_PER_MS))
    return ended_ns


def _ended_early(plan: Plan, converted: jtl.JtlRecords, folder: Path) -> str | None:
    """Why JMeter ended before the plan did, if so."""
    foreground = [number for number, group in enumerate(plan.groups) if not group.background]
    planned_s = max((plan.groups[n].closed.longest_s or 0.0) - plan.groups[n].closed.think_s for n in foreground)
    all_sent = all(converted.records_by_group[n] >= _least_requests(plan.groups[n]) for n in foreground)
    if all_sent and converted.last_end_ns / NS_PER_S >= planned_s - _EARLY_S:
        return None
    lines = _log(folder).splitlines()
    return "JMeter ended early" + (f": {lines[0]}" if lines else "")


def _least_requests(group: Group) -> int:
    """How many requests the users of a group send at least."""
    steps_a_loop = 1 if group.scenario.weights else len(group.scenario.steps)
    return max(1, group.closed.users * (group.closed.loops or 0) * steps_a_loop)


def _log(folder: Path) -> str:
    """What JMeter's log and output say of errors."""
    found: list[str] = []
    for name, sign in ((LOG, r" (ERROR|FATAL) "), (OUTPUT, r"[Ee]rror|Exception")):
        with contextlib.suppress(OSError):
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            found += [line for line in lines if re.search(sign, line)]
    return "\n".join(found[:_MOST_LOG_LINES])
