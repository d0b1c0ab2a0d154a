"""What was measured: one execution of one point, and what was seen of the server around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servemark.benchmarks import Benchmark, Point
from servemark.certificate.conditions import MachineUse
from servemark.engines import EngineName, EngineRun
from servemark.errors import ServerError
from servemark.options.objectives import Condition
from servemark.records import RecordFile
from servemark.result import AskedOptions, Incident
from servemark.servers import InsideCounts, LoadedModel
from servemark.servers.dialect import Dialect
from servemark.workload.engine_plan import EnginePlan
from servemark.workload.plan import Plan


@dataclass(frozen=True)
class Removal:
    """The removing of the models that a plan registered: how long it took, and which could not be, with the reason."""

    seconds: float
    failures: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """One execution of one point.

    Attributes:
        plan: what was sent; `compiled` is the same as the engine was given it.
        records: of each generator, in the order of their shares.
        dialect: what the server speaks.
        served: the models, with their settings as read back before, in the order of the benchmark.
        settings_after: the same settings as read back afterwards, by model.
        memory_bytes: of the server's processes before and after the load (PSS); None where that cannot be seen.
        inside: what the server had counted of each model before and after; empty where it counts nothing.
        removal: of the models that the plan registered, if any.
        failure: why the server could no longer be measured, if that ended the run, or was so at its end.
        incidents: what happened to the server meanwhile, and nobody asked for.
        asked: of the benchmark, as its result has it.
        went_on: whether the server was allowed to fail or be away meanwhile.
        lets_cpus_sleep: whether it was asked that idle CPUs may halt.
        finds_warm_up: whether what is left of the warm-up after the time that it was given is looked for.
        objective: what it is to meet.
        took_s: the time that it took, with all that is around the load.
        falls_behind: it was ended early, since what waited for the server grew and grew.
        trial: which of the executions of the point, from 1.
    """

    benchmark: Benchmark
    point: Point
    plan: Plan
    compiled: EnginePlan
    records: tuple[RecordFile, ...]
    engine_run: EngineRun
    dialect: Dialect
    served: tuple[LoadedModel, ...]
    settings_after: Mapping[str, Mapping[str, object]]
    memory_bytes: tuple[int | None, int | None]
    removal: Removal | None
    failure: ServerError | None
    asked: AskedOptions
    engine: EngineName
    incidents: tuple[Incident, ...] = ()
    went_on: bool = False
    lets_cpus_sleep: bool = False
    finds_warm_up: bool = False
    objective: tuple[Condition, ...] = ()
    inside: tuple[Mapping[str, InsideCounts], Mapping[str, InsideCounts]] = ({}, {})
    trial: int = 1
    took_s: float = 0.0
    falls_behind: bool = False

    @property
    def machine(self) -> MachineUse:
        """What the machine under the generator did meanwhile."""
        return self.engine_run.machine

    @property
    def settings_before(self) -> Mapping[str, Mapping[str, object]]:
        """The served models' settings as read back before the run, by model; those that could not be are left out."""
        return {model.name: model.read_back for model in self.served if model.read_back}
