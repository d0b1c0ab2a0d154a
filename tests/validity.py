"""A measurement that a busy test machine makes INVALID: which checks may do that, and what a test makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

#: Checks that fail when the machine keeps the generator from running. All others fail by a fault of servemark's own.
OF_THE_MACHINE = {
    "generator lag",
    "generator-limited",
    "clock",
    "receive lag",
    "loopback self-test",
    "pauses",
    "probes",  # of which too many failed another, which stands beside it
}
_INVALID = 3
#: Listed among the skips that CI allows.
TOO_BUSY = "this machine is too busy: no run of several was valid"


def status_but_for_the_machine(status: int, result: dict[str, Any] | None) -> int:
    """The exit status that a command would have had on a quiet machine; says what was INVALID here, if it was.

    Only checks that name the machine may have failed: another is a failure of the test.
    """
    if status != _INVALID:
        return status
    assert result is not None
    failed = failed_checks(benchmark["certificate"] for benchmark in result["benchmarks"] if benchmark["certificate"])
    assert failed, "INVALID without a check that failed"
    assert not_of_the_machine(failed) == []
    reasons = "; ".join(failed.values())
    warnings.warn(f"INVALID on this machine, which is not what is tested: {reasons}", stacklevel=2)
    verdicts = [verdict for benchmark in result["benchmarks"] for verdict in benchmark["verdicts"]]
    return int(any(verdict["outcome"] == "missed" for verdict in verdicts))


def failed_checks(certificates: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The checks of any of the certificates that failed: names and reasons."""
    checks = (check for certificate in certificates for check in certificate["checks"])
    return {check["name"]: check["reason"] for check in checks if check["passed"] is False}


def skip_where_too_busy(failed: Mapping[str, str]) -> None:
    """Skip the test whose last run, of several, failed these checks: names and reasons.

    A check that fails by a fault of servemark's own is a failure of the test.
    """
    assert not_of_the_machine(failed) == [], failed
    if failed:
        warnings.warn(f"INVALID on this machine: {'; '.join(failed.values())}", stacklevel=2)
        pytest.skip(TOO_BUSY)


def not_of_the_machine(names: Iterable[str]) -> list[str]:
    """Those of the checks, by name, that no machine can make fail."""
    return [name for name in names if name.partition(" (")[0] not in OF_THE_MACHINE]
