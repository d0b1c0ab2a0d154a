"""A benchmark as a search for the most load that meets an objective: its point at one load after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from servemark.benchmarks import Benchmark, Point, Points
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.load import DEFAULT_WARMUP_S
from servemark.workload.load import Load, OpenLoad

if TYPE_CHECKING:
    from servemark.stats.capacity import Sought

#: Where a search begins that is not told: a request a second, or one user.
_START = 1.0
#: How near what holds and what fails are to be where --precision does not say it.
_PRECISION_SHARE = 0.05
_PROBE_S = 15.0
#: The first digits of a rate that make no difference.
_DIGITS = 6


def searched_points(benchmark: Benchmark, request: RunRequest) -> Points:
    """Probes of the benchmark's one point, each chosen by what those before it showed.

    Raises:
        UsageError: it has other points than one, or there is no time for any probe.
    """
    by = request.question.by
    assert by is not None
    _check_budget(request)
    number = 1
    for configuration in configurations(request):
        load, seconds, fresh = start_of(request), _probe_s(request) / 2, False
        while True:
            point = _configured(_at(benchmark, request, load, seconds), configuration)
            values = {**configuration, by: int(load) if load == int(load) else load}
            known = yield replace(point, trial=number, values=values, fresh_server=fresh)
            number += 1
            if known is None:
                break
            if known.failure is not None:  # an objective of something that the answers do not have
                return
            from servemark.stats.capacity import Probe, Search  # computes, when there is something to compute

            (*_, capacity) = known.capacities
            step = Search(sought_of(request), capacity.probes).next()
            if not isinstance(step, Probe):
                break
            load, seconds, fresh = step.load, step.seconds, step.fresh


def _check_budget(request: RunRequest) -> None:
    """Refuse a search whose first probe, a warm-up and half the time of others, would send for longer than it may."""
    budget_s, least_s = request.question.search_budget_s, _around_s(request) + _probe_s(request) / 2
    if budget_s < least_s:
        raise UsageError(
            f"--search-budget {budget_s:g} is less than the {least_s:g} s of the first probe",
            cause="it measures for half of --duration, after its --warmup",
            next_step="give more, or a shorter --duration",
        )


def _probe_s(request: RunRequest) -> float:
    return request.load.duration_s or _PROBE_S


def _around_s(request: RunRequest) -> float:
    return DEFAULT_WARMUP_S if request.load.warmup_s is None else request.load.warmup_s


def configurations(request: RunRequest) -> Iterator[dict[str, int]]:
    """What each search is of; one of nothing in particular where there is one search."""
    over = request.question.over or ()
    for values in itertools.product(*(numbers for _, numbers in over)):
        yield dict(zip((key for key, _ in over), values, strict=True))


def _configured(point: Point, configuration: Mapping[str, int]) -> Point:
    fields = {"max_batch_delay": "max_batch_delay_ms"}
    changes: dict[str, Any] = {fields.get(key, key): value for key, value in configuration.items()}
    return replace(point, model=replace(point.model, **changes))


def probed_load(load: Load) -> float:
    """A load as a search counts it: requests a second, or users."""
    return load.arrivals.profile[0].from_per_s if isinstance(load, OpenLoad) else float(load.users)


def start_of(request: RunRequest) -> float:
    """The load that a search begins with."""
    if request.question.by == "threads":
        return float(request.load.threads or _START)
    arrivals = request.load.arrivals if request.load.rate is not None else None
    return arrivals.profile[0].from_per_s if arrivals else _START


def sought_of(request: RunRequest) -> Sought:
    """What is searched, as the search has it."""
    from servemark.stats.capacity import Sought

    load = request.load
    return Sought(
        {one.text: one.least_share for one in request.question.objective},
        start=start_of(request),
        whole=request.question.by == "threads",
        precision_share=load.precision_share or _PRECISION_SHARE,
        budget_s=request.question.search_budget_s,
        probe_s=_probe_s(request),
        around_s=_around_s(request),
        confirms=request.server.server is None and request.content.url is None,
    )


def _at(benchmark: Benchmark, request: RunRequest, load: float, seconds: float) -> Point:
    options = replace(request.load, duration_s=seconds, precision_share=None)
    if request.question.by == "threads":
        options = replace(options, threads=int(load))
    else:
        rate = f"{load:.{_DIGITS}g}"
        options = replace(options, rate=rate, arrival=request.load.arrival or "poisson")
    points = benchmark.points(replace(request, load=options))
    found = [next(points)]
    found += points  # the rest, of which there should be none
    if len(found) > 1 or found[0].values:
        raise UsageError(
            f"{benchmark.name} has several points, and a search needs one",
            next_step="choose from latency, throughput, ping and http",
        )
    return replace(found[0], is_probe=True, may_fall_behind=request.question.by == "rate")
