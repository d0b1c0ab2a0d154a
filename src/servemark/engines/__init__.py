"""Engines: what sends a plan's requests and records what happened.

`native` is the Rust load generator, `jmeter` a real Apache JMeter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from servemark.certificate.pauses import NO_PAUSES, Pauses
from servemark.result import ErrorExample
from servemark.workload.address import Address
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.plan import Plan
from servemark.workload.scenario import ApiName

if TYPE_CHECKING:  # help and usage errors do without it
    from servemark.certificate.conditions import MachineUse
    from servemark.condensed_files import Condensing

EngineName = Literal["native", "jmeter"]
ENGINES: tuple[EngineName, ...] = ("native", "jmeter")
#: Where several generators run: processes of this machine, or actors on a Ray cluster.
Where = Literal["processes", "ray"]
WHERE: tuple[Where, ...] = ("processes", "ray")


class ProgressReport(Protocol):
    """Counts of a run so far; `measured_succeeded` of the headline's steps alone, after the warm-up."""

    @property
    def elapsed_ns(self) -> int:
        """Since the run's origin."""
        ...

    @property
    def scheduled(self) -> int:
        """Requests that became due."""
        ...

    @property
    def succeeded(self) -> int:
        """Records of successes."""
        ...

    @property
    def failed(self) -> int:
        """Records of failures."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests without a record yet."""
        ...

    @property
    def measured_succeeded(self) -> int:
        """See above."""
        ...


#: Looks at a run's progress, at most 10 times a second, and at how far its figures are, in words; an answer other than
#: None ends the run, and is its reason.
Watch = Callable[[ProgressReport, str], str | None]
#: The figure of a benchmark that is to be exact, where the length of a run adapts.
Figure = Literal["p50", "rate"]


@dataclass(frozen=True)
class GeneratorCounts:
    """What a generator counted of its own work, apart from its records.

    Attributes:
        sent: requests that it began to write.
        in_flight_ns: requests under way, from the first byte written to their end, summed from the end of the warm-up
            to the end of scheduling.
        receive_lag_ns: for how long responses that were ready waited for their thread while it did others' work,
            together; at least: those that came while a thread was busy wait unseen until it looks again.
        run_queue_delay_ns: for how long its threads could have run and did not.
        run_queue_waits: how often they began to run; 0 where the system does not count either.
        loopback_p50_ns: its p50 against a responder of its own, measured before; None when that could not be done.
        clock_steps: how often the wall clock, by which the kernel stamps arrivals, was set meanwhile.
        pauses: when its threads did not come back to their work although they had to.
    """

    sent: int
    in_flight_ns: int
    receive_lag_ns: int
    run_queue_delay_ns: int
    run_queue_waits: int
    loopback_p50_ns: int | None
    clock_steps: int = 0
    pauses: Pauses = NO_PAUSES

    @classmethod
    def of_all(cls, counts: Sequence[GeneratorCounts]) -> GeneratorCounts:
        """What several generators counted, together: sums, and the worst of what each has for itself."""
        loopbacks = [one.loopback_p50_ns for one in counts if one.loopback_p50_ns is not None]
        return cls(
            sent=sum(one.sent for one in counts),
            in_flight_ns=sum(one.in_flight_ns for one in counts),
            receive_lag_ns=sum(one.receive_lag_ns for one in counts),
            run_queue_delay_ns=sum(one.run_queue_delay_ns for one in counts),
            run_queue_waits=sum(one.run_queue_waits for one in counts),
            loopback_p50_ns=max(loopbacks, default=None),
            clock_steps=max(one.clock_steps for one in counts),
            pauses=Pauses.of_all(one.pauses for one in counts),
        )


@dataclass(frozen=True)
class ClockAgreement:
    """How well it is known what a generator's clock says, of one that has another clock than its driver.

    Attributes:
        bound_ns: how far the instant that it was told to begin at may be from the driver's: half the least round trip
            of the exchanges before the run.
        after_bound_ns: the same of the exchanges after the run.
        drift_ns: how far apart the two clocks went, from the exchanges before the run to those after it, by what these
            tell: both bounds together may be off it. None where the clock could not be read any more.
    """

    bound_ns: int
    after_bound_ns: int = 0
    drift_ns: int | None = 0

    @property
    def apart_ns(self) -> int:
        """How far, at any time of the run, the generator may have been from where it was to be.

        It began no further from it than the exchanges before can be off, and ended no further than those after say that
        its clock was then from what it was thought to say. Where these are not there it is known of the start alone.
        """
        return self.bound_ns if self.drift_ns is None else max(self.bound_ns, abs(self.drift_ns) + self.after_bound_ns)


@dataclass(frozen=True, kw_only=True)
class GeneratorRun:
    """What one generator says of its share of a run, and under which circumstances it sent it.

    Attributes:
        records: where the records of its share are.
        scheduled: requests that were scheduled; as many records should be in the file.
        cpu_s: CPU time of its threads.
        machine: what its machine did meanwhile.
        counts: what it counted of its own work, if it does.
        realtime: what became of real-time priority: "rr 1", "dropped after 3.2 s", "refused: ..."; empty if not asked.
        receive_clock: whose time of arrival responses have: "kernel", "user", or why the kernel's could not be had;
            empty of an engine that has its own.
        keep_awake: what became of keeping CPUs awake: "2 CPUs", "not needed", "refused: ..."; empty if not asked.
        reduced_connections: to how many a lack of file descriptors reduced an open loop's connections; 0: it did not.
        host: the name of its machine; empty of one that is this process.
        boot: which start of which machine that is: those with the same share its CPUs.
        clock: of one that has another clock than its driver.
        lost: why it did not come to its end, in words; empty of one that did.
        stopped_late_ns: how much longer than the run it scheduled requests, since it heard late that it was to stop.
    """

    records: Path
    scheduled: int
    cpu_s: float
    machine: MachineUse
    counts: GeneratorCounts | None = None
    realtime: str = ""
    receive_clock: str = ""
    keep_awake: str = ""
    reduced_connections: int = 0
    host: str = ""
    boot: str = ""
    clock: ClockAgreement | None = None
    lost: str = ""
    stopped_late_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """What an engine says of a run that it has finished: of its generators, in the order of their shares, and in all.

    Of several generators together the circumstances are those of the one that had the worst, and the machine is the
    busiest.

    Attributes:
        generators: at least one.
        scheduling_ended_ns: when scheduling ended: the duration, an earlier stop, or the last end; of generators that
            did not stop at one time the first of these, up to which all were at work.
        ended_ns: when the last request had ended.
        interrupted: it was cut short, by Ctrl-C or by `stop_reason`.
        stop_reason: what the watch answered to end it, or why the engine ended by itself; else None.
        examples: the first failures of each step, by the step's number.
        event_gaps: the times between the events of streamed responses, by the step's number: of each generator that has
            some an HDR histogram of nanoseconds, as V2-deflate bytes.
        content_gaps: the same of events with content, where answers were read for their tokens.
    """

    generators: tuple[GeneratorRun, ...]
    scheduling_ended_ns: int
    ended_ns: int
    interrupted: bool
    stop_reason: str | None
    examples: dict[int, tuple[ErrorExample, ...]]
    event_gaps: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)
    content_gaps: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def scheduled(self) -> int:
        """Requests that were scheduled, by all generators."""
        return sum(one.scheduled for one in self.generators)

    @property
    def generator_cpu_s(self) -> float:
        """CPU time of all generators."""
        return sum(one.cpu_s for one in self.generators)

    @property
    def counts(self) -> GeneratorCounts | None:
        """What the generators counted, together; None where one does not count."""
        counts = [one.counts for one in self.generators if one.counts is not None]
        return GeneratorCounts.of_all(counts) if len(counts) == len(self.generators) else None

    @property
    def busiest(self) -> GeneratorRun:
        """One of those on the busiest of their machines."""
        return max(self.generators, key=lambda one: (one.machine.busy_cpu_s or 0.0) / one.machine.capacity_s)

    @property
    def machine(self) -> MachineUse:
        """What the busiest of their machines did meanwhile."""
        return self.busiest.machine

    @property
    def busiest_cpu_s(self) -> float:
        """CPU time of the generators there."""
        boot = self.busiest.boot
        return sum(one.cpu_s for one in self.generators if one.boot == boot)

    @property
    def realtime(self) -> str:
        """What became of real-time priority."""
        return _different(one.realtime for one in self.generators)

    @property
    def receive_clock(self) -> str:
        """Whose time of arrival responses have."""
        return _different(one.receive_clock for one in self.generators)

    @property
    def keep_awake(self) -> str:
        """What became of keeping CPUs awake."""
        return _different(one.keep_awake for one in self.generators)

    @property
    def reduced_connections(self) -> int:
        """To how many connections a lack of descriptors reduced them all; 0 where no generator lacked any."""
        return sum(one.reduced_connections for one in self.generators)


def _different(words: Iterable[str]) -> str:
    """What was told, each thing once."""
    return "; ".join(dict.fromkeys(filter(None, words)))


@dataclass(frozen=True)
class Sharing:
    """Over how many generators a plan is spread, and where these run.

    Attributes:
        ray_address: of the Ray cluster, ``HOST:PORT``; None is that of RAY_ADDRESS, else one of this machine alone.
        pack: several may be on one node of it.
        ship: its nodes get a copy of this servemark.
        cpus_each: what of a node's CPUs each takes up.
    """

    generators: int = 1
    on: Where = "processes"
    ray_address: str | None = None
    pack: bool = False
    ship: bool = False
    cpus_each: int = 1

    @property
    def has_crew(self) -> bool:
        """Whether anybody but this process sends."""
        return self.generators > 1 or self.on == "ray"


@dataclass(frozen=True)
class Job:
    """One run that an engine is asked for.

    Attributes:
        plan: as the benchmark declares it.
        compiled: the same, compiled for the server; it has the seed and the time limits.
        addresses: of the server.
        record_path: where the records go.
        folder: for files of the engine's own; need not exist.
        server_pid: process that leads the server, where it is on this machine and known.
        server_cpu_s: tells the CPU time that the server has used so far, where that can be known.
        watch: looks at the progress, and may end the run.
        figure: what is to be exact where the length of the run adapts.
        enough: looks at the progress, and says whether nothing more has to be sent; only the native engine asks.
        spread: over which generators; only the native engine has more than one.
        most_records: so many may be kept of several generators together; beyond it all are condensed.
        condensing: how; None where they are kept however many they are.
    """

    plan: Plan
    compiled: EnginePlan
    addresses: Mapping[ApiName, Address]
    record_path: Path
    folder: Path
    server_pid: int | None
    server_cpu_s: Callable[[], float | None]
    watch: Watch = lambda _progress, _words: None
    figure: Figure = "p50"
    enough: Callable[[ProgressReport], bool] = lambda _progress: False
    spread: Sharing = Sharing()
    most_records: int = 0
    condensing: Condensing | None = None

    @property
    def record_paths(self) -> tuple[Path, ...]:
        """The files of each generator's records: ``NAME.bin``, ``NAME.g2.bin`` and so on."""
        more = range(2, self.spread.generators + 1)
        return (self.record_path, *(self.record_path.with_suffix(f".g{number}.bin") for number in more))


class Engine(Protocol):
    """One way of sending a plan.

    For the result, `environ` says what a program that does it inherited of our environment (see
    ``environments.variables``); None of an engine that is no program of its own.
    """

    name: EngineName
    environ: Mapping[str, object] | None

    @property
    def versions(self) -> Mapping[str, str]:
        """What sends, for the result: of each part its version, or what tells its build."""
        ...

    def execute(self, job: Job) -> EngineRun:
        """Send everything, record it, and return when every request has ended; also after Ctrl-C.

        Raises:
            UsageError: this engine cannot do what the plan asks.
            RecordingError: records could not be written.
        """
        ...

    def report(self, job: Job) -> None:
        """Make the engine's own reports of a job that was executed.

        Raises:
            RecordingError: one could not be made; the records are as they were.
        """
        ...

    def merge(self, jobs: Sequence[Job], folder: Path) -> None:
        """Make the engine's own reports of several jobs together, whose own reports have been made, in `folder`.

        Of fewer than two there is nothing to merge.

        Raises:
            RecordingError: one could not be made; the records are as they were.
        """
        ...

    def close(self) -> None:
        """Give back whatever outlived the jobs; nothing more is asked of it."""
        ...
