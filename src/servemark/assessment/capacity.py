"""What the probes of a search say together: the capacity, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from servemark.assessment.measured import Measured
from servemark.assessment.objectives import Trial, seen_of
from servemark.assessment.trials import MOST_INVALID_SHARE, with_left_out
from servemark.benchmarks.capacity import probed_load
from servemark.certificate import combine
from servemark.options.question import CONFIGURABLE
from servemark.result import By, Capacity, CapacityProbe, Certificate, Check, Ending, RunResult
from servemark.stats.capacity import Found, Search, Sought
from servemark.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from servemark.assessment import Assessed

#: Checks that fail by what a server does that falls behind: it loses workers, what waits takes descriptors and ports.
_OF_WAITING = frozenset({"server unchanged", "local resources"})
#: What is as good as the best.
_OF_BEST = 0.95


def capacities_of(
    sought: Sought, by: By, measured: Sequence[Measured], assessed: Sequence[Assessed]
) -> tuple[Capacity, ...]:
    """What the searches found whose probes were `measured` and `assessed`, in the same order: one a configuration."""
    places: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for place, item in enumerate(measured):
        told = tuple((name, value) for name, value in item.point.values.items() if name != by)
        places.setdefault(told, []).append(place)
    return tuple(
        replace(_capacity_of(sought, by, measured, assessed, of_one), configuration=dict(told))
        for told, of_one in places.items()
    )


def recommended(found: Sequence[Capacity]) -> Capacity:
    """The configuration with the least resources that reaches within 5% of the best.

    Fewer workers are less, then smaller batches. Where none has a capacity it is one that may have, if any.
    """
    best = max(capacity.estimate.value or 0.0 for capacity in found)
    enough = [capacity for capacity in found if (capacity.estimate.value or 0.0) >= _OF_BEST * best]
    possible = [capacity for capacity in enough if capacity.ending != "impossible"]
    return min(possible or enough, key=lambda one: tuple(one.configuration.get(name, 0) for name in CONFIGURABLE))


def _capacity_of(
    sought: Sought, by: By, measured: Sequence[Measured], assessed: Sequence[Assessed], places: Sequence[int]
) -> Capacity:
    whole = [place for place in places if not measured[place].engine_run.interrupted]
    probes = tuple(_probe(place, measured[place], assessed[place].run, assessed[place].trial) for place in whole)
    search = Search(sought, probes)
    ended = search.next()
    ending: Ending = "interrupted" if len(whole) < len(places) else "budget"
    found = ended if isinstance(ended, Found) and len(whole) == len(places) else search.found(ending)
    at = max(
        (probe for probe in probes if probe.valid and not probe.falls_behind), key=lambda one: one.load, default=None
    )
    telemetry = assessed[at.run].run.telemetry if at else None
    seconds = measured[at.run].engine_run.ended_ns / NS_PER_S if at else 0.0
    return Capacity(
        by=by,
        rate_per_s=found.estimate if by == "rate" else None,
        threads=found.estimate if by == "threads" else None,
        limiting=found.limiting,
        feasible_max=found.feasible_max,
        infeasible_min=found.infeasible_min,
        ending=found.ending,
        probes=tuple(replace(probe, outcome=search.outcome_at(probe.load)) for probe in probes),
        confirmed=found.confirmed,
        server_cpus=telemetry.server_cpu_s / seconds if telemetry and telemetry.server_cpu_s and seconds else None,
        machine_busy_share=telemetry.machine_busy_share if telemetry else None,
        workers_busy_share=assessed[at.run].trial.evidence.workers_busy_share if at else None,
    )


def _probe(place: int, measured: Measured, run: RunResult, trial: Trial) -> CapacityProbe:
    step = run.steps[0] if run.steps else None
    p50_ms = step.headline_ms.p50.value if step else None
    return CapacityProbe(
        load=probed_load(measured.point.load),
        outcome="undecided",
        conditions=seen_of(measured.objective, trial),
        falls_behind=measured.falls_behind,
        valid=_is_valid(run.certificate, falls_behind=measured.falls_behind),
        response_s=None if p50_ms is None else p50_ms * NS_PER_MS / NS_PER_S,
        took_s=measured.took_s,
        run=place,
        fresh=measured.point.fresh_server,
    )


def _is_valid(certificate: Certificate, *, falls_behind: bool) -> bool:
    """Whether it counts: of a server that falls behind also where only checks fail that this makes fail."""
    failed = {check.name for check in certificate.checks if check.passed is False}
    return failed <= (_OF_WAITING if falls_behind else frozenset())


def probes_by_load(capacities: Sequence[Capacity]) -> Iterator[tuple[int, ...]]:
    """The places of the runs that count, a load of a search at a time: their requests decide together."""
    for capacity in capacities:
        counted = [probe for probe in capacity.probes if probe.valid and not probe.falls_behind]
        for load in dict.fromkeys(probe.load for probe in counted):
            yield tuple(probe.run for probe in counted if probe.load == load)


def certificate_of_search(capacities: Sequence[Capacity], runs: Sequence[RunResult]) -> Certificate | None:
    """The certificate of the probes that count; INVALID where more than a third of all probes are.

    Of a search that ended before its first probe did there is none: what was cut off is in no figure.
    """
    probes = [probe for capacity in capacities for probe in capacity.probes]
    if not probes:
        return None
    counted = [runs[probe.run] for probe in probes if probe.valid and not probe.falls_behind]
    left_out = sum(not probe.valid for probe in probes)
    shown = combine(counted or [runs[probe.run] for probe in probes])
    if not left_out:
        return shown
    share = left_out / len(probes)
    reason = f"{left_out} of {len(probes)} probes were INVALID and left out"
    check = Check("probes", share <= MOST_INVALID_SHARE, reason, measured=share, limit=MOST_INVALID_SHARE)
    return with_left_out(shown, check, [runs[probe.run] for probe in probes if not probe.valid])
