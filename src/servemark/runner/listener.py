"""Who is told what happens during a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from servemark.engines import ProgressReport
from servemark.result import BenchmarkResult
from servemark.workload.load import Load


@dataclass(frozen=True)
class Listener:
    """Who is told what happens.

    `note` takes a line for people, `log` a line of detail (commands, management calls, the server's log), `progress`
    the counts of the run under way, with the load that it is of and how far its figures are, and `measured` each
    benchmark of a suite when it is there.
    """

    note: Callable[[str], None] = lambda _line: None
    log: Callable[[str], None] | None = None
    progress: Callable[[ProgressReport, Load, str], None] = lambda _report, _load, _words: None
    measured: Callable[[BenchmarkResult], None] = lambda _benchmark: None
