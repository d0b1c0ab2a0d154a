"""Every fault that the driver can be told to make, made over and over against the oracle: each time the certificate
finds it, or it is in no figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from judging import Finding, equal, failed
from loops import EVERY, judge_times
from measuring import Conditions, Sample, measure

from bench.proof import Section
from servemark.benchmarks import ping
from servemark.units import NS_PER_MS
from servemark.workload.engine_plan import EngineFault, FaultName
from servemark.workload.load import Arrivals, ClosedLoad, Load, OpenLoad, RateSegment

_LAW = ("--constant-ms", "100")
_CLOSED: Load = ClosedLoad(8, loops=15)
_OPEN: Load = OpenLoad(Arrivals("poisson", profile=(RateSegment(80.0, 80.0),)), duration_s=1.5, warmup_s=0.2)


@dataclass(frozen=True)
class Case:
    """A fault, and what has to become of it: a check finds it, or no figure has it, or both.

    Attributes:
        check: which of the certificate's must fail; more may. Empty where the fault is to be noticed, and mended as far
            as can be: then the service of a valid run has to be the oracle's own.
        is_right: whether the service has to be the oracle's own although the run is INVALID.
    """

    load: Load
    fault: EngineFault
    amount: str
    check: str = ""
    is_right: bool = False

    def __str__(self) -> str:
        loop = "open loop" if isinstance(self.load, OpenLoad) else "closed loop"
        found = f"found by {self.check}" if self.check else "noticed, and in no service time of a valid run"
        right = ", and in no service time" if self.is_right else ""
        return f"{loop}, {self.fault.kind.replace('_', ' ')} ({self.amount}): {found}{right}"


#: As in tests/integration/test_certificate_faults.py; a fault that has no case here fails the proof.
CASES = (
    Case(_CLOSED, EngineFault("late_wake_up", 150 * NS_PER_MS), "150 ms", "generator-limited", is_right=True),
    Case(_CLOSED, EngineFault("slow_parse", 30 * NS_PER_MS), "30 ms", "generator-limited", is_right=True),
    Case(_CLOSED, EngineFault("lost_record", 7), "every 7th", "accounted"),
    Case(_CLOSED, EngineFault("clock_step", 40 * NS_PER_MS), "40 ms"),
    Case(_OPEN, EngineFault("late_wake_up", 150 * NS_PER_MS), "150 ms", "generator lag", is_right=True),
    Case(_OPEN, EngineFault("slow_parse", 15 * NS_PER_MS), "15 ms", "generator lag", is_right=True),
    Case(_OPEN, EngineFault("skipped_arrival", 5), "every 5th", "schedule"),
    Case(_OPEN, EngineFault("clock_step", 40 * NS_PER_MS), "40 ms"),
)


def prove_faults(program: Path, folder: Path, runs: int) -> Iterator[Section]:
    """What has to become of each fault becomes of it, each time."""
    findings: list[Finding] = []
    for case in CASES:
        found = sum(_finds(program, folder, case, seed) for seed in range(1, runs + 1))
        findings.append(equal(str(case), found, runs))
    unmade = unmade_faults()
    findings.append(equal("faults that the driver knows and that are not made here", len(unmade), 0))
    yield Section(
        "Faults that the driver makes",
        f"`servemark-oracle {' '.join(_LAW)}`; {runs} runs each: 8 users of 15 loops, or poisson, 80/s for 1.5 s",
        findings,
        told=f"Not made here: {', '.join(sorted(unmade))}." if unmade else "",
    )


def unmade_faults() -> set[str]:
    """What the driver can be told to do wrong and is not told here."""
    return set(get_args(FaultName)) - {case.fault.kind for case in CASES}


def _finds(program: Path, folder: Path, case: Case, seed: int) -> bool:
    # A benchmark that asks for the highest rate: a generator that is slow spoils nothing else of a closed loop.
    conditions = Conditions(fault=case.fault, benchmark=ping.BENCHMARK)
    sample = measure(program, folder, _LAW, case.load, seed=seed, conditions=conditions, most_tries=1)
    if not case.check:
        return sample.clock_steps > 0 and (not sample.certificate.valid or _is_right(sample))
    checks = sample.certificate.checks
    found = any(check.passed is False and check.name.split(" (")[0] == case.check for check in checks)
    return found and (not case.is_right or _is_right(sample))


def _is_right(sample: Sample) -> bool:
    return not failed(judge_times(sample, "service", EVERY))
