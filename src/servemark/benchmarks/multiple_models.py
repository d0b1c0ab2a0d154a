"""multiple_models: several models on one server, each sent its own input, mixed: what they cost each other."""

from __future__ import annotations

from servemark.benchmarks import Benchmark, Parameter, Point, fixed, prediction, server_for
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel, ModelSettings
from servemark.servers.dialect import Dialect
from servemark.workload.load import ADAPTIVE
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Scenario
from servemark.zoo.catalogue import find

_THREADS = 12


def _points(request: RunRequest) -> tuple[Point, ...]:
    models = request.parameters["models"]
    weights = request.parameters["weights"] or (1,) * len(models)
    if len(weights) != len(models):
        raise UsageError(
            f"{len(weights)} weights for {len(models)} models ({','.join(models)})",
            next_step="give --options weights as many numbers as there are models",
        )
    load = request.load.of(request.load.threads or _THREADS, ADAPTIVE)

    def plan(dialect: Dialect, served: tuple[LoadedModel, ...]) -> Plan:
        steps = tuple(prediction(f"predict {model.name}", dialect, model) for model in served)
        return Plan((Group(Scenario(steps, weights), load),))

    return (
        Point(
            server_for(load.most_in_flight, request), ModelSettings(workers=request.server.workers_of_model), load, plan
        ),
    )


def _models(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    models = {model.name if (model := find(name)) else name for name in names}
    if not all(names) or len(models) < len(names):
        raise UsageError(f"{text!r} is not a list of different models", next_step="as in resnet,lstm")
    return names


def _weights(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise UsageError(f"{text!r} is not a list of whole numbers from 1", next_step="as in 2,1,1")
    return tuple(map(int, words))


BENCHMARK = Benchmark(
    name="multiple_models",
    summary="resnet, squeezenet and lstm together, a seeded mix",
    headline="throughput",
    threads=_THREADS,
    points=fixed(_points),
    needs=frozenset({"models"}),
    models=lambda request: request.parameters["models"],
    refuses={
        "model": "it serves several; give --options models resnet,lstm",
        "custom_model": "it serves models of the zoo",
        **dict.fromkeys(("input", "content_type"), "each of its models has its own"),
    },
    parameters=(
        Parameter("models", ("resnet", "squeezenet", "lstm"), _models, "models to serve, as in resnet,lstm"),
        Parameter("weights", (), _weights, "the share of each in the requests, as in 2,1,1"),
    ),
)
