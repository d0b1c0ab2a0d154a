"""An entry: one benchmark of an invocation, and what it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from servemark import benchmarks
from servemark.benchmarks import Benchmark, Point
from servemark.benchmarks.refusals import check_given, check_needs, check_over, check_records, check_spread
from servemark.benchmarks.trials import asked_points
from servemark.engines.answers import check_expect
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.options.objectives import OF_TOKENS
from servemark.options.server import ServerOptions
from servemark.servers.dialect import Dialect, dialect, dialect_of_kind, dialects
from servemark.servers.oip.asked import TO_STREAM, check_call
from servemark.workload.trace import unit_remark
from servemark.zoo.catalogue import ZOO, ZooModel, find

#: Of a model or a host in the name of a folder; file systems have no more than 255 for all of it.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Entry:
    """One of the requests of an invocation, and the points that it comes to, as far as that can be said beforehand.

    `label` names its files, `last` says that none comes after it, and `place` where among the `count` entries of its
    suite, or of two that are compared, it is, from 0.
    """

    request: RunRequest
    benchmark: Benchmark
    points: tuple[Point, ...]
    label: str
    last: bool = True
    in_suite: bool = False
    place: int = 0
    count: int = 1

    @property
    def title(self) -> str:
        """What people and folders call it."""
        endpoint = self.request.content.endpoint
        named = self.model if endpoint is None else endpoint.authority
        return f"{self.benchmark.name}-{_file_name(named)}" if named else self.benchmark.name

    @property
    def model(self) -> str:
        """The name of the model, as far as it is known before it is there; empty where the benchmark takes none."""
        if not self.benchmark.needs_model:
            return ""
        archive = self.request.content.archive
        return archive.stem if archive else self.request.model

    @property
    def remark(self) -> str | None:
        """How something that was asked for was taken, where that is not plain."""
        arrivals = self.request.load.arrivals
        return unit_remark(arrivals.trace) if arrivals and arrivals.trace else None

    @classmethod
    def of(cls, request: RunRequest) -> Entry:
        """The only entry of an invocation.

        Raises:
            UsageError: there is no such benchmark, parameter or model, or they contradict each other; or an input or
                the archive cannot be read.
        """
        entry = cls.unread(request)
        _ = request.content.bodies, request.server.tokens  # a file that cannot be read is refused here
        return entry

    @classmethod
    def unread(cls, request: RunRequest) -> Entry:
        """The same, of which only a trace is read: of a command that nobody may ever give.

        Raises:
            UsageError: there is no such benchmark, parameter or model, or they contradict each other.
        """
        benchmark = _benchmark(request.benchmark)
        check_given(benchmark, request.given)
        defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
        unknown = sorted(set(request.parameters) - set(defaults))
        if unknown:
            raise UsageError(f"{benchmark.name} has no parameter {unknown[0]!r}")
        request = replace(request, parameters=defaults | dict(request.parameters))
        if request.content.expected_body is not None:
            check_expect(request.content.expected_body, request.generator.engine)
        if request.server.dialect != "auto":
            check_needs(benchmark, dialect(request.server.dialect))
        if request.server.server_kind != "mms":
            spoken = dialect_of_kind(request.server.server_kind)
            check_needs(benchmark, spoken)
            check_over(request.question.over, spoken)
            if spoken.name == "oip":
                check_call(request.content.call, request.server.server_kind, spoken.product)
        _check_tokens(request)
        if request.server.server is None and request.server.model_repository is None:
            for name in benchmark.models(request):
                zoo_model(name)
        points = tuple(asked_points(benchmark, request))
        check_spread(
            [point.load for point in points],
            request.generator.generators,
            request.generator.generator_threads,
            searches=request.question.by is not None,
        )
        if request.generator.spread.has_crew:
            asked = {"--record-events": request.generator.record_events, "--tokens": request.content.tokens}
            needs_all = next(filter(asked.get, asked), "")
            check_records([point.load for point in points], request.generator.max_records, needs_all)
        return cls(request, benchmark, points, benchmark.name)


def _check_tokens(request: RunRequest) -> None:
    """Refuse what is of tokens where the server is known by its kind or dialect, and its answers are not read for them.

    Raises:
        UsageError: names it.
    """
    content, server = request.content, request.server
    asked = ["--tokenizer"] * (content.tokenizer is not None)
    asked += [f"--slo {one.text}" for one in request.question.objective if one.figure in OF_TOKENS]
    if not asked or content.url is not None:
        return
    spoken, *others = may_speak(server)
    if others:  # it is found out
        return
    if spoken.tokens is None and (spoken.name != "oip" or content.call == "infer"):
        step = TO_STREAM if spoken.name == "oip" else "leave it out"
        raise UsageError(
            f"{asked[0]} makes no sense with a {spoken.product}",
            cause="its answers are not read for tokens",
            next_step=step,
        )


def may_speak(server: ServerOptions) -> tuple[Dialect, ...]:
    """The dialect of the server that is asked for; all of them where it is found out later which it is."""
    if server.server is None:
        return (dialect_of_kind(server.server_kind),)
    return tuple(dialects()) if server.dialect == "auto" else (dialect(server.dialect),)


def zoo_model(name: str) -> ZooModel:
    """The model of the zoo of that name.

    Raises:
        UsageError: there is none.
    """
    model = find(name)
    if model is None:
        raise UsageError(f"unknown model {name!r}", next_step=f"choose from {', '.join(m.name for m in ZOO)}")
    return model


def _benchmark(name: str) -> Benchmark:
    known = benchmarks.catalogue()
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}", next_step=f"choose from {', '.join(known)}")
    return known[name]


def _file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", model)[:_LONGEST_NAME]
