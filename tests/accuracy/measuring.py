"""Runs of the load generator against the oracle: what was reported, recorded, and received, of the same requests."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from hogs import Hogs, hogging
from laws import Times
from numpy.typing import NDArray
from oracle import serving

from servemark import _loadgen
from servemark.assessment import Measured, assess_run, measured_window
from servemark.benchmarks import Benchmark, Point, http
from servemark.engines import Job, Sharing, Watch
from servemark.engines.native.engine import NativeEngine
from servemark.records import open_records, rows_of, write_records
from servemark.result import AskedOptions, Certificate, StepSummary
from servemark.servers import ModelSettings, ServerSettings
from servemark.servers.http.dialect import DIALECT
from servemark.stats.evidence import Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import bounded, summarise
from servemark.units import NS_PER_MS
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import EngineArrivals, EngineFault, EnginePlan, Switch
from servemark.workload.load import Arrivals, Load, OpenLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, Request, Scenario, Step

#: How often a run is tried that does not count: by its certificate, or by what the oracle says of itself.
MOST_TRIES = 5
#: Of a schedule that ends by itself.
MOST_REQUESTS = 1_000_000


@dataclass(frozen=True)
class Conditions:
    """Under which a load is sent.

    Attributes:
        hogs: who computes beside it.
        keep_awake: whether the CPUs are kept from halting, the oracle's too.
        realtime: whether the generator asks for real-time priority.
        fault: what the generator is to do wrong.
        benchmark: what is asked, which decides how a generator that is slow is judged.
        generators: how many processes share the load.
        ray_address: of the Ray cluster on whose nodes they are; None has them on this machine, without Ray.
        watch: looks at the progress, as that of a job does.
    """

    hogs: Hogs | None = None
    keep_awake: bool = True
    realtime: Switch = "auto"
    fault: EngineFault | None = None
    benchmark: Benchmark = http.BENCHMARK
    generators: int = 1
    ray_address: str | None = None
    watch: Watch = lambda _progress, _words: None


QUIET = Conditions()


@dataclass(frozen=True)
class Sample:
    """One run. Rows of both sides are in the order of `seq`.

    Attributes:
        rows: the generator's records, times from its origin.
        log: the oracle's rows (``oracle.ROW``), times of CLOCK_MONOTONIC.
        origin_ns: the generator's origin on CLOCK_MONOTONIC.
        window: the measured time, from the origin.
        scheduled: how many requests the generator says it scheduled.
        plan: what it was given.
        certificate: what servemark says of the run.
        report: what the oracle says of itself.
        realtime: what became of the generator's real-time priority.
        clock_steps: how often the generator noticed that the time was set.
        tries: how many runs it took until one counted.
    """

    rows: Any
    log: Any
    origin_ns: int
    window: Window
    scheduled: int
    plan: EnginePlan
    certificate: Certificate
    report: Any
    realtime: str
    clock_steps: int = 0
    tries: int = 1

    @property
    def faults(self) -> dict[str, str]:
        """Why it is INVALID: reasons by the name of the check."""
        return {check.name: check.reason for check in self.certificate.checks if check.passed is False}

    @cached_property
    def schedule(self) -> Times:
        """When each row was due, from the origin: in an open loop by the pure function, whatever was recorded."""
        arrivals = self.plan.groups[0].arrivals
        if arrivals is None:
            recorded: Times = self.rows["scheduled"]
            return recorded
        times = pure_schedule(arrivals, self.plan.seed, int(self.rows["user"].max()) + 1)
        due: Times = times[self.rows["user"]]
        return due

    @property
    def planned(self) -> int:
        """How many requests the pure function has in the time, or number, that was asked for.

        In a closed loop whose end is a time it is the responses that decide: then as many as the generator says.
        """
        group = self.plan.groups[0]
        if group.arrivals is None:
            return group.loops * group.users or self.scheduled
        if group.arrivals.count or not group.duration_ns:
            return len(pure_schedule(group.arrivals, self.plan.seed, group.arrivals.count or MOST_REQUESTS))
        times = pure_schedule(group.arrivals, self.plan.seed, len(self.rows) + 1000)
        return int((times < group.duration_ns).sum())

    def is_judged_on_time(self, most_late_ms: float) -> bool:
        """Whether the oracle's own p99 of lateness is at most that; else it was kept from running, and no judge."""
        return bool(self.report["late_p99_ns"] <= most_late_ms * NS_PER_MS)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Which rows the statistics are of."""
        return (self.schedule >= self.window.start_ns) & (self.schedule < self.window.end_ns)


def pure_schedule(arrivals: EngineArrivals, seed: int, count: int) -> Times:
    """The engine's own pure function: when the first `count` arrivals are due, or fewer."""
    return np.frombuffer(_loadgen.schedule(arrivals, seed, 0, count), dtype="<i8")


def _job(port: int, load: Load, *, seed: int, threads: int, record_path: Path, conditions: Conditions = QUIET) -> Job:
    """What the engine is asked for: requests that tell the oracle their numbers."""
    request = Request("GET", f"/{USER_MARK}/{SEQ_MARK}", numbered=True)
    plan = Plan((Group(Scenario((Step("request", (request,)),)), load),))
    addresses: dict[ApiName, Address] = {"inference": Address("127.0.0.1", "127.0.0.1", port)}
    compiled = compile_plan(
        plan,
        addresses,
        timeout_s=30,
        connect_timeout_s=10,
        seed=seed,
        threads=threads,
        realtime=conditions.realtime,
        keep_awake="on" if conditions.keep_awake else "off",
    )
    compiled = replace(compiled, fault=conditions.fault)
    return Job(
        plan=plan,
        compiled=compiled,
        addresses=addresses,
        record_path=record_path,
        folder=record_path.parent,
        server_pid=None,
        server_cpu_s=lambda: None,
        watch=conditions.watch,
        spread=Sharing(conditions.generators, "ray" if conditions.ray_address else "processes", conditions.ray_address),
    )


def compiled_arrivals(arrivals: Arrivals) -> EngineArrivals:
    """What arrivals compile to: so the engine's own pure function takes them."""
    job = _job(1, OpenLoad(arrivals, duration_s=3600.0), seed=0, threads=1, record_path=Path())
    compiled = job.compiled.groups[0].arrivals
    assert compiled
    return compiled


def measure(
    program: Path,
    folder: Path,
    law: Sequence[str],
    load: Load,
    *,
    seed: int,
    threads: int = 1,
    conditions: Conditions = QUIET,
    most_tries: int = MOST_TRIES,
    most_late_ms: float = math.inf,
) -> Sample:
    """One valid run of `load` against an oracle of `law`; after `most_tries` the last one, whatever it is.

    It is done again, too, when the oracle's own p99 of lateness was above `most_late_ms`, or when the time was set
    meanwhile, so that its arrivals are in doubt.
    """
    for tries in range(1, most_tries + 1):
        sample = _measure_once(program, folder, law, load, seed, threads, conditions)
        faults = list(sample.faults.values())
        if not sample.is_judged_on_time(most_late_ms):
            faults.append(f"the oracle itself was late, p99 {sample.report['late_p99_ns'] / NS_PER_MS:.3f} ms")
        if sample.report["clock_steps"]:
            faults.append("the time was set while it ran")
        if not faults:
            break
        if most_tries > 1:
            print(f"try {tries} of {most_tries} does not count: {'; '.join(faults)}")
    return replace(sample, tries=tries)


def spoiled(sample: Sample, spoil: Callable[[Any], object]) -> Sample:
    """The sample with records that `spoil` has changed: what a generator that is wrong would have recorded."""
    rows = sample.rows.copy()
    spoil(rows)
    return replace(sample, rows=rows)


def _measure_once(
    program: Path, folder: Path, law: Sequence[str], load: Load, seed: int, threads: int, conditions: Conditions
) -> Sample:
    number = len(list(folder.iterdir()))
    record_path = folder / f"records-{number}.bin"
    with serving(program, folder / f"oracle-{number}.log", *law) as oracle, hogging(conditions.hogs):
        job = _job(oracle.port, load, seed=seed, threads=threads, record_path=record_path, conditions=conditions)
        with closing(NativeEngine()) as engine:
            engine_run = engine.execute(job)
    records = tuple(open_records(generator.records) for generator in engine_run.generators)
    measured = Measured(
        benchmark=conditions.benchmark,
        point=Point(ServerSettings(), ModelSettings(workers=None), load, lambda *_: job.plan),
        plan=job.plan,
        compiled=job.compiled,
        records=records,
        engine_run=engine_run,
        dialect=DIALECT,
        served=(),
        settings_after={},
        memory_bytes=(None, None),
        removal=None,
        failure=None,
        asked=AskedOptions(),
        engine="native",
    )
    return Sample(
        rows=np.sort(np.array(rows_of(records)), order="seq"),
        log=np.sort(oracle.log, order="seq"),
        origin_ns=records[0].started_unix_ns - _unix_minus_monotonic_ns(),
        window=measured_window(measured),
        scheduled=engine_run.scheduled,
        plan=job.compiled,
        certificate=assess_run(measured, max_errors_share=0.0).run.certificate,
        report=oracle.report,
        realtime=engine_run.realtime,
        clock_steps=engine_run.counts.clock_steps if engine_run.counts else 0,
    )


def _unix_minus_monotonic_ns() -> int:
    """How far the two clocks are apart. Both are slewed together; only setting the time moves one alone."""
    readings = []
    for _ in range(100):
        before_ns, unix_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after_ns - before_ns, unix_ns - (before_ns + after_ns) // 2))
    return min(readings)[1]


def reported(samples: Sequence[Sample]) -> StepSummary:
    """What servemark reports of runs together, by its own code: their records are pooled, never their percentiles.

    With the intervals by which it judges how far a figure may be moved.
    """
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        tables = (sample.rows for sample in samples)
        write_records(Path(file.name), tables, steps=["request"], started_unix_ns=0, warmup_ns=0)
        evidence = gather([open_records(file.name)], Question(window=samples[0].window))
    return bounded(summarise(evidence)[0], evidence.steps[0])
