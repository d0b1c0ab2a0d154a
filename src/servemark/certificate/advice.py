"""Why a generator was late, as far as that was measured, and what can be done about it here."""

from __future__ import annotations

from collections.abc import Iterator

from servemark.certificate.conditions import THROTTLED_LIMIT_SHARE, RunConditions

#: Of the machine's CPU time; above it, what waits for a CPU waits for others to be done.
_ALL_BUSY_SHARE = 0.9
#: A thread that did not run for so long was not only waiting for its turn.
_STOPPED_S = 0.25


def cause_of(seen: RunConditions) -> str:
    """Why; empty where nothing that was measured says it."""
    machine = seen.machine
    cpus = f"all {machine.cpus} cores" if machine.cpus > 1 else "the only core"
    if _is_throttled(seen):
        return f"its control group's quota of CPU time kept it waiting for {machine.throttled_s:.2f} s"
    began_s, ended_s = seen.longest_pause_s
    if _is_stopped(seen):
        return f"it was stopped, or kept from a CPU, for {ended_s - began_s:.2f} s until {ended_s:.1f} s"
    if seen.busy_share:
        return f"its thread{'s were' if seen.threads > 1 else ' was'} busy for {seen.busy_share:.0%} of the time"
    if seen.machine_share is None:
        return ""
    if seen.machine_share <= _ALL_BUSY_SHARE:
        return f"though this machine's CPUs were busy for only {seen.machine_share:.0%} of the time"
    if not machine.remote and machine.server_cpu_s and machine.server_cpu_s > machine.capacity_s / 2:
        return f"the server uses {cpus}" if not seen.other_share else f"the server and other programs use {cpus}"
    return f"other programs use {cpus}" if seen.other_share else f"{cpus} of this machine are busy"


def advice_on(seen: RunConditions) -> tuple[str, ...]:
    """What to change, the most useful first: only what this user can ask for of this benchmark on this machine."""
    return tuple(_actions(seen))


def _actions(seen: RunConditions) -> Iterator[str]:
    if _is_throttled(seen):
        yield "give it a larger quota"
        return
    if _is_stopped(seen):
        yield "see that nothing stops it, and run again"
        return
    most_busy = (seen.machine_share or 0.0) > _ALL_BUSY_SHARE
    if seen.changes.lower_load:
        yield seen.changes.lower_load
    if seen.other_share:
        yield "stop what else runs here"
    if seen.busy_share and seen.changes.more_threads and not most_busy:
        yield seen.changes.more_threads
    if seen.changes.realtime and (most_busy or seen.realtime.startswith("refused")):
        yield seen.changes.realtime
    if seen.open_loop and not most_busy and seen.changes.keep_awake:
        yield seen.changes.keep_awake
    if not most_busy:
        yield "run again"
    elif seen.machine.remote:
        yield "send from a machine with more CPUs"
    else:
        yield "measure on a machine with more CPUs"


def _is_stopped(seen: RunConditions) -> bool:
    """Whether its longest pause was none that a busy machine makes."""
    began_s, ended_s = seen.longest_pause_s
    return ended_s - began_s >= _STOPPED_S


def _is_throttled(seen: RunConditions) -> bool:
    """Whether the quota of its control group explains its pauses, or kept it from running where these were short."""
    if seen.paused_s > 0:
        return (seen.machine.throttled_s or 0.0) > seen.paused_s / 2
    return seen.machine.throttled_share > THROTTLED_LIMIT_SHARE
