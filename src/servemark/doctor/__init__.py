"""What this machine lacks for servemark: checks, each with what was found, why it matters and what to do.

A failure means that ``./benchmark.py latency`` could not run; a warning, that something else could not, or that figures
would be worse than they need be. Nothing is installed, built or changed. Standard library only, so that it answers
where servemark itself could not be set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from servemark.doctor import machine, programs, room
from servemark.doctor.finding import Finding, Status, from_error
from servemark.errors import ServemarkError


@dataclass(frozen=True)
class Check:
    """One thing to look at: `name` for programs, `title` and `why` for people."""

    name: str
    title: str
    why: str
    examine: Callable[[], Finding]


@dataclass(frozen=True)
class Diagnosis:
    """What a check found."""

    check: Check
    finding: Finding


CHECKS: tuple[Check, ...] = (
    Check("python", "Python", "servemark runs on it", programs.python),
    Check("server_python", "server's Python", "the server's environment is made with it", programs.server_python),
    Check("c_compiler", "C compiler", "the load generator is built with it", programs.c_compiler),
    Check("rust", "Rust", "the load generator is built with it", programs.rust),
    Check("cache", "cache", "the server, its Java and the models are kept there", room.cache),
    Check("temporary_folder", "temporary folder", "builds write there", room.temporary_folder),
    Check("ports", "ports", "server and load generator meet on the loopback address", room.ports),
    Check("file_descriptors", "file descriptors", "each connection takes one on either side", room.file_descriptors),
    Check("memory", "memory", "the server's Java and each of its workers hold a part of it", room.memory),
    Check("java", "Java", "--engine jmeter runs on it; the server brings its own", programs.java),
    Check("jmeter", "JMeter", "--engine jmeter", programs.jmeter),
    Check("docker", "Docker", "servers in containers", programs.docker),
    Check("gpu", "GPU", "models on GPUs", programs.gpu),
    Check("cpu_governor", "CPU governor", "a clock that follows the load makes latency depend on it", machine.governor),
    Check("cpu_steal", "CPU steal", "time that the hypervisor takes is latency that nobody caused", machine.steal),
    Check("cpu_quota", "CPU quota", "server and load generator stand still once it is used up", machine.quota),
    Check(
        "realtime", "real-time priority", "other programs cannot delay a load generator that has it", machine.realtime
    ),
    Check("clock", "clock", "it is read several times a request", machine.clock),
)


def diagnose(checks: Iterable[Check] = CHECKS) -> tuple[Diagnosis, ...]:
    """Run `checks`, in their order. Takes a few seconds: one of them watches the CPUs for one."""
    return tuple(Diagnosis(check, _examined(check)) for check in checks)


def _examined(check: Check) -> Finding:
    """What the check finds; where it fails itself, that: the others say what they find all the same."""
    try:
        return check.examine()
    except ServemarkError as error:
        return from_error("warning", error)
    except Exception as error:
        found = f"this could not be looked at: {type(error).__name__}: {error}"
        return Finding("warning", found, "report it, with what servemark doctor --json says")


def main_job_can_run(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether ``./benchmark.py latency`` could run: no check failed."""
    return all(diagnosis.finding.status != "failure" for diagnosis in diagnoses)


__all__ = ["CHECKS", "Check", "Diagnosis", "Finding", "Status", "diagnose", "main_job_can_run"]
