"""What is around any measurement: its result begun, whatever fails inside written into it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from servemark.engines import Engine, Job
from servemark.errors import RecordingError, ServemarkError, UnexpectedError
from servemark.interrupts import held_back
from servemark.options import RunRequest
from servemark.report.directory import ResultDirectory
from servemark.report.extras import check_extra
from servemark.result import Result
from servemark.runner.afterwards import draw, remember, send_metrics
from servemark.runner.entry import Entry
from servemark.runner.launching import Launchers, check_clusters, engine_of
from servemark.runner.listener import Listener
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import ResultOnDisk, empty_result
from servemark.runner.suite import read_earlier, untouched
from servemark.unexpected import explained

#: Measures with an engine, and adds what that was asked for to the jobs.
Measure = Callable[[Engine, list[Job]], None]


@dataclass(frozen=True)
class WrittenResult:
    """A result and where it was written."""

    result: Result
    folder: Path


def check_outside(requests: Sequence[RunRequest]) -> None:
    """See that what `requests` need beside a server is there: what sends metrics, and a Ray cluster.

    Raises:
        UsageError: it is not installed; or see ``check_clusters``.
        UnreachableError: nobody answers at the address of the cluster.
    """
    if requests[0].output.otlp is not None:
        check_extra("otlp", "--otlp")
    check_clusters(requests)


class Invocation:
    """One invocation of the program: `entries`, measured one after the other or in turns, and their result.

    Where the result goes, its command, seed and engine are those of the first. `suite` is the name of the suite that
    they are, and `resume` the folder of its result, of which only what is missing is run.
    """

    def __init__(
        self, entries: Sequence[Entry], listener: Listener, suite: str | None = None, resume: Path | None = None
    ) -> None:
        redaction = Redaction(header for entry in entries for header in entry.request.secret_headers)
        self.listener = redaction.listener(listener)
        for remark in dict.fromkeys(entry.remark for entry in entries if entry.remark):
            self.listener.note(remark)
        self.written = _begun_result(entries, redaction, suite, resume)
        self.launchers = Launchers(self.listener)
        self._requests = [entry.request for entry in entries]
        self._resumes = resume is not None

    def perform(self, measure: Measure, judge: Callable[[], None]) -> WrittenResult:
        """Have it measured and, unless it was interrupted, judged; whatever happens, what was measured is saved.

        A partial result is returned when Ctrl-C ended the measurement.

        Raises:
            ServemarkError: something failed; the partial result has been written.
            KeyboardInterrupt: interrupted before anything was measured.
        """
        written, listener, jobs = self.written, self.listener, list[Job]()
        with self._unless_measured(), ExitStack() as held:
            with failing(written, None, listener):
                if self._resumes:
                    written.folder.forget_reports()
                # So that one that is killed leaves no older result, but one that says partial.
                written.folder.write(written.result)
                engine = engine_of(self._requests[0].generator.engine, listener)
                held.callback(engine.close)
                written.versions(engine)
            is_whole = False
            with self._unless_measured():
                measure(engine, jobs)
                is_whole = not written.interrupted
            # With the servers gone: it takes seconds, and nobody waits for what it says.
            self._merge(engine, jobs)
            if is_whole:
                judge()
        if written.interrupted:
            written.cut_off()
            listener.note("interrupted")
        return self._ended()

    def as_it_is(self) -> WrittenResult:
        """The result of one that has nothing to measure."""
        self.written.folder.release()
        return WrittenResult(self.written.result, self.written.folder.path)

    @contextmanager
    def _unless_measured(self) -> Iterator[None]:
        """Let an interruption only end what is inside, where something was measured."""
        try:
            yield
        except KeyboardInterrupt:
            if not self.written.result.benchmarks:
                raise

    def _merge(self, engine: Engine, jobs: Sequence[Job]) -> None:
        """Merge the engine's own files of all its jobs; that this failed is no failure of the measurement."""
        try:
            engine.merge(jobs, self.written.folder.path / engine.name)
        except RecordingError as error:
            self.listener.note(f"{error}; the measurement itself is complete")

    def _ended(self) -> WrittenResult:
        """The finished result, with what becomes of it."""
        written, outputs = self.written, [request.output for request in self._requests]
        written.folder.become_latest()
        if not any(output.no_report for output in outputs):
            draw(written.result, written.folder, self.listener)
        if not any(output.no_history for output in outputs):
            remember(written.result, written.folder.path, self.listener)
        if outputs[0].otlp is not None:
            send_metrics(written.result, written.folder.path, outputs[0].otlp, self.listener)
        return self.as_it_is()


def _begun_result(
    entries: Sequence[Entry], redaction: Redaction, suite: str | None, resume: Path | None
) -> ResultOnDisk:
    """The result with nothing in it yet, or with what an earlier run of the suite has measured."""
    requests, started = [entry.request for entry in entries], datetime.now(timezone.utc)
    progress = untouched(suite, entries) if suite else None
    if progress and resume:
        earlier = read_earlier(resume, progress)
        written = ResultOnDisk(ResultDirectory.resumed(resume), earlier, redaction)
        written.go_on_with(earlier)
        return written
    name = suite or entries[0].title
    output = requests[0].output
    folder = ResultDirectory.create(output.output, name, started, force=output.force)
    return ResultOnDisk(folder, replace(empty_result(requests, name, started, redaction), suite=progress), redaction)


@contextmanager
def failing(written: ResultOnDisk, entry: Entry | None, listener: Listener, *, goes_on: bool = False) -> Iterator[None]:
    """What fails inside is written into the result; it ends there if the others go on.

    A folder without a result goes away; of another the error says where it is.
    """
    try:
        yield
    except KeyboardInterrupt as interruption:
        with held_back():
            written.fail(entry, interruption)
            if not written.result.benchmarks:
                if not written.folder.discard(words=True):
                    listener.note(f"what there is of a result is in {written.folder.path}")
                written.folder.release()
        raise
    except Exception as error:
        known = explained(error, written.folder.path, written.redaction.text)
        written.redaction.error(known)
        has_more = bool(known.detail) or isinstance(known, UnexpectedError)
        with held_back():
            written.fail(entry, known)
            if not goes_on:
                _say_where(known, written, has_more=has_more)
                written.folder.release()
        if goes_on:
            listener.note(f"servemark: error: {known}" + (f"\n{known.detail}" if known.detail else ""))
        elif known is error:
            raise
        else:
            raise known from error


def _say_where(error: ServemarkError, written: ResultOnDisk, *, has_more: bool) -> None:
    """Have `error` say where the result is, as far as there is one; else its folder goes away.

    `has_more` is whether the error shows the end of a log, which is whole in the folder, or has a traceback there.
    """
    folder = written.folder
    if written.result.benchmarks or not folder.discard(words=not has_more):
        folder.become_latest()
        error.detail = f"{error.detail}\nwhat there is of a result is in {folder.path}".strip()
