"""Certificates: whether the generator, not only the server, did what was asked.

Each check is a function of what was planned, recorded, counted and read back. It passed, failed, or is not applicable,
with the reason; only a failed one makes the run INVALID. A reason names the figure and the limit. Why it failed and
what to change are apart from it, and chosen from what was measured of the run's `RunConditions`, and from what can be
changed here.

``records`` holds the checks of what was recorded, ``generator`` those of the generator's own delay, ``streams`` what
that makes of events, ``pauses`` when its threads did not run, ``conditions`` what else the machine did, which makes no
run INVALID, and ``advice`` why a generator was late and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from servemark.result import Certificate, Check, Disturbance, RunResult


def certify(checks: Sequence[Check], disturbances: Sequence[Disturbance] = ()) -> Certificate:
    """The certificate of a run with these checks, on a machine with these disturbances."""
    valid = all(check.passed is not False for check in checks)
    return Certificate(valid=valid, checks=tuple(checks), disturbances=tuple(disturbances))


def combine(runs: Sequence[RunResult]) -> Certificate:
    """The certificate of several runs: valid if all are. Of the disturbances of one name, the worst.

    The names of checks say which point they are of, and so do the reasons of disturbances.
    """
    worst: dict[str, Disturbance] = {}
    checks: list[Check] = []
    for run in runs:
        checks += [replace(check, name=placed(check.name, run.place)) for check in run.certificate.checks]
        for found in run.certificate.disturbances:
            if found.name not in worst or found.measured > worst[found.name].measured:
                where = f" (worst at {run.place})" if run.place and len(runs) > 1 else ""
                worst[found.name] = replace(found, reason=f"{found.reason}{where}")
    return certify(checks, tuple(worst.values()))


def placed(name: str, place: str) -> str:
    """``clock (predict)`` or ``accounted``, the name of a check, with the point behind it."""
    if not place:
        return name
    return f"{name[:-1]}; {place})" if name.endswith(")") else f"{name} ({place})"
