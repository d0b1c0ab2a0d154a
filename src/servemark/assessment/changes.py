"""What the user can change in a command: tried against what was planned, the engine that sent it, and the machine."""

from __future__ import annotations

from servemark.assessment.measured import Measured
from servemark.certificate.conditions import Changes
from servemark.workload.load import OpenLoad

#: So few users are no load that could be lowered: half of them would be another question.
_FEW_USERS = 2


def changes_of(measured: Measured) -> Changes:
    """What can be asked for otherwise; of what the benchmark, the engine or this machine refuses, nothing."""
    is_native = measured.engine == "native"
    return Changes(
        lower_load=_lower_load(measured),
        more_threads=_more_threads(measured) if is_native else "",
        realtime=_realtime(measured) if is_native else "",
        keep_awake="keep the CPUs awake (--keep-awake on)" if is_native and measured.lets_cpus_sleep else "",
    )


def _lower_load(measured: Measured) -> str:
    load, parameters = measured.point.load, measured.asked.parameters
    if measured.point.is_probe:
        return ""  # the search chooses it
    if isinstance(load, OpenLoad):
        arrivals = load.arrivals
        if arrivals.process != "trace":
            return "lower --rate"
        mean = f", now {len(arrivals.times_ns) / arrivals.length_s:.4g}" if arrivals.length_s else ""
        return f"scale the trace to a lower mean (--rate{mean})"
    several = parameters.get("threads")  # the numbers of users, where these are what is compared
    if isinstance(several, tuple):
        return f"leave {load.users} out of --options threads" if load.users > min(several) else ""
    for name in ("count", "background_threads"):
        number = parameters.get(name)
        if isinstance(number, int):
            return f"lower --options {name} (now {number})" if number > _FEW_USERS else ""
    if load.users <= _FEW_USERS or "threads" in measured.benchmark.refuses:
        return ""
    return f"lower --threads (now {load.users})"


def _more_threads(measured: Measured) -> str:
    threads = measured.compiled.threads
    usable = measured.machine.usable_cpus or measured.machine.cpus
    return f"raise --generator-threads (now {threads})" if threads < usable else ""


def _realtime(measured: Measured) -> str:
    state, fix = measured.engine_run.realtime, measured.machine.realtime_fix
    if fix is None or (state and not state.startswith("refused")):
        return ""  # not known, or it had it
    if fix:
        ask = "" if state else ", and ask for it (--realtime on)"
        return f"allow real-time priority ({fix}){ask}"
    return "" if state else "give it real-time priority (--realtime on)"
