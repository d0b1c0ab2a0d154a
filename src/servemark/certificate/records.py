"""Checks of what was recorded: is everything there, when it was due, and for as long as the generator saw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from servemark._loadgen import ArrivalAccount
from servemark.result import Check
from servemark.units import NS_PER_MS

#: How far the generator's own sum of requests under way may be from that of the records.
_IN_FLIGHT_LIMIT_SHARE = 0.05
#: Below this many completions that is not looked at.
_FEWEST_COMPLETIONS = 100
_DEFECT = ("results are wrong", ("run again, and report it if it happens again",))
_INCOMPLETE = ("results are incomplete", ("run again",))


def check_accounted(
    *, expected: int | None, scheduled: int, recorded: int, sent: tuple[int, int] | None, interrupted: bool
) -> Check:
    """Every request that was scheduled has a record, and with an exact plan every planned request was scheduled.

    `expected` is how many were planned, or None when time ends the run; `sent` how many requests the generator began
    to write, and how many records say so, None of a generator that does not count them.
    """
    name = "accounted"
    if recorded != scheduled:
        reason = f"{scheduled} requests were scheduled but {recorded} recorded"
        return Check(name, False, reason, recorded, scheduled, "records", *_INCOMPLETE)
    if expected is not None and not interrupted and recorded != expected:
        reason = f"{expected} requests were asked for but {recorded} recorded"
        return Check(name, False, reason, recorded, expected, "records", *_INCOMPLETE)
    if sent is not None and sent[0] != sent[1]:
        reason = f"{sent[0]} requests were sent but {sent[1]} recorded as sent"
        return Check(name, False, reason, sent[1], sent[0], "records", *_DEFECT)
    return Check(name, True, "every scheduled request has a record", recorded, expected or scheduled, "records")


def check_schedule(accounts: Mapping[str, ArrivalAccount], *, interrupted: bool) -> Check:
    """Every request of an open loop was scheduled when the arrival process says, and none is missing or too many.

    `accounts` holds, by the names of a group's steps, its records beside its arrival process up to the end of
    scheduling. After an interruption the last ones may be missing.
    """
    name = "schedule"
    if not accounts:
        return Check(name, None, "closed loop: the responses decide when requests are due")
    arrivals = 0
    for group, found in accounts.items():
        due, made = found.due, found.made + found.more
        arrivals += due
        if found.more or (made != due and not interrupted):
            reason = f"{made} arrivals of {group} were begun, not the {due} of its arrival process"
            return Check(name, False, reason, made, due, "arrivals", *_DEFECT)
        if found.wrong:
            most_ms = found.most_off_ns / NS_PER_MS
            reason = (
                f"{found.wrong} arrivals of {group} were scheduled at other times than those of its arrival process"
            )
            return Check(name, False, f"{reason}, by up to {most_ms:.3f} ms", most_ms, 0.0, "ms", *_DEFECT)
    return Check(
        name, True, "all arrivals were scheduled when the arrival process says", arrivals, arrivals, "arrivals"
    )


def check_in_flight(*, counted_ns: int, recorded_ns: int, completions: int) -> Check:
    """The generator's own count of requests under way, summed over the measured time, is that of the records, to 5%.

    `counted_ns` is the generator's sum; `completions` how many requests ended in that time.
    """
    name = "in flight"
    if completions < _FEWEST_COMPLETIONS:
        return Check(name, None, f"{completions} requests ended in the measured time, {_FEWEST_COMPLETIONS} are needed")
    apart = abs(counted_ns - recorded_ns) / max(counted_ns, 1)
    passed = apart <= _IN_FLIGHT_LIMIT_SHARE
    if apart:
        relation = "less" if recorded_ns < counted_ns else "more"
        reason = f"requests under way: records say {apart:.2%} {relation} than the generator's own count"
        reason += f", limit {_IN_FLIGHT_LIMIT_SHARE:.0%}"
    else:
        reason = "requests under way: records say the same as the generator's own count"
    check = Check(name, passed, reason, apart, _IN_FLIGHT_LIMIT_SHARE, "share")
    return check if passed else replace(check, cause=_DEFECT[0], advice=_DEFECT[1])


def check_server(failure: str | None, before: Mapping[str, object], after: Mapping[str, object]) -> Check:
    """The server is alive at the end, and its settings are what they were at the start."""
    name = "server unchanged"
    if failure:
        return Check(name, False, failure)
    if not before:
        return Check(name, None, "alive; its settings cannot be read back")
    changed = [f"{key} {before[key]} -> {after.get(key)}" for key in before if before[key] != after.get(key)]
    if changed:
        return Check(name, False, f"settings changed while measuring ({', '.join(changed)})", advice=("run again",))
    return Check(name, True, "alive, with the same settings before and after")
