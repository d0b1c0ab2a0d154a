"""A result with the folder that has its records: what every report is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from servemark.errors import RecordingError
from servemark.result import BenchmarkResult, Result, RunResult

if TYPE_CHECKING:  # most reports need none, and numpy takes a while to load
    from servemark.records import RecordFile


#: What the page of a comparison has of records alone.
DRAWN_IN_COMPARISONS = "latency by percentile"


def drawn_in_reports(benchmarks: Iterable[BenchmarkResult]) -> str:
    """What the page of a result has of records alone, in words."""
    steps = (step for benchmark in benchmarks for run in benchmark.runs for step in run.steps)
    of_tokens = "times of tokens, " if any(step.tokens for step in steps) else ""
    return f"what happened over time, where the time goes, {of_tokens}and latencies between the reported percentiles"


@dataclass(frozen=True)
class RunRecords:
    """The record files of a run, one of each generator."""

    benchmark: BenchmarkResult
    run: RunResult
    files: tuple[RecordFile, ...]


@dataclass(frozen=True)
class RecordedResult:
    """A result, and the folder that has its records.

    With `allow_invalid` a report that has failures counts INVALID as none, with `strict` what is undecided as one.
    """

    result: Result
    folder: Path
    allow_invalid: bool = False
    strict: bool = False

    @cached_property
    def runs(self) -> tuple[RunRecords, ...]:
        """The records of every run, opened.

        Raises:
            RecordingError: they are missing, cut short, or cannot be read.
        """
        return tuple(
            RunRecords(benchmark, run, opened_records(run, self.folder))
            for benchmark in self.result.benchmarks
            for run in benchmark.runs
        )

    def check_kept(self) -> None:
        """See that what the runs kept of their records is there, for what a run makes of it.

        Raises:
            RecordingError: a file is missing, cut short, or cannot be read.
        """
        for benchmark in self.result.benchmarks:
            for run in benchmark.runs:
                kept_records(run, self.folder)

    @property
    def lacking(self) -> str:
        """Why records cannot be read; empty where all can."""
        try:
            _ = self.runs
        except RecordingError as error:
            return str(error)
        return ""


def opened_records(run: RunResult, folder: Path) -> tuple[RecordFile, ...]:
    """The record files of a run of a result in `folder`, all of what it sent in them.

    Raises:
        RecordingError: they are missing, cut short, or cannot be read.
    """
    if run.condensed:
        of_others = f" and {len(run.more_records)} more" if run.more_records else ""
        raise RecordingError(
            f"the {run.condensed.records:,} records of {run.records}{of_others} were condensed",
            cause="they were more than --max-records, and are not there one by one",
            next_step="run again with a greater --max-records where the disk holds them",
        )
    return kept_records(run, folder)


def kept_records(run: RunResult, folder: Path) -> tuple[RecordFile, ...]:
    """The record files of a run of a result in `folder`, with all that was kept: nothing where they were condensed.

    Raises:
        RecordingError: they are missing, cut short, or cannot be read.
    """
    from servemark.record_header import COPY_WHOLE
    from servemark.records import open_records

    files = tuple(open_records(folder / name) for name in run.record_files)
    rows, sent = sum(file.rows for file in files), sum(step.requests for step in run.steps)
    if rows < sent and not run.condensed:
        raise RecordingError(
            f"the records in {', '.join(str(file.path) for file in files)} are cut short",
            cause=f"they have {rows} of the {sent} requests of the result",
            next_step=COPY_WHOLE,
        )
    return files
