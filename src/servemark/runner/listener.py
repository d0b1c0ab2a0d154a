"""Who is told what happens during a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from servemark.report.progress import RunUnderWay
from servemark.result import BenchmarkResult


@dataclass(frozen=True)
class Listener:
    """Who is told what happens.

    `note` takes a line for people, `log` a line of detail (commands, management calls, the server's log), `progress`
    the run under way, some times a second, and `measured` each benchmark of a suite when it is there. `place` takes in
    words where the invocation stands: at 0 in its suite, at 1 among the points, trials or probes of that benchmark.
    """

    note: Callable[[str], None] = lambda _line: None
    log: Callable[[str], None] | None = None
    progress: Callable[[RunUnderWay], None] = lambda _run: None
    place: Callable[[int, str], None] = lambda _depth, _words: None
    measured: Callable[[BenchmarkResult], None] = lambda _benchmark: None
