"""The result directory: made before anything is measured, rewritten after every benchmark, never half-written.

One in which there is no result in the end goes away again. What is known of a run before it is measured is written
then, so that the reports of one that was killed can be made from its records. While a run writes into it, it is held:
nobody else does.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servemark.errors import OutputError, RecordingError, UsageError
from servemark.event_files import bodies_path, condensed_path, events_path, gaps_path
from servemark.report import csv, jtl
from servemark.report.formats import FORMATS, WRITTEN_BY_RUNS
from servemark.report.recorded import RecordedResult
from servemark.report.replacing import replacing
from servemark.result import BenchmarkResult, Result, RunResult, read_result, to_json

if TYPE_CHECKING:
    from servemark.records import RecordFile

_DEFAULT_PARENT = Path("servemark-results")
#: A link to the last of them.
_LATEST = _DEFAULT_PARENT / "latest"
#: Behind the name of a run's records: what was known of it before.
BEGUN = ".begun.json"
#: What lies beside them.
_BESIDE = (events_path, gaps_path, bodies_path, condensed_path)
_RESULT, _SUMMARY, _REQUESTS, _PAGE = WRITTEN_BY_RUNS
#: All that a run, and ``servemark report``, write into the folder of a result, beside the tracebacks of faults.
_HOLDS = {_RESULT, "records", "server", "jmeter", *(one.file for one in FORMATS.values())}
#: What is written again with each benchmark; every other report is of what was measured when it was made.
_KEPT_UP = {_RESULT, _SUMMARY, _REQUESTS}
#: What a program said, which no other run will say again.
_WORDS = {".log", ".txt", ".out"}


@dataclass(frozen=True)
class _Made:
    """What was made for a result: its folder, unless that was there and empty, and those above, the nearest first."""

    itself: bool
    above: tuple[Path, ...]


class ResultDirectory:
    """One result's folder: ``result.json``, ``summary.csv``, ``requests.jtl``, ``report.html``, ``records/``,
    ``server/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: _Made | None = None
        self._before: str | None = None
        self._words_before: Mapping[Path, int] = {}
        self._held: weakref.finalize[..., ResultDirectory] | None = None

    @classmethod
    def create(cls, wanted: Path | None, name: str, started: datetime, *, force: bool) -> ResultDirectory:
        """Make the folder `wanted`, or a new one named after the time and `name`.

        Raises:
            OutputError: it holds something already and not `force`, another run writes into it, or that cannot be.
        """
        path = wanted or _DEFAULT_PARENT / f"{started:%Y%m%dT%H%M%SZ}-{name}"
        made: _Made | None = None
        try:
            above = tuple(parent for parent in path.parents if not parent.exists())
            made = _Made(itself=wanted is None or not path.exists(), above=above)
            if wanted is None:
                path = _first_free(path)
            elif path.is_dir() and any(path.iterdir()):
                if not force:
                    raise OutputError(f"{path} is not empty", next_step="give another -o, or --force to write into it")
                made = None
            for folder in (path / "records", path / "server"):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
            directory = cls(path)
            directory._hold()
            earlier = _earlier_result(path)
            for records in _earlier_records(path, earlier):
                for stale in (records, *_beside(records)):
                    stale.unlink(missing_ok=True)
            (path / _PAGE).unlink(missing_ok=True)
            if earlier:
                directory.forget_reports()
        except OSError as error:
            if made is not None and made.itself:
                for folder in (path / "records", path / "server", path, *made.above):
                    with suppress(OSError):  # what is not empty is not ours
                        folder.rmdir()
            raise OutputError(
                f"cannot write the result into {path}",
                cause=error.strerror or str(error),
                next_step="give -o a folder that you may write",
            ) from error
        directory._made = made
        directory._words_before = directory._words()
        return directory

    @classmethod
    def resumed(cls, path: Path) -> ResultDirectory:
        """The folder of a result at `path`, which is gone on with.

        Raises:
            OutputError: another run writes into it.
        """
        directory = cls(path)
        directory._hold()
        return directory

    def release(self) -> None:
        """Let others write into it: all is written. That this process has ended, however it did, says the same."""
        if self._held is not None:
            self._held()
            self._held = None

    def forget_reports(self) -> None:
        """Take away the reports of what was measured before, but for what is written again with each benchmark.

        Raises:
            OSError: one cannot be taken away.
        """
        for one in FORMATS.values():
            path = one.path(self.path)
            if path.is_file() and one.file not in _KEPT_UP:
                path.unlink()
            elif path.is_dir() and all(entry.suffix == f".{one.name}" for entry in path.iterdir()):
                shutil.rmtree(path)

    @property
    def server_logs(self) -> Path:
        """The folder for the server's settings and logs."""
        return self.path / "server"

    def new_record_path(self, name: str) -> Path:
        """The file for the records of the run called `name`; what lies beside older ones is removed.

        Raises:
            RecordingError: it cannot be.
        """
        path = self.path / "records" / f"{name}.bin"
        for beside in _beside(path):
            try:
                beside.unlink(missing_ok=True)
            except OSError as error:
                raise RecordingError(f"cannot remove {beside}", cause=error.strerror or str(error)) from error
        return path

    def write(self, result: Result) -> None:
        """Write what is made of `result` as often as it grows; each file is replaced in one step.

        Raises:
            RecordingError: the disk is full, or the folder is gone.
        """
        with self._saying_why_not():
            with replacing(self.path / _RESULT) as out:
                out.write(result_text(result))
            with replacing(self.path / _SUMMARY) as out:
                csv.write(out, result)
            runs = [run for benchmark in result.benchmarks for run in benchmark.runs]
            with replacing(self.path / _REQUESTS) as out:
                jtl.write(out, result, map(self._records, runs))
            for run in runs:
                self._begun_path(run).unlink(missing_ok=True)

    def write_page(self, result: Result) -> None:
        """Write ``report.html``, which takes the place of an earlier one in one step.

        Raises:
            RecordingError: it cannot be written.
            SetupError: what draws its charts cannot be had.
        """
        FORMATS["html"].write(RecordedResult(result, self.path), self.path / _PAGE)

    def begin(self, benchmark: BenchmarkResult, server: Mapping[str, Any]) -> None:
        """Write what is known of the last run of `benchmark`, which is about to be measured on `server`.

        Raises:
            RecordingError: it cannot be written.
        """
        with self._saying_why_not(), replacing(self._begun_path(benchmark.runs[-1])) as out:
            out.write(json.dumps(to_json({"server": server, "benchmark": benchmark}), indent=2) + "\n")
        self.become_latest()

    def become_latest(self) -> None:
        """Have ``servemark-results/latest`` lead to it, if it is one of these."""
        if self.path.parent != _DEFAULT_PARENT or self.path.name == _LATEST.name:
            return
        if _LATEST.exists() and not _LATEST.is_symlink():  # somebody else's
            return
        unfinished = _LATEST.with_name(f".{_LATEST.name}-{os.getpid()}")
        with suppress(OSError):  # where there are no links, there is none
            now = _latest()
            if now != self.path.name:
                self._before = now
                unfinished.symlink_to(self.path.name)
                unfinished.replace(_LATEST)
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)

    def discard(self, *, words: bool = False) -> bool:
        """Take it away if it was made for this result and nothing was recorded in it; whether nothing was.

        It stays if there are logs in it, or the like, unless these are mere `words`; and if something else was there.
        """
        made = self._made
        if self._holds_records() or (self._holds_words() and not words):
            return False
        if made is None:
            return True
        with suppress(OSError):
            if self.path.parent == _DEFAULT_PARENT and _latest() == self.path.name:
                _LATEST.unlink()
                if self._before is not None:
                    _LATEST.symlink_to(self._before)
        if made.itself:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            for path in self.path.iterdir():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with suppress(OSError):  # something else has come there meanwhile
            for parent in made.above:
                parent.rmdir()
        return True

    def _hold(self) -> None:
        """Keep others from writing into it.

        Raises:
            OutputError: another run does that.
        """
        descriptor = _lock(self.path)
        if descriptor is None:
            raise OutputError(
                f"another run writes into {self.path}", next_step="give another -o, or wait until that one has ended"
            )
        self._held = weakref.finalize(self, os.close, descriptor)

    def _holds_records(self) -> bool:
        from servemark.records import open_records

        for path in (self.path / "records").glob("*.bin"):
            if condensed_path(path).exists():
                return True
            with suppress(RecordingError):  # not even a header
                if open_records(path).rows:
                    return True
        return False

    def _holds_words(self) -> bool:
        return any(self._words_before.get(path) != written_ns for path, written_ns in self._words().items())

    def _words(self) -> dict[Path, int]:
        """The files with what programs said, and when they were written."""
        of_programs = (file for name in ("server", "jmeter") for file in (self.path / name).rglob("*"))
        files = (file for file in (*self.path.glob("*"), *of_programs) if file.suffix in _WORDS and file.is_file())
        return {file: file.stat().st_mtime_ns for file in files if file.stat().st_size}

    def _begun_path(self, run: RunResult) -> Path:
        return (self.path / run.records).with_suffix(BEGUN)

    @contextmanager
    def _saying_why_not(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(
                f"cannot write the result into {self.path}",
                cause=error.strerror or str(error),
                next_step="free some space, or give -o a folder on another disk",
            ) from error

    def _records(self, run: RunResult) -> list[RecordFile]:
        from servemark.records import open_records

        return [open_records(self.path / file) for file in run.record_files]


def check_not_written(folder: Path) -> None:
    """See that no run writes into `folder` just now.

    Raises:
        OutputError: one does.
    """
    try:
        descriptor = _lock(folder)
    except OSError:  # of what is wrong with it whoever reads it tells
        return
    if descriptor is None:
        raise OutputError(
            f"a run is still writing into {folder}", next_step="wait until it has ended, or end it with Ctrl-C"
        )
    os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A descriptor of `folder` that holds it as long as it is open; None where another one does.

    Where its file system has no such locks nobody is kept from anything.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


def _earlier_records(folder: Path, earlier: Result | None) -> Iterator[Path]:
    """The records that the `earlier` result in `folder` names, and those of a run that was killed; no others' files."""
    records, names = folder / "records", set[str]()
    if earlier:
        runs = (run for benchmark in earlier.benchmarks for run in benchmark.runs)
        names |= {Path(file).name for run in runs for file in run.record_files}
    names |= {file.name.removesuffix(BEGUN) + ".bin" for file in records.glob(f"*{BEGUN}")}
    return (records / name for name in sorted(names) if name.endswith(".bin"))


def _earlier_result(folder: Path) -> Result | None:
    """The result in `folder`; None where there is none, or it is somebody else's."""
    try:
        return read_result(folder / _RESULT)
    except (OSError, ValueError):
        return None


def _beside(records: Path) -> Iterator[Path]:
    """What may lie beside the `records` of a run, and belongs to them; those of more generators than one, too."""
    yield from (of(records) for of in _BESIDE)
    yield records.with_suffix(BEGUN)
    yield from records.parent.glob(f"{escape(records.stem)}.g[0-9]*.*")


def result_at(wanted: Path) -> Result:
    """The result to be compared with: in a folder, in a ``result.json``, or ``latest`` or that of a baseline.

    A folder of such a name goes first.

    Raises:
        UsageError: there is none, or it cannot be read, or the baseline's folder is gone or holds another result now.
        UsageError, RecordingError: there is no such folder, and the history cannot be read.
    """
    path = _file_of(wanted)
    try:
        return read_result(path)
    except OSError as error:
        raise UsageError(
            f"there is no result in {wanted}",
            cause=f"{error.strerror or error}: {path}",
            next_step="give the folder that a run has written",
        ) from error
    except ValueError as error:  # also what is no JSON, or no text
        raise UsageError(f"cannot read {path}", cause=str(error)) from error


def folder_at(wanted: Path) -> Path:
    """The folder of the result that ``result_at`` finds."""
    return _file_of(wanted).parent.resolve()


def _file_of(wanted: Path) -> Path:
    folder = wanted if wanted.exists() else _named(wanted)
    return folder / _RESULT if folder.is_dir() or folder == _LATEST else folder


def _named(name: Path) -> Path:
    """The folder that is meant by a name that no file has: of the last result, of a baseline, or such a folder.

    Raises:
        UsageError: it is that of a baseline whose folder is gone, or holds another result now.
        UsageError, RecordingError: the history, which would know, cannot be read.
    """
    if name == Path(_LATEST.name):
        return _LATEST
    from servemark.history.index import baselines
    from servemark.history.naming import resolve_baseline

    return resolve_baseline(str(name)) if str(name) in baselines() else name  # of which it is said that there is none


def result_text(result: Result) -> str:
    """``result.json`` as text."""
    text = json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file's name may hold bytes that are no UTF-8; as escapes they are JSON, and read back as they were.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def remove_folder(path: Path, result_id: str) -> None:
    """Remove the folder of the result with that id, with all that is in it.

    Raises:
        OutputError: it holds another result, something else besides, or cannot be removed; it is left as it is.
    """
    try:
        found = json.loads((path / _RESULT).read_text(encoding="utf-8"))
        others = sorted(
            entry.name for entry in path.iterdir() if entry.name not in _HOLDS and not entry.match("traceback-*.txt")
        )
        if not isinstance(found, dict) or found.get("id") != result_id:
            raise OutputError(f"{path} is left as it is", cause="it holds another result")
        if others:
            raise OutputError(f"{path} is left as it is", cause=f"it holds {others[0]}, which no run wrote")
        check_not_written(path)
        if path.is_symlink():
            raise OutputError(f"{path} is left as it is", cause="it is a link")
        shutil.rmtree(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed", cause=error.strerror or str(error)) from error
    except ValueError as error:
        raise OutputError(f"{path} is left as it is", cause=f"its {_RESULT} cannot be read") from error


def _latest() -> str | None:
    """The text of the link to the latest result, if there is one."""
    return os.readlink(_LATEST) if _LATEST.is_symlink() else None  # noqa: PTH115 - a Path would be another text


def _first_free(path: Path) -> Path:
    """`path`, or `path` with a number where runs of the same second have taken it. Makes the folder it returns."""
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            number += 1
