"""Checks of several generators of one run: is every one there to its end, and did they begin as one."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.certificate.conditions import RunConditions
from servemark.certificate.effects import added, limit_of_rate, worst
from servemark.result import Check, StepSummary
from servemark.units import NS_PER_MS, NS_PER_S

_FEW = "too few requests succeeded for any figure to have an interval"


def check_generators(lost: Sequence[str], of: int, late: Sequence[str] = ()) -> Check:
    """Every one of the generators came to its end. `lost` says of each that did not why, and what it owed.

    `late` says of each that stopped later than the others for how long it went on, which moves no figure.
    """
    name = "generators"
    if not lost:
        ended = f"all {of} came to their end" if of > 1 else "the only one came to its end"
        return Check(name, True, "; ".join([ended, *late]), 0, 0, "generators")
    return Check(name, False, "; ".join(lost), len(lost), 0, "generators", advice=("run again",))


def check_start(
    step: StepSummary, *, apart_ns: int, whose: str, unread: Sequence[str], window_s: float, conditions: RunConditions
) -> Check:
    """The generators were in step: what they may have been apart moves no figure by more than its limit.

    `apart_ns` is how far two of them, called `whose`, may have been from each other at most. Latencies are of each
    one's own clock, and right. But requests of different generators came to the server at other distances. Of a queue
    that is served in order, departures are displaced by no less than the least of its arrivals is, and by no more than
    the most. (They are a non-expansive function of its arrivals; Baccelli, Cohen, Olsder and Quadrat, "Synchronization
    and Linearity", 1992.) A response is a departure less its arrival: so it is moved by no more than that. Of a closed
    loop nothing is scheduled but the start, and only the rate is moved: by that part of the measured time. How far
    those went after the start whose clocks are `unread` nobody knows.
    """
    name = f"start ({step.name})"
    check = _of_clocks_read(name, step, apart_ns, whose, window_s, conditions)
    if check.passed is False or not unread:
        return check
    reason = (
        f"{', '.join(unread)} could not be asked for the clock after the run: how far out of step it was is not known"
    )
    return Check(name, None, reason)


def _of_clocks_read(
    name: str, step: StepSummary, apart_ns: int, whose: str, window_s: float, conditions: RunConditions
) -> Check:
    """The check of the start by what the clocks say that could be read."""
    apart_ms = apart_ns / NS_PER_MS
    said = f"{whose} may have been {apart_ms:.3f} ms out of step"
    if not apart_ns:
        return Check(name, True, "all began at one instant of one clock", 0.0, None, "ms")
    limit = limit_of_rate(step.throughput_per_s)
    share = apart_ns / NS_PER_S / window_s if window_s > 0 else 0.0
    if limit is not None and share > limit:
        reason = f"{said}, which moves the rate by up to {share:.1%}, limit {limit:.1%}"
        return _out_of_step(Check(name, False, reason, share, limit, "share"))
    effects = added(step, apart_ms) if step.headline == "response" else []
    effect = worst(one for one in effects if conditions.asks(step.name, one.figure))
    if effect is None and limit is None:
        return Check(name, None, f"{said}; {_FEW}")
    if effect is None:
        return Check(name, True, f"{said}, which moves the rate by up to {share:.1%}", share, limit, "share")
    reason = f"{said}, which moves {effect.figure} by up to that, limit {effect.limit_ms:.3f} ms"
    if effect.moved_ms <= effect.limit_ms:
        return Check(name, True, reason, effect.moved_ms, effect.limit_ms, "ms")
    return _out_of_step(Check(name, False, reason, effect.moved_ms, effect.limit_ms, "ms"))


def _out_of_step(check: Check) -> Check:
    cause = "a clock could not be read more exactly, or was stepped, or runs at another speed"
    advice = ("use a network on which datagrams are answered sooner", "see that nothing sets the clock", "run again")
    return Check(check.name, False, check.reason, check.measured, check.limit, check.unit, cause, advice)
