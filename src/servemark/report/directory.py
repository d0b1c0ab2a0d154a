"""The result directory: made before anything is measured, rewritten after every benchmark, never half-written."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from servemark.errors import OutputError, RecordingError
from servemark.event_files import events_path, gaps_path
from servemark.report import csv, jtl
from servemark.result import Result, RunResult, to_json

if TYPE_CHECKING:
    from servemark.records import RecordFile

_DEFAULT_PARENT = Path("servemark-results")


class ResultDirectory:
    """One result's folder: ``result.json``, ``summary.csv``, ``requests.jtl``, ``records/``, ``server/``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, wanted: Path | None, name: str, started: datetime, *, force: bool) -> ResultDirectory:
        """Make the folder `wanted`, or a new one named after the time and `name`.

        Raises:
            OutputError: it holds something already and not `force`, or cannot be written.
        """
        path = wanted or _DEFAULT_PARENT / f"{started:%Y%m%dT%H%M%SZ}-{name}"
        try:
            if wanted is None:
                path = _first_free(path)
            elif path.is_dir() and any(path.iterdir()) and not force:
                raise OutputError(f"{path} is not empty", next_step="give another -o, or --force to write into it")
            for folder in (path / "records", path / "server"):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise OutputError(
                f"cannot write the result into {path}",
                cause=error.strerror or str(error),
                next_step="give -o a folder that you may write",
            ) from error
        return cls(path)

    @property
    def server_logs(self) -> Path:
        """The folder for the server's settings and logs."""
        return self.path / "server"

    def new_record_path(self, name: str) -> Path:
        """Where the records of the run called `name` go; what lies beside older ones is removed.

        Raises:
            RecordingError: it cannot be.
        """
        path = self.path / "records" / f"{name}.bin"
        for beside in (events_path(path), gaps_path(path)):
            try:
                beside.unlink(missing_ok=True)
            except OSError as error:
                raise RecordingError(f"cannot remove {beside}", cause=error.strerror or str(error)) from error
        return path

    def write(self, result: Result) -> None:
        """Write every report of `result`; each file is replaced in one step.

        Raises:
            RecordingError: the disk is full, or the folder is gone.
        """
        try:
            with _replacing(self.path / "result.json") as out:
                out.write(result_text(result))
            with _replacing(self.path / "summary.csv") as out:
                csv.write(out, result)
            runs = [run for benchmark in result.benchmarks for run in benchmark.runs]
            with _replacing(self.path / "requests.jtl") as out:
                jtl.write(out, self._records(runs) if runs else [])
        except OSError as error:
            raise RecordingError(
                f"cannot write the result into {self.path}",
                cause=error.strerror or str(error),
                next_step="free some space, or give -o a folder on another disk",
            ) from error

    def _records(self, runs: Sequence[RunResult]) -> list[tuple[RecordFile, jtl.LoadKind]]:
        from servemark.records import open_records

        return [(open_records(self.path / run.records), run.load["kind"]) for run in runs]


def result_text(result: Result) -> str:
    """``result.json`` as text."""
    text = json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file's name may hold bytes that are no UTF-8; as escapes they are JSON, and read back as they were.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of `path` when it is whole, and leaves nothing behind when it is not."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as out:
            yield out
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
