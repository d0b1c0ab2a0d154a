"""A suite as a table: a row a benchmark, what came of it or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.text import Text

from servemark.report.layout import Columns
from servemark.report.words import named
from servemark.result import BenchmarkResult, Result
from servemark.terminals import shortened

#: How far an entry came, in words, with its style; of one that is done the certificate says more.
_WORDS = {
    "done": ("done", "green"),
    "failed": ("FAILED", "bold red"),
    "partial": ("PARTIAL", "bold yellow"),
    "skipped": ("skipped", "yellow"),
    "not run": ("not run", "yellow"),
}
_INVALID = ("INVALID", "bold red")
#: Of a benchmark's name with its models, beyond which it stands alone: there has to be room for what came of it.
_LONGEST_NAME = 32
#: Of why one was skipped.
_LONGEST_REASON = 1000


def table_of_suite(result: Result, headline: Callable[[BenchmarkResult], Text]) -> Columns:
    """All benchmarks of a suite in their order, whatever became of them; `headline` is the first line of one."""
    table = Columns("", "benchmark", "result", left=("benchmark", "result"), wraps=True)
    for (status, style), name, text in _rows(result, headline):
        table.add_row(status, name, text, style=style)
    return table


def _rows(result: Result, headline: Callable[[BenchmarkResult], Text]) -> Iterator[tuple[tuple[str, str], str, str]]:
    benchmarks, skipped = iter(result.benchmarks), iter(result.skipped)
    for entry in result.suite.entries if result.suite else ():
        if entry.status == "skipped":
            yield _WORDS["skipped"], entry.name, shortened(next(skipped).reason, _LONGEST_REASON)
        elif entry.status == "not run":
            yield _WORDS["not run"], entry.name, ""
        else:
            benchmark = next(benchmarks)
            valid = benchmark.certificate is None or benchmark.certificate.valid
            word = _WORDS[entry.status] if valid or entry.status != "done" else _INVALID
            name = named(benchmark)
            short = name if len(name) <= _LONGEST_NAME else benchmark.name
            yield word, short, headline(benchmark).plain.partition(f"{name}: ")[2]
