"""Benchmarks: named experiments, declarative. One file each says what it sets up, what it sends and what it reports.

Nothing here executes. Standard library only (with ``workload`` and the types of ``servers``), so that usage errors and
``-h`` need nothing installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from servemark.errors import UsageError
from servemark.servers import ModelSettings, ServerSettings
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step

#: What of a benchmark's statistics is its answer.
Headline = Literal["response", "throughput"]
#: What is asked of all runs of a benchmark together.
Analysis = Literal["scalability", "pareto"]
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
        parameters: values of the benchmark's parameters by key, the defaults included.
    """

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

    def load(self, users: int, until: Until) -> ClosedLoad:
        """A closed loop of `users`, of the length that is asked for, else of an adapting one."""
        timed = self.loops is None
        warmup_s = self.warmup_s if self.warmup_s is not None else DEFAULT_WARMUP_S if timed else 0.0
        return ClosedLoad(
            users=users,
            loops=self.loops,
            duration_s=self.duration_s,
            until=until if timed and self.duration_s is None else None,
            warmup_s=warmup_s,
            ramp_s=self.ramp_s,
            think_s=self.think_s,
        )


@dataclass(frozen=True)
class Point:
    """One configuration to measure: what it asks of the server and of the model, and the load.

    `values` is what tells it from the benchmark's other points, by name; empty when there is but one.
    """

    server: ServerSettings
    model: ModelSettings
    load: ClosedLoad
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A named experiment.

    Attributes:
        summary: one line for ``-h``.
        headline: what its first line reports.
        step: name of the one request that its users repeat.
        needs_model: a model must be served; the step draws from its prediction requests.
        threads: default number of virtual users; None when it has its own rule, and ``-t`` makes no sense.
        asks_saturation: whether to say if the load kept every worker busy.
        until: how long each point is measured when the command does not say.
        parameters: what ``--options`` can set besides threads, loops and workers.
        make_points: the configurations to measure.
        analysis: what is asked of all points together.
    """

    name: str
    summary: str
    headline: Headline
    step: str
    needs_model: bool
    threads: int | None
    asks_saturation: bool = False
    until: Until = field(default_factory=Until)
    parameters: tuple[Parameter, ...] = ()
    make_points: Callable[[Benchmark, Ask], tuple[Point, ...]] | None = None
    analysis: Analysis | None = None

    def points(self, ask: Ask) -> tuple[Point, ...]:
        """What to measure, in order."""
        if self.make_points is not None:
            return self.make_points(self, ask)
        assert self.threads is not None
        load = ask.load(ask.threads or self.threads, self.until)
        return (Point(server_for(load.users, ask), ModelSettings(workers=ask.workers), load),)

    def plan(self, point: Point, requests: tuple[Request, ...]) -> Plan:
        """What is sent at `point`, given the requests that the step draws from."""
        return Plan((Group(Scenario((Step(self.step, requests),)), point.load),))


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


def catalogue() -> Mapping[str, Benchmark]:
    """Every benchmark by name, in the order in which help lists them."""
    from servemark.benchmarks import batching, concurrent_inference, latency, ping, throughput

    modules = (latency, throughput, ping, concurrent_inference, batching)
    return {module.BENCHMARK.name: module.BENCHMARK for module in modules}
