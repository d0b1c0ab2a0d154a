"""A measurement that a busy test machine makes INVALID: which checks may do that, and what a test makes of it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from servemark.cli import main

#: Checks that fail when the machine keeps the generator from running. All others fail by a fault of servemark's own.
OF_THE_MACHINE = {
    "generator lag",
    "generator-limited",
    "clock",
    "receive lag",
    "loopback self-test",
    "pauses",
    "probes",  # of which too many failed another, which stands beside it; as of trials
    "trials",
}
_INVALID = 3
_TRIES = 3
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


def until_valid(words: Sequence[str], folder: Path) -> tuple[int, dict[str, Any]]:
    """Measure what `words` ask for into `folder`, at most three times where that is INVALID: exit status and result.

    Where all were, the test is skipped: nothing can be searched, compared or kept with what is INVALID.
    """
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        status = main([*words, "-o", str(folder)])
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        certificates = [benchmark["certificate"] for benchmark in result["benchmarks"] if benchmark["certificate"]]
        if all(certificate["valid"] for certificate in certificates):
            break
    skip_where_too_busy(failed_checks(certificates))
    return status, result


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
