"""An entry: one benchmark of an invocation, and what it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from servemark import benchmarks
from servemark.benchmarks import Ask, Benchmark, Point
from servemark.errors import UsageError
from servemark.runner.request import RunRequest
from servemark.workload.inputs import Input, read_input
from servemark.zoo.catalogue import ZOO, ZooModel, find
from servemark.zoo.model_source import model_source


@dataclass(frozen=True)
class Entry:
    """One of the requests of an invocation, the points that it comes to, and the user's inputs.

    `label` names its files, `last` says that none comes after it.
    """

    request: RunRequest
    benchmark: Benchmark
    ask: Ask
    points: tuple[Point, ...]
    inputs: tuple[Input, ...]
    label: str
    last: bool = True
    in_suite: bool = False

    @property
    def title(self) -> str:
        """What people and folders call it."""
        return f"{self.benchmark.name}-{_file_name(self.model)}" if self.benchmark.needs_model else self.label

    @property
    def model(self) -> str:
        """Of the model, as far as it is known before it is there; empty where the benchmark takes none."""
        if not self.benchmark.needs_model:
            return ""
        custom = self.request.custom_model
        return model_source(custom).stem if custom is not None else self.ask.model

    @classmethod
    def of(cls, request: RunRequest) -> Entry:
        """The only entry of an invocation.

        Raises:
            UsageError: there is no such benchmark, parameter or model, or they contradict each other; or an input or
                the archive cannot be read.
        """
        benchmark = _benchmark(request.benchmark)
        inputs = tuple(read_input(path) for path in request.inputs)
        ask = _ask(request, benchmark)
        if request.server is None:
            for name in benchmark.models(ask):
                zoo_model(name)
        return cls(request, benchmark, ask, benchmark.points(ask), inputs, benchmark.name)


def zoo_model(name: str) -> ZooModel:
    """The model of the zoo of that name.

    Raises:
        UsageError: there is none.
    """
    model = find(name)
    if model is None:
        raise UsageError(f"unknown model {name!r}", next_step=f"choose from {', '.join(m.name for m in ZOO)}")
    return model


def _ask(request: RunRequest, benchmark: Benchmark) -> Ask:
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    unknown = sorted(set(request.parameters) - set(defaults))
    if unknown:
        raise UsageError(f"{benchmark.name} has no parameter {unknown[0]!r}")
    return Ask(
        model=request.model,
        threads=request.threads,
        loops=request.loops,
        duration_s=request.duration_s,
        warmup_s=request.warmup_s,
        ramp_s=request.ramp_s,
        think_s=request.think_s,
        workers=request.workers or request.gpus or None,
        gpus=request.gpus,
        timeout_s=request.timeout_s,
        parameters=defaults | dict(request.parameters),
    )


def _benchmark(name: str) -> Benchmark:
    known = benchmarks.catalogue()
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=f"choose from {', '.join(known)}")
    return known[name]


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", model)
