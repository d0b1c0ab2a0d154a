"""What is around any measurement: its result begun, whatever fails inside written into it, and its files merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from servemark.engines import Engine, Job
from servemark.errors import RecordingError, ServemarkError, UnexpectedError
from servemark.interrupts import held_back
from servemark.options import RunRequest
from servemark.report.directory import ResultDirectory
from servemark.runner.entry import Entry
from servemark.runner.listener import Listener
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import ResultOnDisk, empty_result
from servemark.runner.suite import read_earlier, untouched
from servemark.unexpected import explained


def begun_result(
    requests: Sequence[RunRequest],
    entries: Sequence[Entry],
    redaction: Redaction,
    suite: str | None,
    resume: Path | None,
) -> ResultOnDisk:
    """The result with nothing in it yet, or with what an earlier run of the suite has measured."""
    first, started = requests[0], datetime.now(timezone.utc)
    progress = untouched(suite, entries) if suite else None
    if progress and resume:
        earlier = read_earlier(resume, progress)
        written = ResultOnDisk(ResultDirectory.resumed(resume), earlier, redaction)
        written.go_on_with(earlier)
        return written
    name = suite or entries[0].title
    folder = ResultDirectory.create(first.output.output, name, started, force=first.output.force)
    return ResultOnDisk(folder, replace(empty_result(requests, name, started, redaction), suite=progress), redaction)


def merge(engine: Engine, jobs: Sequence[Job], folder: ResultDirectory, listener: Listener) -> None:
    """Merge the engine's own files of all that it was asked for; that this failed is no failure of the measurement."""
    try:
        engine.merge(jobs, folder.path / engine.name)
    except RecordingError as error:
        listener.note(f"{error}; the measurement itself is complete")


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
