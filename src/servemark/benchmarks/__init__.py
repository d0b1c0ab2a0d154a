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
from servemark.workload.load import Arrivals, ClosedLoad, Load, Until
from servemark.workload.open_loop import open_load
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Expect, Request, Scenario, Step

#: What of a benchmark's statistics is its answer.
Headline = Literal["response", "throughput"]
#: What is asked of all runs of a benchmark together.
Analysis = Literal["scalability", "pareto", "registrations", "scaling"]
DEFAULT_WARMUP_S = 2.0
#: The options of an open loop, by their names on the command line, for benchmarks that refuse them.
OPEN_LOOP = ("rate", "arrival", "max_connections")
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
        requests: what is sent to the endpoint that the command names, for a benchmark that takes one.
        expect: what the bodies of predictions are held against, which not every benchmark sends.
        arrivals: when requests arrive in an open loop; None is a closed one.
        max_connections: of an open loop.
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
    requests: tuple[Request, ...] = ()
    expect: Expect | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    arrivals: Arrivals | None = None
    max_connections: int | None = None

    def load(self, users: int, until: Until) -> Load:
        """The open loop that is asked for, else a closed one of `users`; its length is that asked for, or adapts."""
        if self.arrivals is None:
            return self.closed_load(users, until)
        return open_load(
            self.arrivals,
            requests=self.loops,
            duration_s=self.duration_s,
            until=until,
            warmup_s=self.warmup_s,
            usual_warmup_s=DEFAULT_WARMUP_S,
            max_connections=self.max_connections,
        )

    def closed_load(self, users: int, until: Until, usual_warmup_s: float = DEFAULT_WARMUP_S) -> ClosedLoad:
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
    load: Load
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
        asks_highest_rate: whether the question is how much the server can do, so that a closed loop must not be slower
            for the generator's sake.
        parameters: what ``--options`` can set besides threads, loops and workers.
        analysis: what is asked of all points together.
        takes_url: it measures the HTTP endpoint of a URL, and no model server.
    """

    name: str
    summary: str
    headline: Headline
    points: Callable[[Ask], tuple[Point, ...]]
    threads: int | None = None
    models: Callable[[Ask], tuple[str, ...]] = lambda ask: (ask.model,)
    refuses: Mapping[str, str] = field(default_factory=dict)
    asks_saturation: bool = False
    asks_highest_rate: bool = False
    parameters: tuple[Parameter, ...] = ()
    analysis: Analysis | None = None
    takes_url: bool = False

    @property
    def needs_model(self) -> bool:
        """Whether it measures the model that the command names."""
        return "model" not in self.refuses


def predictions(load: Load) -> PlanFor:
    """Predictions by the one model: every user repeats one, or each arrival is one."""

    def plan(served: tuple[ServedModel, ...]) -> Plan:
        (model,) = served
        return Plan((Group(Scenario((Step("predict", model.requests),)), load),))

    return plan


def one_point(ask: Ask, users: int) -> tuple[Point, ...]:
    """Predictions by `users`, or as many as the command says, on a server that refuses none of them."""
    load = ask.load(ask.threads or users, Until())
    return (Point(server_for(load.most_in_flight, ask), ModelSettings(workers=ask.workers), load, predictions(load)),)


def without_model(ask: Ask, users: int, step: Step) -> tuple[Point, ...]:
    """`step` by `users`, or as many as the command says, on a server that needs no model for it."""
    load = ask.load(ask.threads or users, Until())
    plan = Plan((Group(Scenario((step,)), load),))
    return (Point(server_for(load.most_in_flight, ask), ModelSettings(workers=None), load, lambda _served: plan),)


def server_for(most_in_flight: int, ask: Ask) -> ServerSettings:
    """A server whose queue holds twice what may be under way, so that it refuses none of it.

    Twice, because a request that timed out is still in the queue when its place in the client is taken by the next. An
    empty place in the queue costs nothing, so that the connections of an open loop are counted as they may become.
    """
    return ServerSettings(
        job_queue_size=max(_SMALLEST_JOB_QUEUE, 2 * most_in_flight),
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
        http,
        latency,
        load,
        multiple_models,
        ping,
        repeated_scale_calls,
        throughput,
    )

    original = (latency, throughput, load, repeated_scale_calls, concurrent_inference)
    modules = (*original, ping, multiple_models, batching, http)
    return {module.BENCHMARK.name: module.BENCHMARK for module in modules}
