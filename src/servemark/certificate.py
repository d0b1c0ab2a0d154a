"""Certificates: whether the generator, not only the server, did what was asked.

Each check is a function of what was planned, recorded and read back. It passed, failed, or is not applicable; only a
failed one makes the run INVALID. A reason names the figure, the limit and what to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from servemark.result import Certificate, Check, StepSummary

#: Bias that the generator's own lag may put into a reported percentile (design: measurement rule 8).
_LAG_LIMIT_MS = 0.5
_LAG_LIMIT_SHARE = 0.05


def certify(checks: Sequence[Check]) -> Certificate:
    """The certificate of a run with these checks."""
    return Certificate(valid=all(check.passed is not False for check in checks), checks=tuple(checks))


def check_accounted(*, expected: int | None, scheduled: int, recorded: int, interrupted: bool) -> Check:
    """Every request that was scheduled has a record, and with an exact plan every planned request was scheduled.

    `expected` is users x loops x steps, or None when time ends the run.
    """
    name = "accounted"
    if recorded != scheduled:
        reason = f"{scheduled} requests were scheduled but {recorded} recorded: results are incomplete, run again"
        return Check(name, False, reason, recorded, scheduled, "records")
    if expected is not None and not interrupted and recorded != expected:
        reason = f"{expected} requests were asked for but {recorded} recorded: results are incomplete, run again"
        return Check(name, False, reason, recorded, expected, "records")
    return Check(name, True, "every scheduled request has a record", recorded, expected or scheduled, "records")


def check_lag(step: StepSummary, punctual_ms: Mapping[str, float]) -> Check:
    """The generator's own delay moves no percentile of the response time by more than the larger of 0.5 ms and 5%.

    Only percentiles that have an interval are looked at: of a few requests, one that was late would move the others.

    `punctual_ms` holds the same percentiles of response minus generator_lag: what a generator that is never late
    would have reported.
    """
    name = f"generator lag ({step.name})"
    worst: Check | None = None
    for percentile, without_ms in punctual_ms.items():
        statistic = getattr(step.response_ms, percentile)
        if statistic.ci95 is None:
            continue
        with_ms = statistic.value
        moved_ms = abs(with_ms - without_ms)
        limit_ms = max(_LAG_LIMIT_MS, _LAG_LIMIT_SHARE * without_ms)
        if worst is None or moved_ms / limit_ms > (worst.measured or 0.0) / (worst.limit or 1.0):
            verb = f"generator lag moves {percentile.replace('_', '.')} by {moved_ms:.3f} ms, limit {limit_ms:.3f} ms"
            advice = "" if moved_ms <= limit_ms else ": lower --threads, or move the generator to another machine"
            worst = Check(name, moved_ms <= limit_ms, verb + advice, moved_ms, limit_ms, "ms")
    return worst or Check(name, None, "too few requests succeeded for any percentile to have an interval")


def check_server(failure: str | None, before: Mapping[str, object], after: Mapping[str, object]) -> Check:
    """The server is alive at the end, and its settings are what they were at the start."""
    name = "server unchanged"
    if failure:
        return Check(name, False, failure)
    if not before:
        return Check(name, None, "the server's settings cannot be read back")
    changed = [f"{key} {before[key]} -> {after.get(key)}" for key in before if before[key] != after.get(key)]
    if changed:
        return Check(name, False, f"settings changed while measuring ({', '.join(changed)}): run again")
    return Check(name, True, "alive, with the same settings before and after")
