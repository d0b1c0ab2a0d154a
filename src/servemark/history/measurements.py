"""What the history keeps of a result: of each benchmark and point the headline figures, and what they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from servemark.result import (
    IMPORTED,
    KERNEL_CLOCK,
    BenchmarkResult,
    Capacity,
    ClosedLoadResult,
    Result,
    RunResult,
    Statistic,
    StepSummary,
    fingerprint,
    mapping_in,
    served_by,
)
from servemark.units import four_digits
from servemark.workload.rates import with_unit

#: The statistics that are kept, and so have a trend.
STATISTICS = ("rate", "p50", "p99")
#: Settings of a model that are told where they are more than this.
_SETTINGS = {"workers": 0, "batch_size": 1}
_SHA256_SHOWN = 8
#: How the point of a search begins.
CAPACITY = "capacity"
#: Between the words of a setup.
_BETWEEN = "; "


@dataclass(frozen=True)
class Measurement:
    """The headline of a benchmark, or of one of its points.

    Figures with the same benchmark, model, point, setup and machine can be held against each other: they are a series.

    Attributes:
        entry: which of the result's benchmarks it is, from 0.
        model: what was measured: names of models, or the URL of an endpoint; empty where there is neither.
        point: what tells it from the benchmark's other points; empty of the one that gives the headline.
        setup: how it was measured, in words: the load, and what else of the request changes the figures.
        machine: that of the generator, in words.
        fingerprint: the environment, and the server; what of it may change within a series, and is told where the
            figures change; of a search by threads its answer, too.
        valid: whether its certificate is; `partial` says that the benchmark did not come to its end.
        rate: successes a second, of a search by rate the capacity with its interval of 90%, of one by threads what the
            threads that it found achieved, nothing where it found none; `p50` and `p99` are of the headline's latency,
            in milliseconds, and those of a search nothing.
    """

    entry: int
    benchmark: str
    model: str
    point: str
    setup: str
    machine: str
    fingerprint: Mapping[str, str | None]
    valid: bool
    partial: bool
    rate: Statistic
    p50: Statistic
    p99: Statistic

    @property
    def is_imported(self) -> bool:
        """Whether it was read from another tool's file: nothing vouches for it."""
        return IMPORTED in self.setup.split(_BETWEEN)

    @property
    def is_capacity(self) -> bool:
        """Whether it is what a search found."""
        return self.point.startswith(CAPACITY)

    @property
    def interval_percent(self) -> int:
        """The confidence of its intervals."""
        return 90 if self.point.startswith(f"{CAPACITY} by rate") else 95


def measurements(result: Result) -> tuple[Measurement, ...]:
    """What is kept of a result, in the order of its benchmarks and points; nothing of what was not measured."""
    return tuple(
        _measurement(result, entry, benchmark, run, step)
        for entry, benchmark in enumerate(result.benchmarks)
        for run, step in _headlines(benchmark)
    )


def _headlines(benchmark: BenchmarkResult) -> Iterator[tuple[RunResult, StepSummary]]:
    """The run and the step that answer for the benchmark, or of several points for each.

    Of a search it is what holds, or else what was tried last.
    """
    found = benchmark.capacity
    if found is not None:
        probes = [probe.run for probe in found.probes]
        holds = [probe.run for probe in found.probes if probe.valid and probe.load == found.feasible_max]
        of_last = [benchmark.runs[run] for run in (holds or probes)[-1:]]
        yield from ((run, run.steps[0]) for run in of_last if run.steps)
        return
    runs = list(benchmark.answering.values())
    if benchmark.steps and runs:
        yield next((run for run in runs if not run.point), runs[0]), benchmark.steps[0]
        return
    yield from ((run, run.steps[0]) for run in runs if run.steps)


def _measurement(
    result: Result, entry: int, benchmark: BenchmarkResult, run: RunResult, step: StepSummary
) -> Measurement:
    environment = fingerprint(result, benchmark)
    found = benchmark.capacity
    certificate = benchmark.certificate if not run.point or found else run.certificate
    nothing = Statistic(None, None)
    has_rate = step.measured and (found is None or found.feasible_max is not None)
    rate = step.throughput_per_s if has_rate else nothing
    if found is not None and found.rate_per_s is not None:
        rate = Statistic(found.rate_per_s.value, found.rate_per_s.ci90)
    return Measurement(
        entry=entry,
        benchmark=benchmark.name,
        model=benchmark.model or benchmark.options.url or "",
        point=run.place if found is None else f"{CAPACITY} by {found.by}, {_conditions(found)}",
        setup=_BETWEEN.join([*_setup(result, benchmark, run), *_in_turns(result, entry)]),
        machine=", ".join(filter(None, (environment.machine, environment.cpu_model))),
        fingerprint={**dataclasses.asdict(environment), **served_by(result, benchmark), **_answer(found)},
        valid=certificate is not None and certificate.valid,
        partial=benchmark.partial,
        rate=rate,
        # A search has no load of its own at which latencies could be held against each other.
        p50=nothing if found else step.headline_ms.p50,
        p99=nothing if found else step.headline_ms.p99,
    )


def _answer(found: Capacity | None) -> dict[str, str | None]:
    """What a search by threads found, whose rate is another figure; nothing of any other."""
    if found is None or found.by != "threads":
        return {}
    return {CAPACITY: None if found.estimate.value is None else f"{four_digits(found.estimate.value)} threads"}


def _conditions(found: Capacity) -> str:
    return " and ".join(dict.fromkeys(text for probe in found.probes for text in probe.conditions))


def _in_turns(result: Result, entry: int) -> Iterator[str]:
    """Say which of two measured in turns it is: a series has one value of a result, and none of what ran alone."""
    if result.comparison is not None and any(one.by_block for one in result.comparison.benchmarks):
        yield f"in turns as {'AB'[entry]}"


def _setup(result: Result, benchmark: BenchmarkResult, run: RunResult) -> Iterator[str]:
    asked, load = benchmark.options, run.load
    server = benchmark.server or result.server or {}
    if benchmark.capacity is not None:
        yield from [str(asked.arrival)] if asked.arrival and not isinstance(load, ClosedLoadResult) else []
    elif not isinstance(load, ClosedLoadResult):
        yield f"{with_unit(asked.rate)} {asked.arrival}" if asked.rate else str(asked.arrival or "open loop")
    elif "threads" not in run.point:
        yield f"{load.users} thread" if load.users == 1 else f"{load.users} threads"
    if isinstance(load, ClosedLoadResult) and load.think_s:
        yield f"thinking {load.think_s:g} s"
    if benchmark.backend:
        yield benchmark.backend
    read_back = mapping_in(run.server, "read_back")
    for name, usual in _SETTINGS.items():
        value = read_back.get(name)
        if isinstance(value, int) and value > usual and name not in run.point:
            yield f"{value} worker" if (name, value) == ("workers", 1) else f"{value} {name}"
    checksum = (asked.input_sha256 or "")[:_SHA256_SHOWN]
    made = mapping_in(run.server, "requested").get("tensors")
    if asked.inputs:
        yield f"inputs {checksum}"
    elif made:  # of random ones no two seeds have the same bytes
        told = f" {checksum}" if str(made).startswith("given") else ""
        yield f"{made}{told} as {mapping_in(run.server, 'requested').get('written_as')}"
    if not run.point:
        yield from (f"{name} {value}" for name, value in asked.parameters.items() if value not in ((), [], None, ""))
    if server.get("target"):
        yield f"at {server['target']}"
    if benchmark.certificate and benchmark.certificate.is_imported:
        yield IMPORTED
    elif result.tool.engine != "native":
        yield str(result.tool.engine)
    elif load.receive_clock != KERNEL_CLOCK:
        yield "times of reading"
