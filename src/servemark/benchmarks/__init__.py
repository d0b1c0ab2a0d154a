"""Benchmarks: named experiments, declarative. One file each says what it sets up, what it sends and what it reports.

Nothing here executes. Standard library only (with ``workload`` and the types of ``servers``), so that usage errors and
``-h`` need nothing installed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel, ModelSettings, ServerSettings
from servemark.servers.dialect import Ability, Dialect
from servemark.units import ascii_only
from servemark.workload.load import ADAPTIVE, Load
from servemark.workload.plan import Group, Plan
from servemark.workload.prompts import Prompts
from servemark.workload.scenario import Draws, Scenario, Step

if TYPE_CHECKING:  # what is measured is of no use to who only reads the words of a command
    from servemark.result import BenchmarkResult

#: What of a benchmark's statistics is its answer.
Headline = Literal["response", "throughput"]
#: What is asked of all runs of a benchmark together.
Question = Literal["scalability", "pareto", "registrations", "scaling"]
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


#: From what a server speaks and the models that it has, in the order of ``Benchmark.models``, to what is sent.
PlanFor = Callable[[Dialect, tuple[LoadedModel, ...]], Plan]


@dataclass(frozen=True)
class Point:
    """One configuration to measure: what it asks of the server and of its models, and what is sent.

    `load` is that of the users whose requests are the point (not of a background). `values` is what tells it from the
    benchmark's other points, by name; empty for the one that gives the benchmark's headline. With `fresh_server` a
    server of ours is started for it, whatever the point before it had. `trial` says which it is of, from 1, and
    `repeats` that it was measured before in that trial, and was INVALID. One that `may_fall_behind` ends early when
    what waits for the server grows and grows. A search asks of its probes how busy they keep the server's workers.
    """

    server: ServerSettings
    model: ModelSettings
    load: Load
    plan: PlanFor
    values: Mapping[str, float] = field(default_factory=dict)
    fresh_server: bool = False
    trial: int = 1
    repeats: bool = False
    may_fall_behind: bool = False
    is_probe: bool = False


#: Points, one after the other; each is answered with what all of them have shown so far, or with None where nothing is
#: measured and only what is to be expected is asked.
Points = Generator[Point, "BenchmarkResult | None", None]


@dataclass(frozen=True)
class Benchmark:
    """A named experiment.

    Attributes:
        summary: one line for ``-h``.
        headline: what its first line reports.
        threads: default number of virtual users; None when it has its own rule.
        points: the configurations to measure, in order, each chosen when those before it have been measured; each once.
        repeats_invalid: whether one of them that was INVALID is measured once more, where no more trials are asked for.
        models: names of the models that must be served.
        needs: what it needs of a server that not every one can.
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
    points: Callable[[RunRequest], Points]
    repeats_invalid: bool = False
    threads: int | None = None
    models: Callable[[RunRequest], tuple[str, ...]] = lambda request: (request.model,)
    needs: frozenset[Ability] = frozenset()
    refuses: Mapping[str, str] = field(default_factory=dict)
    asks_saturation: bool = False
    asks_highest_rate: bool = False
    parameters: tuple[Parameter, ...] = ()
    analysis: Question | None = None
    takes_url: bool = False

    @property
    def needs_model(self) -> bool:
        """Whether it measures the model that the command names."""
        return "model" not in self.refuses


def fixed(points: Callable[[RunRequest], tuple[Point, ...]]) -> Callable[[RunRequest], Points]:
    """Points that are known beforehand, whatever they show."""

    def one_by_one(request: RunRequest) -> Points:
        for point in points(request):
            _ = yield point

    return one_by_one


def predictions(load: Load) -> PlanFor:
    """Predictions by the one model: every user repeats one, or each arrival is one."""

    def plan(dialect: Dialect, served: tuple[LoadedModel, ...]) -> Plan:
        (model,) = served
        return Plan((Group(Scenario((prediction("predict", dialect, model),)), load),))

    return plan


def prediction(name: str, dialect: Dialect, model: LoadedModel) -> Step:
    """The step of that name in which a model is asked for a prediction, of each of its inputs."""
    requests = tuple(dialect.prediction(model.name, what) for what in model.inputs)
    # What generates text may have a cache of the prompts that it was asked: none comes twice before all have come.
    prompts = model.inputs if isinstance(model.inputs, Prompts) else None
    draws: Draws = "each_once" if prompts or dialect.tokens else "any"
    if prompts and prompts.is_in_order:
        draws = "in_order"
    return Step(name, requests, tokens=dialect.tokens, expect=dialect.expects, draws=draws)


def one_point(request: RunRequest, users: int) -> tuple[Point, ...]:
    """Predictions by `users`, or as many as the command says, on a server that refuses none of them."""
    load = request.load.of(request.load.threads or users, ADAPTIVE)
    model = ModelSettings(workers=request.server.workers_of_model)
    return (Point(server_for(load.most_in_flight, request), model, load, predictions(load)),)


def without_model(request: RunRequest, users: int, step: Callable[[Dialect], Step]) -> tuple[Point, ...]:
    """`step` by `users`, or as many as the command says, on a server that needs no model for it."""
    load = request.load.of(request.load.threads or users, ADAPTIVE)

    def plan(dialect: Dialect, _served: tuple[LoadedModel, ...]) -> Plan:
        return Plan((Group(Scenario((step(dialect),)), load),))

    return (Point(server_for(load.most_in_flight, request), ModelSettings(workers=None), load, plan),)


def server_for(most_in_flight: int, request: RunRequest) -> ServerSettings:
    """A server whose queue holds twice what may be under way, so that it refuses none of it.

    Twice, because a request that timed out is still in the queue when its place in the client is taken by the next. An
    empty place in the queue costs nothing, so that the connections of an open loop are counted as they may become.
    """
    return ServerSettings(
        job_queue_size=max(_SMALLEST_JOB_QUEUE, 2 * most_in_flight),
        response_timeout_s=max(1, round(request.load.timeout_s)),
        gpus=request.server.gpus or 0,
    )


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1, separated by commas, in rising order and each once.

    Raises:
        UsageError: something else stands there.
    """
    try:
        found = tuple(int(ascii_only(word)) for word in text.split(","))
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
        if not (text.isascii() and text.strip().isdecimal()) or int(text) < least:
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


def headline_of(name: str) -> Headline:
    """What of a benchmark's statistics is its answer; of one that this version does not know all that may be."""
    known = catalogue().get(name)
    return "throughput" if known is None else known.headline
