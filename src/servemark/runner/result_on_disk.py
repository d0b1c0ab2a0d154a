"""The result of an invocation as far as it is known, always the same on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from servemark.engines import Engine
from servemark.environments.build_log import BUILD_LOG
from servemark.errors import ServemarkError
from servemark.options import RunRequest
from servemark.report.directory import ResultDirectory
from servemark.result import (
    INTERRUPTED,
    AskedOptions,
    BenchmarkResult,
    Comparison,
    Failure,
    Result,
    Skipped,
    SuiteStatus,
    Tool,
)
from servemark.runner.entry import Entry
from servemark.runner.environment import environment_here
from servemark.runner.redaction import Redaction
from servemark.runner.suite import with_status
from servemark.servers import Server
from servemark.version import version
from servemark.workload.endpoint import without_user

#: Entries of a suite that have a benchmark in its result.
_MEASURED = ("done", "failed", "partial")


class ResultOnDisk:
    """The result as far as it is known, always the same on disk; `redaction` keeps the user's secrets out of it."""

    def __init__(self, folder: ResultDirectory, result: Result, redaction: Redaction) -> None:
        self.folder = folder
        self.result = result
        self.redaction = redaction
        self._benchmarks: dict[int, BenchmarkResult] = {}
        self._whole: set[int] = set()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.result.error == INTERRUPTED

    def logs_of(self, entry: Entry | None) -> Path:
        """The folder for the logs of a benchmark's server, and of what had to be built for it."""
        folder = self.folder.server_logs
        return folder / entry.label if entry is not None and entry.in_suite else folder

    def versions(self, engine: Engine) -> None:
        """The result with what sends the requests."""
        tool = replace(self.result.tool, engine_versions=dict(engine.versions), engine_environ=engine.environ)
        self.result = replace(self.result, tool=tool)

    def go_on_with(self, earlier: Result) -> None:
        """The result as it was, with those benchmarks of its suite that are done; the others are to be run."""
        suite = earlier.suite
        assert suite
        benchmarks = iter(earlier.benchmarks)
        for place, entry in enumerate(suite.entries):
            if entry.status in _MEASURED:
                benchmark = next(benchmarks)
                if entry.status == "done":
                    self._benchmarks[place] = benchmark
                    self._whole.add(place)
            if entry.status != "done":
                suite = with_status(suite, place, "not run")
        if any(entry.status != "done" for entry in suite.entries):
            self.result = replace(earlier, error=None, skipped=(), suite=suite)
            self._set(partial=True)

    def skip(self, entry: Entry, reason: str) -> None:
        """The result with a benchmark that is not run."""
        self.result = replace(self.result, skipped=(*self.result.skipped, Skipped(entry.title, reason)))
        self._has_become(entry, "skipped")
        self.folder.write(self.result)

    def begin(self, entry: Entry, benchmark: BenchmarkResult, server: Server) -> None:
        """Write down what is known of a benchmark whose last run is about to begin: it may be killed."""
        facts = _facts_of(server)
        self.folder.begin(replace(benchmark, server=facts) if entry.in_suite else benchmark, facts)

    def nothing_more(self) -> None:
        """The result as it is, with nothing to come: of a suite, what else there was would not have fitted."""
        if self._benchmarks:
            self._set(partial=any(known.partial for known in self._benchmarks.values()))
            self.folder.write(self.result)

    def cut_off(self) -> None:
        """The result with each benchmark marked partial that has not come to its end: others were interrupted."""
        for place, known in self._benchmarks.items():
            if place not in self._whole:
                self._benchmarks[place] = replace(known, partial=True)
        self._set(partial=True)
        self.folder.write(self.result)

    def benchmark(self, entry: Entry) -> BenchmarkResult | None:
        """What there is of an entry's benchmark."""
        return self._benchmarks.get(entry.place)

    def _has_become(self, entry: Entry, status: SuiteStatus) -> None:
        suite = self.result.suite
        if suite is not None:
            self.result = replace(self.result, suite=with_status(suite, entry.place, status))

    def _set(self, *, partial: bool) -> None:
        ordered = tuple(self._benchmarks[place] for place in sorted(self._benchmarks))
        self.result = replace(self.result, partial=partial, benchmarks=ordered)

    def put(self, entry: Entry, benchmark: BenchmarkResult, server: Server, *, whole: bool) -> None:
        """The result with this benchmark, in the place of what it was before; `whole` when all its points are in it."""
        facts = _facts_of(server)
        self._benchmarks[entry.place] = replace(benchmark, server=facts) if entry.in_suite else benchmark
        if whole:
            self._whole.add(entry.place)
        error = INTERRUPTED if benchmark.partial else self.result.error
        self.result = replace(self.result, error=error, server=facts)
        self._has_become(entry, "done" if whole and not benchmark.partial else "partial")
        complete = whole and entry.last
        self._set(partial=not complete or any(known.partial for known in self._benchmarks.values()))
        self.folder.write(self.result)

    def compared(self, comparison: Comparison, benchmarks: Sequence[BenchmarkResult]) -> None:
        """The result with how it compares with an earlier one, and with what that means for its `benchmarks`."""
        self._benchmarks = dict(zip(sorted(self._benchmarks), benchmarks, strict=True))
        self.result = replace(self.result, comparison=comparison, benchmarks=tuple(benchmarks))
        self.folder.write(self.result)

    def fail(self, entry: Entry | None, error: BaseException) -> None:
        """The result marked partial, because of `error`; if it cannot be written, that is said in the error."""
        line = str(error) or INTERRUPTED
        known = self._benchmarks.get(entry.place) if entry is not None else None
        if entry is not None and entry.in_suite and isinstance(error, ServemarkError):
            failure = Failure(line, error.exit_status)
            self._benchmarks[entry.place] = replace(known or _nothing_of(entry), partial=True, failure=failure)
            self._has_become(entry, "failed")
        elif entry is not None and known is not None and entry.place not in self._whole:
            self._benchmarks[entry.place] = replace(known, partial=True)
        self.result = replace(self.result, error=line)
        self._set(partial=True)
        if isinstance(error, ServemarkError):
            self._keep_log(entry, error)
        try:
            self.folder.write(self.result)
        except ServemarkError as second:
            if isinstance(error, ServemarkError) and str(second) != str(error):
                error.detail = f"{error.detail}\n{second}".strip()

    def _keep_log(self, entry: Entry | None, error: ServemarkError) -> None:
        """Beside the server's logs, all that a program printed which failed; the error says where."""
        if error.log.strip() in ("", error.detail.strip()):
            return
        path = self.logs_of(entry) / BUILD_LOG
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(error.log, encoding="utf-8", errors="backslashreplace")
        except OSError as second:
            told = f"all that it printed could not be written to {path}: {second.strerror or second}"
        else:
            told = f"all that it printed is in {path}"
        error.detail = f"{error.detail}\n{told}".strip()


def _facts_of(server: Server) -> dict[str, object]:
    """What the result says of the server itself."""
    return {"product": server.product, "version": server.version, "launcher": server.launcher, **server.facts}


def _nothing_of(entry: Entry) -> BenchmarkResult:
    """The result of a benchmark of which nothing was measured."""
    return BenchmarkResult(
        name=entry.benchmark.name,
        model=entry.model or None,
        backend=None,
        options=AskedOptions(),
        cold_start_ms=None,
        partial=True,
        steps=(),
        runs=(),
        certificate=None,
        verdicts=(),
    )


def empty_result(requests: Sequence[RunRequest], name: str, started: datetime, redaction: Redaction) -> Result:
    """A result of `requests` with nothing in it yet, and so partial."""
    request = requests[0]
    return Result(
        id=f"{started:%Y%m%dT%H%M%S.%fZ}-{name}",
        started_at=started.isoformat(),
        command=_shown(requests, redaction),
        seed=request.load.seed,
        partial=True,
        tool=Tool(version=version(), engine=request.generator.engine),
        environment=environment_here(),
        server=None,
        benchmarks=(),
    )


def _shown(requests: Sequence[RunRequest], redaction: Redaction) -> tuple[str, ...]:
    """The words of the command, with what may be shown of URLs and headers; not every benchmark of a suite has them."""
    shown: dict[str, str] = {}
    for request in requests:
        content = request.content
        if content.archive is not None and content.archive.url is not None:
            shown[content.archive.url] = content.archive.shown
        for url in filter(None, (content.url, request.server.server, request.output.otlp)):
            shown[url] = without_user(url)
        shown |= {header.given: header.shown for header in content.own_headers}
    words = requests[0].command
    for given, instead in shown.items():
        words = tuple(word.replace(given, instead) for word in words)
    return tuple(map(redaction.text, words))
