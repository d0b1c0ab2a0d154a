"""Certificates: whether the generator, not only the server, did what was asked.

Each check is a function of what was planned, recorded, counted and read back. It passed, failed, or is not applicable,
with the reason; only a failed one makes the run INVALID. A reason names the figure and the limit, and what to change:
that is chosen from what was measured of the run's `Circumstances`.

``records`` holds the checks of what was recorded, ``generator`` those of the generator's own delay, ``circumstances``
what else the machine did, which makes no run INVALID.
"""

from __future__ import annotations

from collections.abc import Sequence

from servemark.result import Certificate, Check, Disturbance


def certify(checks: Sequence[Check], disturbances: Sequence[Disturbance] = ()) -> Certificate:
    """The certificate of a run with these checks, on a machine with these disturbances."""
    valid = all(check.passed is not False for check in checks)
    return Certificate(valid=valid, checks=tuple(checks), disturbances=tuple(disturbances))


def combine(certificates: Sequence[Certificate]) -> Certificate:
    """The certificate of several runs: valid if all are. Of the disturbances of one name, the worst."""
    worst: dict[str, Disturbance] = {}
    for found in (disturbance for certificate in certificates for disturbance in certificate.disturbances):
        if found.name not in worst or found.measured > worst[found.name].measured:
            worst[found.name] = found
    return certify([check for certificate in certificates for check in certificate.checks], tuple(worst.values()))
