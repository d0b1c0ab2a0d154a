"""A measurement that a busy test machine makes INVALID: which checks may do that, and the exit status but for them."""

from __future__ import annotations

import warnings
from typing import Any

#: Checks that fail when the machine keeps the generator from running. All others fail by a fault of servemark's own.
OF_THE_MACHINE = {
    "generator lag",
    "generator-limited",
    "clock",
    "receive lag",
    "loopback self-test",
    "pauses",
}
_INVALID = 3


def status_but_for_the_machine(status: int, result: dict[str, Any] | None) -> int:
    """The exit status that a command would have had on a quiet machine; says what was INVALID here, if it was.

    Only checks that name the machine may have failed: another is a failure of the test.
    """
    if status != _INVALID:
        return status
    assert result is not None
    certificates = [benchmark["certificate"] for benchmark in result["benchmarks"] if benchmark["certificate"]]
    checks = [check for certificate in certificates for check in certificate["checks"] if check["passed"] is False]
    wrong = [check for check in checks if check["name"].partition(" (")[0] not in OF_THE_MACHINE]
    assert checks, "INVALID without a check that failed"
    assert wrong == []
    reasons = "; ".join(check["reason"] for check in checks)
    warnings.warn(f"INVALID on this machine, which is not what is tested: {reasons}", stacklevel=2)
    verdicts = [verdict for benchmark in result["benchmarks"] for verdict in benchmark["verdicts"]]
    return int(any(verdict["passed"] is False for verdict in verdicts))
