"""A suite in a sentence, and as rows: of each benchmark how far it came, and what came of it or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.text import Text

from servemark.report.layout import Columns
from servemark.report.words import named
from servemark.result import BenchmarkResult, Result
from servemark.terminals import shortened

#: The words for how far an entry came, each with its style; for one that is done, what came of it may say more.
_WORDS = {
    "done": ("done", "green"),
    "failed": ("FAILED", "bold red"),
    "partial": ("PARTIAL", "bold yellow"),
    "skipped": ("skipped", "yellow"),
    "not run": ("not run", "yellow"),
}
_INVALID, _MISSED, _OTHER_MISSED = ("INVALID", "bold red"), ("SLO missed", "bold red"), ("missed", "bold red")
#: What the sentence names, the worst first: the words of rows, and how it says them.
_NAMED = {
    "FAILED": "FAILED",
    "INVALID": "INVALID",
    "SLO missed": "SLO missed",
    "missed": "missed what was asked",
    "PARTIAL": "PARTIAL",
    "skipped": "skipped",
    "not run": "not run",
}
_BAD = {"FAILED", "INVALID", "SLO missed", "missed"}
#: Of the names of what is not as it should be, so many of each kind.
_MOST_NAMED = 5
#: Of a benchmark's name with its models, beyond which it stands alone: there has to be room for what came of it.
_LONGEST_NAME = 32
#: Of why one was skipped.
_LONGEST_REASON = 1000
HEADINGS = ("", "benchmark", "result")


@dataclass(frozen=True)
class SuiteRow:
    """An entry of a suite: what is said of how far it came, its name, and what came of it.

    `place` is that of its benchmark among those of the result; None where it has none.
    """

    status: str
    style: str
    name: str
    text: str
    place: int | None

    @property
    def cells(self) -> tuple[str, str, str]:
        """The row of a table."""
        return self.status, self.name, self.text


def has_rows(result: Result) -> bool:
    """Whether there are several entries to be told apart, or any was skipped."""
    return result.suite is not None and (len(result.suite.entries) > 1 or bool(result.skipped))


def rows_of_suite(result: Result, headline: Callable[[BenchmarkResult], Text]) -> tuple[SuiteRow, ...]:
    """All entries of a suite in their order, whatever became of them; `headline` is the first line of a benchmark."""
    return tuple(_rows(result, headline)) if has_rows(result) else ()


def table_of_suite(rows: tuple[SuiteRow, ...]) -> Columns:
    """The rows as a table."""
    table = Columns(*HEADINGS, left=HEADINGS[1:], wraps=True)
    for row in rows:
        table.add_row(*row.cells, style=row.style)
    return table


def answer_of_suite(result: Result, rows: tuple[SuiteRow, ...]) -> str:
    """How many entries are done, and which of them are not as they should be, in a sentence."""
    done = sum(row.status not in {"FAILED", "PARTIAL", "skipped", "not run"} for row in rows)
    parts = [f"{done} of {len(rows)} done"]
    for status, called in _NAMED.items():
        names = [row.name for row in rows if row.status == status]
        more = len(names) - _MOST_NAMED
        told = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        parts += [f"{called}: {told}"] if names else []
    return f"suite {result.suite.name if result.suite else ''}: {'; '.join(parts)}"


def outcome_of_suite(rows: tuple[SuiteRow, ...]) -> str:
    """The outcome of all entries together: missed where one is bad, undecided where one is not done, else nothing."""
    states = {row.status for row in rows}
    return "missed" if states & _BAD else "undecided" if states - {"done"} else ""


def _rows(result: Result, headline: Callable[[BenchmarkResult], Text]) -> Iterator[SuiteRow]:
    benchmarks, skipped = iter(enumerate(result.benchmarks)), iter(result.skipped)
    for entry in result.suite.entries if result.suite else ():
        text, found = "", None
        if entry.status == "skipped":
            why = next(skipped, None)
            text = "" if why is None else shortened(why.reason, _LONGEST_REASON)
        elif entry.status != "not run":
            found = next(benchmarks, None)
        if found is None:
            yield SuiteRow(*_WORDS[entry.status], entry.name, text, None)
        else:
            place, benchmark = found
            name = named(benchmark)
            known = entry.name if name == benchmark.name else name  # one that failed early does not know its URL
            short = known if len(known) <= _LONGEST_NAME else benchmark.name
            word = _done(benchmark) if entry.status == "done" else _WORDS[entry.status]
            yield SuiteRow(*word, short, headline(benchmark).plain.partition(f"{name}: ")[2], place)


def _done(benchmark: BenchmarkResult) -> tuple[str, str]:
    """What is said of a benchmark that came to its end."""
    missed = [verdict for verdict in benchmark.verdicts if verdict.outcome == "missed"]
    if benchmark.certificate is not None and not benchmark.certificate.valid:
        return _INVALID
    if missed:
        return _MISSED if any(verdict.objective for verdict in missed) else _OTHER_MISSED
    return _WORDS["done"]
