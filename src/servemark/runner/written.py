"""The result of an invocation as far as it is known, always the same on disk."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import psutil

from servemark.engines import Engine
from servemark.errors import ServemarkError
from servemark.report.directory import ResultDirectory
from servemark.result import INTERRUPTED, BenchmarkResult, Failure, Result, Skipped
from servemark.runner.entry import Entry
from servemark.runner.redaction import Redaction
from servemark.runner.request import RunRequest
from servemark.servers import Server
from servemark.units import BYTES_PER_MIB
from servemark.version import version
from servemark.workload.endpoint import without_user
from servemark.workload.headers import parse_headers
from servemark.zoo.model_source import model_source


class Written:
    """The result as far as it is known, always the same on disk; `redaction` keeps the user's secrets out of it."""

    def __init__(self, folder: ResultDirectory, result: Result, redaction: Redaction) -> None:
        self.folder = folder
        self.result = result
        self.redaction = redaction
        self._benchmarks: dict[str, BenchmarkResult] = {}

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.result.error == INTERRUPTED

    def versions(self, engine: Engine) -> None:
        """The result with what sends the requests."""
        self.result = replace(self.result, tool={**self.result.tool, "engine_versions": dict(engine.versions)})

    def skip(self, entry: Entry, reason: str) -> None:
        """The result with a benchmark that is not run."""
        self.result = replace(self.result, skipped=(*self.result.skipped, Skipped(entry.title, reason)))
        self.folder.write(self.result)

    def begin(self, entry: Entry, benchmark: BenchmarkResult, server: Server) -> None:
        """Write down what is known of a benchmark whose last run is about to begin: it may be killed."""
        facts = _facts_of(server)
        self.folder.begin(replace(benchmark, server=facts) if entry.in_suite else benchmark, facts)

    def put(self, entry: Entry, benchmark: BenchmarkResult, server: Server, *, complete: bool) -> None:
        """The result with this benchmark, in the place of what it was before; `complete` when all is in it."""
        facts = _facts_of(server)
        self._benchmarks[entry.label] = replace(benchmark, server=facts) if entry.in_suite else benchmark
        self.result = replace(
            self.result,
            partial=not complete or any(known.partial for known in self._benchmarks.values()),
            error=INTERRUPTED if benchmark.partial else self.result.error,
            server=facts,
            benchmarks=tuple(self._benchmarks.values()),
        )
        self.folder.write(self.result)

    def fail(self, entry: Entry | None, error: BaseException) -> None:
        """The result marked partial, because of `error`; if it cannot be written, that is said in the error."""
        line = str(error) or INTERRUPTED
        if entry is not None and entry.in_suite and isinstance(error, ServemarkError):
            known = self._benchmarks.get(entry.label) or _nothing_of(entry)
            failure = Failure(line, error.exit_status)
            self._benchmarks[entry.label] = replace(known, partial=True, failure=failure)
        self.result = replace(self.result, partial=True, error=line, benchmarks=tuple(self._benchmarks.values()))
        try:
            self.folder.write(self.result)
        except ServemarkError as second:
            if isinstance(error, ServemarkError) and str(second) != str(error):
                error.detail = f"{error.detail}\n{second}".strip()


def _facts_of(server: Server) -> dict[str, object]:
    """What the result says of the server itself."""
    return {"product": server.product, "version": server.version, "launcher": server.launcher, **server.facts}


def _nothing_of(entry: Entry) -> BenchmarkResult:
    """The result of a benchmark of which nothing was measured."""
    return BenchmarkResult(
        name=entry.benchmark.name,
        model=entry.model or None,
        backend=None,
        options={},
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
        seed=request.seed,
        partial=True,
        tool={"name": "servemark", "version": version(), "engine": request.engine, "engine_versions": {}},
        environment={
            "os": platform.platform(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_mib": psutil.virtual_memory().total // BYTES_PER_MIB,
            "python": platform.python_version(),
        },
        server=None,
        benchmarks=(),
    )


def _shown(requests: Sequence[RunRequest], redaction: Redaction) -> tuple[str, ...]:
    """The words of the command, with what may be shown of URLs and headers; not every benchmark of a suite has them."""
    shown: dict[str, str] = {}
    for request in requests:
        source = model_source(request.custom_model) if request.custom_model is not None else None
        if source is not None and source.url is not None:
            shown[source.url] = source.shown
        for url in filter(None, (request.url, request.server)):
            shown[url] = without_user(url)
        shown |= {header.given: header.shown for header in parse_headers(request.headers, os.environ)}
    words = requests[0].command
    for given, instead in shown.items():
        words = tuple(word.replace(given, instead) for word in words)
    return tuple(map(redaction.text, words))
