"""A result with the folder that has its records: what every report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.errors import RecordingError
from servemark.result import BenchmarkResult, Result, RunResult

if TYPE_CHECKING:  # most reports need none, and numpy takes a while to load
    from servemark.records import RecordFile


@dataclass(frozen=True)
class RunRecords:
    """The record files of a run, one of each generator."""

    benchmark: BenchmarkResult
    run: RunResult
    files: tuple[RecordFile, ...]


@dataclass(frozen=True)
class RecordedResult:
    """A result, and the folder that has its records."""

    result: Result
    folder: Path

    @cached_property
    def runs(self) -> tuple[RunRecords, ...]:
        """The records of every run, opened.

        Raises:
            RecordingError: they are missing, cut short, or cannot be read.
        """
        return tuple(self._opened(benchmark, run) for benchmark in self.result.benchmarks for run in benchmark.runs)

    def _opened(self, benchmark: BenchmarkResult, run: RunResult) -> RunRecords:
        from servemark.records import open_records

        files = tuple(open_records(self.folder / name) for name in run.record_files)
        rows, sent = sum(file.rows for file in files), sum(step.requests for step in run.steps)
        if rows < sent:
            raise RecordingError(
                f"the records in {', '.join(str(file.path) for file in files)} are cut short",
                cause=f"they have {rows} of the {sent} requests of the result",
                next_step="copy the whole folder of the result again",
            )
        return RunRecords(benchmark, run, files)
