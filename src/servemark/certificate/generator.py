"""Checks of the generator's own delay, by its effect: which figure of which step it moves, and by how much."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from servemark.certificate.advice import advice_on, cause_of
from servemark.certificate.conditions import IDLE_LIMIT_SHARE, RunConditions
from servemark.certificate.effects import LIMIT_SHARE, Effect, added, late, moved, times_of, worst
from servemark.certificate.streams import events_late, joined_late
from servemark.result import Check, LatencySummary, StepSummary
from servemark.stats.evidence import StepEvidence
from servemark.stats.lateness import Lateness, moved_at_most_ms
from servemark.stats.percentiles import REPORTED
from servemark.units import NS_PER_MS

_FEW = "too few requests succeeded for any percentile to have an interval"
_NOTHING_ASKED = "of the times that are asked for too few are known for an interval"


def check_lag(step: StepSummary, evidence: StepEvidence, conditions: RunConditions) -> Check:
    """In an open loop the generator's own delay moves no percentile from the schedule by more than its limit.

    These are those of the response, and of a stream those of its first event and of its first token.
    """
    name = f"generator lag ({step.name})"
    if step.headline == "service":
        return Check(
            name, None, "closed loop: what the generator delays is not in the service time, and lowers the load"
        )
    from_schedule = ((what, times) for what, times in times_of(step).items() if what != "service")
    effects = (one for what, times in from_schedule for one in moved(what, times, evidence.punctual_ms(what)))
    return _judged(name, "generator lag", step, effects, conditions)


def check_verdict(objective: str, *, late: int, missed: int, conditions: RunConditions) -> Check:
    """In an open loop no objective is missed only because requests left late.

    This is the check of one that is: of the `missed` requests so many would not have been but for the generator's lag.
    """
    name = f"generator lag ({objective})"
    reason = f"{late:,} of the {missed:,} requests that missed {objective} did so only by the generator's lag, without "
    reason += "which it is not missed"
    return _failed(Check(name, False, reason, late, 0, "requests"), conditions)


def check_clock(step: StepSummary, evidence: StepEvidence, conditions: RunConditions) -> Check:
    """Answers whose time is in doubt move no percentile of the headline by more than its limit.

    In doubt is an end without the kernel's time of arrival, which is late by what the thread was; where the kernel
    gives none at all, an end that came while the generator paused. The percentiles are compared with those of the other
    records, and are moved by no more than these answers can have been read late: they may be others' than those are.
    Of the requests behind whose `sent` the thread was interrupted hardly any left late (docs/accuracy.md): they are
    counted.
    """
    name = f"clock ({step.name})"
    unstamped = evidence.clock_read if evidence.is_stamped else evidence.paused
    why = "without the kernel's time of arrival" if evidence.is_stamped else "that came while the generator paused"
    interrupted = f"{evidence.unsure_sent:,} of {evidence.measured:,} requests were interrupted while they were written"
    if not unstamped:
        return Check(name, True, f"no answer's time is in doubt; {interrupted}", 0.0, None, "ms")
    if unstamped == evidence.measured:  # there is none to compare them with
        effects = late(step.headline, step.headline_ms, Lateness(1.0, conditions.late_in_pauses.most_ms))
    else:
        no_more_ms = _waited_at_most_ms(step.headline_ms, evidence, conditions)
        effects = moved(step.headline, step.headline_ms, evidence.trusted_ms, no_more_ms)
    doubts = f"{unstamped:,} of {evidence.measured:,} answers {why}"
    check = _judged(name, doubts, step, effects, conditions, verb="move")
    if check.passed is False and evidence.is_stamped and conditions.clock_steps:
        times = "once" if conditions.clock_steps == 1 else f"{conditions.clock_steps} times"
        cause = f"the wall clock, by which the kernel stamps arrivals, was set {times} meanwhile"
        return replace(check, cause=cause, advice=("see that nothing sets the clock, and run again",))
    return check


def _waited_at_most_ms(
    reported: LatencySummary, evidence: StepEvidence, conditions: RunConditions
) -> Mapping[str, float]:
    """The most that answers in doubt can have moved each percentile, since they were read no later than that.

    They waited as those with a stamp did, whose mean is known, and more only by exponential waits' long ones, or by
    pauses. In the longest pause no more can have come than were under way then, in the others those by chance.
    """
    if not evidence.is_stamped:
        return dict.fromkeys(REPORTED, conditions.late_in_pauses.most_ms)
    doubtful, longest_ms = evidence.clock_read / evidence.measured, conditions.late_in_pauses.most_ms
    in_longest = Lateness(min(doubtful, evidence.paused / evidence.measured), longest_ms)
    in_others = Lateness(doubtful * conditions.late_in_shorter_pauses.share, longest_ms)
    pauses = [moved_at_most_ms(reported, one) for one in (in_longest, in_others)]
    wait_ms = _stamped_wait_ms(evidence)
    return {
        name: max(wait_ms * max(1.0, math.log(doubtful / (1 - q))), *(one.get(name, 0.0) for one in pauses))
        for name, q in REPORTED.items()
    }


def _stamped_wait_ms(evidence: StepEvidence) -> float:
    """The time that answers with the kernel's time of arrival waited to be read, on the mean."""
    return evidence.receive_lag_ms * evidence.measured / max(evidence.measured - evidence.clock_read, 1)


def check_unstamped(
    step: StepSummary,
    evidence: StepEvidence,
    *,
    receive_lag_ms: float,
    run_queue_ms: float | None,
    joined_share: float,
    seen: RunConditions,
) -> Check:
    """What has no time of arrival of its own from the kernel, the generator reads soon after it came.

    These are answers, where there are no such times at all; and events of a stream that were read together with later
    ones, since all have the time of the last.

    `receive_lag_ms` is for how long an answer that was there waited for its thread to do others' work, `run_queue_ms`
    for how long a thread that is woken waits for a CPU (None where that is not counted), both on the mean. Together
    they are the least by which every percentile is too high. What came in pauses, or while a quota held the generator
    back, is late by up to as long; but that of the longest pause, of answers, is the clock's check. `joined_share` is
    the part of events that were read together with the one behind them.
    """
    name = f"receive lag ({step.name})"
    if evidence.is_stamped:
        return _check_joined(name, step, evidence, joined_share, seen)
    late_ms = receive_lag_ms + (run_queue_ms or 0.0)
    answers = {step.headline: step.headline_ms, "service": step.service_ms}
    effects = [
        *added(step, late_ms),
        *(one for what, times in answers.items() for one in late(what, times, seen.late_in_shorter_pauses)),
        *(one for what, times in answers.items() for one in late(what, times, seen.machine.throttled)),
        *events_late(step, seen.late_in_pauses),
        *events_late(step, seen.machine.throttled),
    ]
    return _judged(name, "that answers wait for the generator", step, effects, seen)


def _check_joined(
    name: str, step: StepSummary, evidence: StepEvidence, joined_share: float, seen: RunConditions
) -> Check:
    """Check events which were read together, where answers have the kernel's time of arrival."""
    wait_ms = _stamped_wait_ms(evidence)
    stamped = f"answers have the kernel's time of arrival; they were read {_ms(wait_ms)} later, on the mean"
    if step.events is None or step.events.between_events_ms is None:
        return Check(name, None, stamped)
    if not joined_share:
        return Check(name, True, f"{stamped}; no events were read together", 0.0, None, "ms")
    effects = joined_late(step, joined_share, wait_ms, seen.late_in_pauses)
    return _judged(name, f"that {joined_share:.1%} of events were read with a later one", step, effects, seen)


def check_loopback(step: StepSummary, *, p50_ns: int | None, conditions: RunConditions) -> Check:
    """What an ideal server on this machine takes is no more than the limit of any percentile.

    `p50_ns` is the self-test's, None when it could not be made.
    """
    name = f"loopback self-test ({step.name})"
    if p50_ns is None:
        return Check(name, None, "it could not be made: no socket, thread or file could be had")
    p50_ms = p50_ns / NS_PER_MS
    found = f"a response that takes no time is measured as {_ms(p50_ms)}, which"
    return _judged(name, found, step, added(step, p50_ms), conditions)


@dataclass(frozen=True)
class Cycle:
    """How the users of a closed loop spent their time.

    Attributes:
        idle_share: the part in which they were ready and the generator had not sent.
        starved_share: the part of what the server's workers could do for which they had nothing to do; None where that
            cannot be known.
        limit: by which share the rate may be moved: of the step that says it; None where it has no interval.
        asks_highest_rate: whether the question was how much the server can do.
        step: the name of the step that says the rate.
    """

    idle_share: float
    starved_share: float | None
    limit: float | None
    asks_highest_rate: bool
    step: str


def check_load(cycle: Cycle | None, conditions: RunConditions) -> Check:
    """In a closed loop that asks for the highest rate, the generator keeps the server busy.

    Users whose next request leaves late have lost load, no time: what is reported of a request is right, but the server
    could have done more.
    """
    name = "generator-limited"
    if cycle is None:
        return Check(name, None, "open loop: the schedule decides when requests are due")
    waited = f"users waited for the generator for {cycle.idle_share:.1%} of their time"
    if cycle.idle_share <= IDLE_LIMIT_SHARE:
        return Check(name, True, waited, cycle.idle_share, IDLE_LIMIT_SHARE, "share")
    if not cycle.asks_highest_rate:
        return Check(name, None, f"{waited}; the times of requests are right, the highest rate was not asked for")
    if cycle.limit is None:
        return Check(name, None, f"{waited}; too few requests succeeded for their rate to have an interval")
    # Whichever is less bounds what the rate lacks: what users did not ask for, and what workers were free to do.
    lacking = cycle.idle_share if cycle.starved_share is None else min(cycle.idle_share, cycle.starved_share)
    found = f"{waited}, so that the rate of {cycle.step} lacks up to {lacking:.1%}, limit {cycle.limit:.1%}"
    if lacking <= cycle.limit:
        return Check(name, True, found, lacking, cycle.limit, "share")
    if cycle.starved_share is None and conditions.shares_all_cpus:
        return Check(name, None, f"{found}; server and generator share this machine's CPUs, which are all busy")
    return _failed(Check(name, False, found, lacking, cycle.limit, "share"), conditions)


def check_pauses(step: StepSummary, evidence: StepEvidence, *, limit: float | None, conditions: RunConditions) -> Check:
    """The generator runs when it has to: what it did not send meanwhile lowers no rate by more than its limit.

    That is the part of the measured time in which a thread did not come back to its loop; with the kernel's times of
    arrival no more than that for which users waited to send: those of other threads did not, nor who waited for the
    server. `limit` is that of the rate if its requests were independent of each other, None where it has none: a pause
    widens the interval that they have, and would excuse itself. Times of requests are judged by the other checks.
    """
    name = f"pauses ({step.name})"
    if step.headline == "response":
        return Check(name, None, "open loop: what is sent late for it is the generator's lag")
    paused_s, window_s = conditions.measured_paused_s, conditions.window_s
    if paused_s <= 0:
        reason = "the generator was never kept from running"
        return Check(name, True, f"{reason} in the measured time", 0.0, LIMIT_SHARE, "share")
    if limit is None:
        return Check(name, None, "too few requests succeeded for their rate to have an interval")
    lacking_s = paused_s
    if evidence.is_stamped:
        lacking_s = min(paused_s, conditions.begun_paused_s + conditions.idle_share * window_s)
    share = lacking_s / window_s
    found = f"the generator did not run for {paused_s:.2f} s of the measured time, so that the rate lacks up to "
    found += f"{share:.1%}, limit {limit:.1%}"
    if share <= limit:
        return Check(name, True, found, share, limit, "share")
    return _failed(Check(name, False, found, share, limit, "share"), conditions)


def check_local_resources(steps: Sequence[StepSummary], seen: RunConditions) -> Check:
    """No request failed for lack of what it takes of the generator's own machine: descriptors, ports, memory.

    Such failures say nothing of the server, and the load was not the one that was asked for.
    """
    name = "local resources"
    lacking = sum(step.errors.get("local", 0) for step in steps)
    if not lacking:
        return Check(name, True, "no request lacked a descriptor, a port or memory of this machine", 0, 0, "requests")
    messages = (example.message for step in steps for example in step.error_examples if example.kind == "local")
    message = next(messages, "no example")
    resource, cause, own = _lack(message)
    advice = tuple(filter(None, (own, seen.changes.lower_load))) or ("run again",)
    reason = f"{lacking} requests failed for lack of {resource} ({message})"
    return Check(name, False, reason, lacking, 0, "requests", cause, advice)


def _lack(message: str) -> tuple[str, str, str]:
    """What of this machine was lacking, by the error that `message` tells, why, and what to do."""
    numbered = re.search(r"os error (\d+)", message)
    number = int(numbered[1]) if numbered else 0
    words = message.lower()
    if number in {errno.EMFILE, errno.ENFILE} or "too many open files" in words:
        return "file descriptors", "", "raise the hard limit of open files (ulimit -Hn, as root)"
    if number in {errno.EADDRNOTAVAIL, errno.EADDRINUSE} or "assign requested address" in words:
        cause = "a port rests for 60 s, so that one address of this machine can open about 470 a second to another"
        return "ports", cause, "let the server keep its connections alive"
    return "memory for connections", "", ""


def _judged(
    name: str,
    cause: str,
    step: StepSummary,
    effects: Iterable[Effect],
    conditions: RunConditions,
    verb: str = "moves",
) -> Check:
    """The check of the worst of the effects on what is asked; behind it, what goes beyond its limit and is not."""
    asked: list[Effect] = []
    others: list[Effect] = []
    for one in effects:
        (asked if conditions.asks(step.name, one.figure) else others).append(one)
    effect, other = worst(asked), worst(others)
    beside = f"{_moves(other)}, which is not asked for" if other and other.severity > 1 else ""
    if effect is None:
        return Check(name, None, f"{cause} {verb} {beside}" if beside else _NOTHING_ASKED if other else _FEW)
    reason = f"{cause} {verb} {_moves(effect)}" + (f"; {beside}" if beside else "")
    if effect.moved_ms <= effect.limit_ms:
        return Check(name, True, reason, effect.moved_ms, effect.limit_ms, "ms")
    return _failed(Check(name, False, reason, effect.moved_ms, effect.limit_ms, "ms"), conditions)


def _moves(effect: Effect) -> str:
    return f"{effect.figure} by {_ms(effect.moved_ms)}, limit {_ms(effect.limit_ms)}"


def _failed(check: Check, seen: RunConditions) -> Check:
    return replace(check, cause=cause_of(seen), advice=advice_on(seen))


def _ms(value: float) -> str:
    """With one decimal from 1 ms on, below with as many of three as say something."""
    return f"{value:.1f} ms" if value >= 1 else f"{value:.3f}".rstrip("0").rstrip(".") + " ms"
