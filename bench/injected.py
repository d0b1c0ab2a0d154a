"""Every fault that the driver can be told to make, made over and over against the oracle: each time the certificate
has to find it, and without a fault to find none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from judging import Finding, equal
from measuring import Conditions, measure

from bench.proof import Section
from servemark.units import NS_PER_MS
from servemark.workload.load import Arrivals, ClosedLoad, Load, OpenLoad, RateSegment
from servemark.workload.plan import EngineFault, FaultName

_LAW = ("--constant-ms", "100")
_CLOSED: Load = ClosedLoad(8, loops=15)
_OPEN: Load = OpenLoad(Arrivals("poisson", profile=(RateSegment(80.0, 80.0),)), duration_s=1.5, warmup_s=0.2)


@dataclass(frozen=True)
class Case:
    """A fault, and the check that has to find it; more may."""

    load: Load
    fault: EngineFault
    amount: str
    check: str

    def __str__(self) -> str:
        loop = "open loop" if isinstance(self.load, OpenLoad) else "closed loop"
        return f"{loop}, {self.fault.kind.replace('_', ' ')} ({self.amount}): found by {self.check}"


#: As in tests/integration/test_certificate_faults.py; a fault that has no case here fails the proof.
CASES = (
    Case(_CLOSED, EngineFault("late_wake_up", 60 * NS_PER_MS), "60 ms", "generator lag"),
    Case(_CLOSED, EngineFault("slow_parse", 10 * NS_PER_MS), "10 ms", "loopback self-test"),
    Case(_CLOSED, EngineFault("lost_record", 7), "every 7th", "accounted"),
    Case(_OPEN, EngineFault("late_wake_up", 150 * NS_PER_MS), "150 ms", "generator lag"),
    Case(_OPEN, EngineFault("slow_parse", 15 * NS_PER_MS), "15 ms", "receive lag"),
    Case(_OPEN, EngineFault("skipped_arrival", 5), "every 5th", "schedule"),
)


def prove_faults(program: Path, folder: Path, runs: int) -> Iterator[Section]:
    """Each fault is found by the check that is there for it, each time."""
    findings: list[Finding] = []
    for case in CASES:
        found = sum(_finds(program, folder, case, seed) for seed in range(1, runs + 1))
        findings.append(equal(str(case), found, runs))
    unmade = unmade_faults()
    findings.append(equal("faults that the driver knows and that are not made here", len(unmade), 0))
    yield Section(
        "Faults that the driver makes are found",
        f"`servemark-oracle {' '.join(_LAW)}`; {runs} runs each: 8 users of 15 loops, or poisson, 80/s for 1.5 s",
        findings,
        told=f"Not made here: {', '.join(sorted(unmade))}." if unmade else "",
    )


def unmade_faults() -> set[str]:
    """What the driver can be told to do wrong and is not told here."""
    return set(get_args(FaultName)) - {case.fault.kind for case in CASES}


def _finds(program: Path, folder: Path, case: Case, seed: int) -> bool:
    conditions = Conditions(fault=case.fault)
    sample = measure(program, folder, _LAW, case.load, seed=seed, conditions=conditions, most_tries=1)
    checks = sample.certificate.checks
    return any(check.passed is False and check.name.split(" (")[0] == case.check for check in checks)
