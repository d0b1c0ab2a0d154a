"""What the rows of a file for other tools are called: their step, with what tells it from those of other runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from servemark.printable import printable
from servemark.result import BenchmarkResult, Result, RunResult, told_apart


@dataclass(frozen=True)
class Labels:
    """The labels of a run's steps: what stands before the name of each, and behind it."""

    before: str
    behind: str

    def of(self, step: str) -> str:
        """The label of the step of that name."""
        return printable(f"{self.before}{step} {self.behind}".strip())


def labels_of_answering(result: Result) -> Iterator[tuple[RunResult, Labels]]:
    """The runs that answer for their points: their labels tell benchmarks and points apart."""
    for before, benchmark in _named(result):
        yield from ((run, Labels(before, _point(run))) for run in benchmark.answering.values())


def labels_of_all(result: Result) -> Iterator[tuple[RunResult, Labels]]:
    """All runs: their labels tell those of a point apart, too, by the number that each has there."""
    for before, benchmark in _named(result):
        runs_of = Counter(map(_point, benchmark.runs))
        for run in benchmark.runs:
            trial = f" trial={run.trial}" if runs_of[_point(run)] > 1 else ""
            yield run, Labels(before, f"{_point(run)}{trial}".strip())


def _named(result: Result) -> Iterator[tuple[str, BenchmarkResult]]:
    """The benchmarks behind what their labels begin with, where there are several."""
    names = told_apart(map(_name, result.benchmarks))
    several = len(names) > 1
    yield from ((f"{name}: " if several else "", one) for name, one in zip(names, result.benchmarks, strict=True))


def _name(benchmark: BenchmarkResult) -> str:
    """The benchmark, with its model or the whole of its endpoint: several may be of one host."""
    url = urlsplit(benchmark.options.url or "")
    return f"{benchmark.name} {benchmark.model or url.netloc + url.path}".strip()


def _point(run: RunResult) -> str:
    return " ".join(f"{name}={value}" for name, value in run.point.items())
