"""The earlier result that a run is compared with: read before anything starts, and compared when all is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from servemark.benchmarks.asked import load_asked
from servemark.benchmarks.refusals import spread_of
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.report.directory import result_at
from servemark.result import (
    KERNEL_CLOCK,
    USER_CLOCK,
    BenchmarkResult,
    Environment,
    Result,
    asked_beforehand,
    differences,
    fingerprint,
    spread_over,
)
from servemark.runner.entry import Entry, may_speak
from servemark.runner.environment import environment_here
from servemark.runner.result_on_disk import ResultOnDisk
from servemark.servers import LoadedModel
from servemark.servers.dialect import lacking
from servemark.servers.http.dialect import DIALECT as ENDPOINT_DIALECT
from servemark.version import version
from servemark.workload.inputs import checksum
from servemark.workload.prompts import Drawn
from servemark.zoo.catalogue import find

_COMPARED_ALL_THE_SAME = "--force compares them all the same"
#: What of a machine comparisons hold against each other, and is known before a run.
_OF_MACHINE = ("machine", "cpus", "kernel", "cpu_model", "governor", "python")


@dataclass(frozen=True)
class Baseline:
    """The earlier result, and how a run is compared with it."""

    result: Result
    threshold_share: float
    force: bool

    @classmethod
    def of(cls, requests: Sequence[RunRequest]) -> Baseline | None:
        """The one that is asked for, with which a run of `requests` on this machine can be compared.

        Raises:
            UsageError: it cannot be read, has nothing that could be compared, or is of another environment.
        """
        first = requests[0]
        if first.question.against is None:
            return None
        baseline = cls(result_at(first.question.against), first.question.threshold_share, first.output.force)
        baseline._check(requests)
        return baseline

    def _check(self, requests: Sequence[RunRequest]) -> None:
        result, asked = self.result, {request.benchmark for request in requests}
        known = [benchmark for benchmark in result.benchmarks if benchmark.name in asked]
        if not known:
            there = ", ".join(benchmark.name for benchmark in result.benchmarks) or "nothing"
            raise UsageError(f"{result.id} has no {', '.join(sorted(asked))} to compare with", cause=f"it has {there}")
        valid = [run for benchmark in known for runs in benchmark.valid_trials.values() for run in runs]
        if not valid:
            raise UsageError(f"{result.id} has no valid trial to compare with")
        if all(run.steps and not run.steps[0].measured for run in valid):
            raise UsageError(f"{result.id} has no trial to compare with in which a request succeeded")
        unlike = _unlike_machines(result.environment, environment_here())
        engine = (result.tool.engine, result.tool.version), (requests[0].generator.engine, version())
        if engine[0] != engine[1]:
            unlike.append(f"engine {' '.join(engine[0])} and {' '.join(engine[1])}")
        self._refuse(unlike)

    def check_asked(self, entries: Sequence[Entry]) -> None:
        """Refuse what is unlike what the earlier result was asked, as far as that is known before anything starts.

        Raises:
            UsageError: it is of another model, or another load, parameter or setting was asked for.
        """
        for entry in entries:
            of_name = [one for one in self.result.benchmarks if one.name == entry.benchmark.name]
            alike = [one for one in of_name if _is_of(one, entry)]
            if of_name and not alike:
                there = ", ".join(f"{one.name} {one.model or one.options.url or ''}".strip() for one in of_name)
                endpoint = entry.request.content.endpoint
                asked = urlsplit(endpoint.url).path if endpoint else entry.model
                raise UsageError(
                    f"{self.result.id} has no {entry.benchmark.name} {asked} to compare with",
                    cause=f"it has {there}",
                    next_step="compare results of the same benchmark and model",
                )
            if len(alike) == 1:  # of several it is known only in the end which is meant
                unlike = _unlike_ways(self.result, alike[0], entry) | _unlike_points(alike[0], entry)
                unlike |= _unlike_inputs(alike[0], entry)
                self._refuse([f"{name} {one} and {two}" for name, (one, two) in unlike.items()])

    def _refuse(self, unlike: Sequence[str]) -> None:
        if unlike and not self.force:
            raise UsageError(
                f"{self.result.id} and a run here are unlike", cause="; ".join(unlike), next_step=_COMPARED_ALL_THE_SAME
            )

    def judge(self, written: ResultOnDisk) -> None:
        """Compare what was measured, and write that into its result."""
        from servemark.assessment.comparing import Judging, compare
        from servemark.report.comparison import answer_in_words
        from servemark.result import Comparison, matchable
        from servemark.verdict import no_slower

        base, new = self.result, written.result
        try:
            comparison = compare(base, new, Judging(self.threshold_share, force=self.force))
        except UsageError as error:
            comparison = Comparison(base.id, new.id, self.threshold_share, "undecided", (), refused=str(error))
        answers = {one.name: one for one in comparison.benchmarks}
        judged = {
            name: no_slower(base.id, self.threshold_share, one.answer, comparison.refused or answer_in_words(one))
            for name, one in answers.items()
        }
        benchmarks = [
            replace(benchmark, verdicts=(*benchmark.verdicts, *([judged[name]] if name in judged else [])))
            for name, benchmark in matchable(new).items()
        ]
        written.compared(comparison, benchmarks)


def _is_of(benchmark: BenchmarkResult, entry: Entry) -> bool:
    """Whether `benchmark` is of the model, or the path, that `entry` asks for; what is not known yet is no other."""
    content = entry.request.content
    if content.endpoint is not None:
        return urlsplit(benchmark.options.url or "").path == urlsplit(content.endpoint.url).path
    if not entry.benchmark.needs_model or "model" not in entry.request.given or benchmark.model is None:
        return True
    of_zoo = find(entry.model)
    return benchmark.model in {entry.model, *((of_zoo.wire_name, *of_zoo.all_names) if of_zoo else ())}


def _unlike_ways(result: Result, benchmark: BenchmarkResult, entry: Entry) -> dict[str, tuple[str, ...]]:
    """What sends and what computes, where that is another than then; a backend that nobody asks for is chosen later."""
    own, request = fingerprint(result, benchmark), entry.request
    then: dict[str, str | None] = {"backend": own.backend, "receive_clock": own.receive_clock}
    asked = {
        "backend": request.server.backend,
        "receive_clock": _clock_asked(request, own.receive_clock),
    }
    return differences(then, asked)


def _clock_asked(request: RunRequest, then: str) -> str | None:
    """Whose time of arrival answers will have, where that is known: the kernel may refuse to tell what it is asked."""
    asked = request.generator.receive_clock
    if then not in (KERNEL_CLOCK, USER_CLOCK) or request.generator.engine != "native":
        return None
    if asked == "auto":  # a Unix socket has no stamps
        return None if request.server.unix_socket else KERNEL_CLOCK
    return asked


def _unlike_inputs(benchmark: BenchmarkResult, entry: Entry) -> dict[str, tuple[str, ...]]:
    """What is sent, where the command tells that: files of the user's, and prompts but those as long as a trace has.

    What each model has of its own, and what is made of what a server says of its models, is known later.
    """
    then = benchmark.options.input_sha256
    if then is None:
        return {}
    now = None
    for pool in filter(None, _pools(benchmark, entry)):
        now = checksum(pool)
        if now == then:
            return {}
    return {} if now is None else {"inputs": (then, now)}


def _pools(benchmark: BenchmarkResult, entry: Entry) -> Iterator[tuple[bytes, ...]]:
    """What is drawn from, by each dialect that the server may turn out to speak; nothing where nobody can say it."""
    content, load, plan = entry.request.content, entry.request.load, entry.points[0].plan
    if content.endpoint is not None:
        yield plan(ENDPOINT_DIALECT, ()).pool
        return
    prompts, is_pipe = None, content.prompts is not None and not content.prompts.is_file()
    if content.asks_prompts and not is_pipe and not (content.takes_lengths and load.is_open):
        most = None if entry.request.question.by else load.most_requests
        prompts = content.prompts_asked(load.seed, None, most).drawn_by(Drawn(load.seed))
    if benchmark.model is None or not (content.bodies or prompts):
        return
    for spoken in may_speak(entry.request.server):
        if lacking(spoken, entry.benchmark.needs):
            continue
        # The first prompt is what a model is proven ready by, where nothing may be asked twice.
        bodies = (content.bodies[1:] if spoken.tokens else ()) or content.bodies
        named = benchmark.model.split(", ")
        yield plan(spoken, tuple(LoadedModel(name, None, prompts or bodies, None, None, None) for name in named)).pool


def _unlike_points(benchmark: BenchmarkResult, entry: Entry) -> dict[str, tuple[str, ...]]:
    """What was asked of the points that both have, and was not the same: by its name, then and now."""
    found: dict[str, tuple[str, ...]] = {}
    for point in entry.points:
        run = next((one for one in benchmark.runs if dict(one.point) == dict(point.values)), None)
        if run is not None:
            then = asked_beforehand(run.load, benchmark.options.parameters, run.point)
            now = asked_beforehand(load_asked(point.load), entry.request.parameters, point.values)
            then["generators"] = str(spread_over(run))
            now["generators"] = str(spread_of(point.load, entry.request.generator.spread).generators)
            settings = {**run.server.get("requested", {}), **run.server.get("read_back", {})}
            for name in ("workers", "batch_size"):
                asked = getattr(point.model, name) if point.model.changes else None
                then[f"setting {name}"] = None if asked is None or name not in settings else str(settings[name])
                now[f"setting {name}"] = None if asked is None else str(asked)
            found |= differences(then, now)
    return found


def _unlike_machines(own: Environment, other: Environment) -> list[str]:
    """What differs; what either does not tell is not held against them."""
    facts = [{name: getattr(machine, name) for name in _OF_MACHINE} for machine in (own, other)]
    return [f"{name} {one} and {two}" for name, (one, two) in differences(*facts).items()]
