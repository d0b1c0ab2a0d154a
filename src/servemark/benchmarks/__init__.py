"""Benchmarks: named experiments, declarative. One file each says what it sets up, what it sends and what it reports.

Nothing here executes. Standard library only (with ``workload`` and the types of ``servers``), so that usage errors and
``-h`` need nothing installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from servemark.errors import UsageError
from servemark.servers import ModelSettings, ServedModel, ServerSettings
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Scenario, Step

#: What of a benchmark's statistics is its answer.
Headline = Literal["response", "throughput"]
#: What is asked of all runs of a benchmark together.
Analysis = Literal["scalability", "pareto", "registrations", "scaling"]
DEFAULT_WARMUP_S = 2.0
#: MMS's own default; a load never gets less.
_SMALLEST_JOB_QUEUE = 100


@dataclass(frozen=True)
class Parameter:
    """What ``--options KEY VALUE`` can set: its default, how text becomes a value, and what it means."""

    key: str
    default: Any
    convert: Callable[[str], Any]
    meaning: str


@dataclass(frozen=True)
class Ask:
    """What the command asks of a benchmark. None leaves the benchmark's own.

    Attributes:
        model: name of the model, for a benchmark that takes any.
        parameters: values of the benchmark's parameters by key, the defaults included.
    """

    model: str = ""
    threads: int | None = None
    loops: int | None = None
    duration_s: float | None = None
    warmup_s: float | None = None
    ramp_s: float = 0.0
    think_s: float = 0.0
    workers: int | None = None
    gpus: int = 0
    timeout_s: float = 120.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def load(self, users: int, until: Until, usual_warmup_s: float = DEFAULT_WARMUP_S) -> ClosedLoad:
        """A closed loop of `users`, of the length that is asked for, else of an adapting one."""
        timed = self.loops is None
        warmup_s = self.warmup_s if self.warmup_s is not None else usual_warmup_s if timed else 0.0
        return ClosedLoad(
            users=users,
            loops=self.loops,
            duration_s=self.duration_s,
            until=until if timed and self.duration_s is None else None,
            warmup_s=warmup_s,
            ramp_s=self.ramp_s,
            think_s=self.think_s,
        )


#: From the models that a server has, in the order of ``Benchmark.models``, to what is sent.
PlanFor = Callable[[tuple[ServedModel, ...]], Plan]


@dataclass(frozen=True)
class Point:
    """One configuration to measure: what it asks of the server and of its models, and what is sent.

    `load` is that of the users whose requests are the point (not of a background). `values` is what tells it from the
    benchmark's other points, by name; empty for the one that gives the benchmark's headline.
    """

    server: ServerSettings
    model: ModelSettings
    load: ClosedLoad
    plan: PlanFor
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A named experiment.

    Attributes:
        summary: one line for ``-h``.
        headline: what its first line reports.
        threads: default number of virtual users; None when it has its own rule.
        points: the configurations to measure, in order.
        models: names of the models that must be served.
        refuses: options that make no sense with it, by their name on the command line, and why.
        asks_saturation: whether to say if the load kept every worker busy.
        parameters: what ``--options`` can set besides threads, loops and workers.
        analysis: what is asked of all points together.
    """

    name: str
    summary: str
    headline: Headline
    points: Callable[[Ask], tuple[Point, ...]]
    threads: int | None = None
    models: Callable[[Ask], tuple[str, ...]] = lambda ask: (ask.model,)
    refuses: Mapping[str, str] = field(default_factory=dict)
    asks_saturation: bool = False
    parameters: tuple[Parameter, ...] = ()
    analysis: Analysis | None = None

    @property
    def needs_model(self) -> bool:
        """Whether it measures the model that the command names."""
        return "model" not in self.refuses


def predictions(load: ClosedLoad) -> PlanFor:
    """Every user repeats a prediction by the one model."""

    def plan(served: tuple[ServedModel, ...]) -> Plan:
        (model,) = served
        return Plan((Group(Scenario((Step("predict", model.requests),)), load),))

    return plan


def one_point(ask: Ask, users: int) -> tuple[Point, ...]:
    """Predictions by `users`, or as many as the command says, on a server that refuses none of them."""
    load = ask.load(ask.threads or users, Until())
    return (Point(server_for(load.users, ask), ModelSettings(workers=ask.workers), load, predictions(load)),)


def server_for(users: int, ask: Ask) -> ServerSettings:
    """A server whose queue holds twice the users, so that it refuses none of them."""
    return ServerSettings(
        job_queue_size=max(_SMALLEST_JOB_QUEUE, 2 * users),
        response_timeout_s=max(1, round(ask.timeout_s)),
        gpus=ask.gpus,
    )


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1, separated by commas, in rising order and each once.

    Raises:
        UsageError: something else stands there.
    """
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1 or len(set(found)) < len(found):
        raise UsageError(
            f"{text!r} is not a list of different whole numbers from 1",
            next_step="separate them by commas, as in 1,4",
        )
    return tuple(sorted(found))


def whole_number(least: int, why: str = "") -> Callable[[str], int]:
    """A converter of parameters: whole numbers from `least`; `why` says what is wrong with less."""

    def convert(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise UsageError(f"{text!r} is not a whole number from {least}", cause=why)
        return int(text)

    return convert


def catalogue() -> Mapping[str, Benchmark]:
    """Every benchmark by name, in the order in which help lists them."""
    from servemark.benchmarks import (
        batching,
        concurrent_inference,
        latency,
        load,
        multiple_models,
        ping,
        repeated_scale_calls,
        throughput,
    )

    original = (latency, throughput, load, repeated_scale_calls, concurrent_inference)
    modules = (*original, ping, multiple_models, batching)
    return {module.BENCHMARK.name: module.BENCHMARK for module in modules}
