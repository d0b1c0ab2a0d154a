"""A result as Markdown, for a comment on a pull request: the answers first, then what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from rich.text import Text

from servemark.printable import printable_in
from servemark.report.comparison import comparison_in_words, details_of_comparison
from servemark.report.inside import HEADINGS, rows_of_inside
from servemark.report.layout import Columns, Fact, Line, texts_of
from servemark.report.objectives import answer, seen
from servemark.report.recorded import RecordedResult
from servemark.report.suite import HEADINGS as HEADINGS_OF_SUITE
from servemark.report.suite import answer_of_suite, rows_of_suite
from servemark.report.terminal import figure_lines, headline, legend_of
from servemark.report.words import named
from servemark.result import BenchmarkResult, Result

#: What Markdown or HTML would take for its own, and where a URL that stands there would become a link.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~@&]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the answers of the result to `out`."""
    out.write(markdown_text(recorded.result))


def markdown_text(result: Result) -> str:
    """`result` as GitHub and GitLab show it; whoever's words are in it stay words."""
    return "\n".join(_lines(printable_in(result))) + "\n"


def _lines(result: Result) -> Iterator[str]:
    if result.comparison is not None:
        yield f"**{_plain(comparison_in_words(result.comparison))}**"
        yield ""
    rows = rows_of_suite(result, headline)
    if rows:
        yield f"**{_plain(answer_of_suite(result, rows))}**"
        yield ""
        yield from _table(HEADINGS_OF_SUITE, [row.cells for row in rows])
    for benchmark in result.benchmarks:
        yield from _of_benchmark(benchmark)
    for skipped in () if rows else result.skipped:
        yield f"{_plain(skipped.name)}: skipped: {_plain(skipped.reason)}"
        yield ""
    if result.comparison is not None:
        details = list(details_of_comparison(result.comparison))
        yield from _as_printed([*details, *legend_of(texts_of(details))])
    environment = result.environment
    cpus = f"{environment.cpus} CPUs" if environment.cpus else "CPUs unknown"
    machine = f"{environment.cpu_model or environment.machine}, {cpus}, {environment.os}"
    yield f"<sub>{_plain(f'servemark {result.tool.version}; {machine}; result {result.id}')}</sub>"


def _of_benchmark(benchmark: BenchmarkResult) -> Iterator[str]:
    for line in answer(benchmark) if benchmark.capacity is None else ():  # of a search the capacity answers
        yield f"**{_plain(line.plain)}**"
        yield ""
    yield f"**{_plain(headline(benchmark).plain)}**"
    yield ""
    yield from _figures(benchmark)
    rows = [
        [verdict.question, verdict.outcome, seen(verdict)]
        for verdict in benchmark.verdicts
        if verdict.outcome != "finding"
    ]
    yield from _table([f"{named(benchmark)}: question", "outcome", "answer"], rows)
    yield from _table(HEADINGS, list(rows_of_inside(benchmark)))
    certificate = benchmark.certificate
    if certificate is not None:
        failed = [f"{check.name}: {check.reason}" for check in certificate.checks if check.passed is False]
        told = "valid" if certificate.valid else f"INVALID: {'; '.join(failed)}"
        if certificate.is_imported:
            told = f"none: {'; '.join(check.reason for check in certificate.checks)}"
        yield f"Certificate: {_plain(told)}"
        yield ""


def _figures(benchmark: BenchmarkResult) -> Iterator[str]:
    """The figures that matter with their intervals, as a list; nothing of a search, whose answer has them."""
    lines = figure_lines(benchmark) if benchmark.runs and benchmark.capacity is None else ()
    facts = [line for line in lines if isinstance(line, Fact)]
    yield from _as_printed([*facts, *legend_of(texts_of(facts))])


def _as_printed(lines: Sequence[Line]) -> Iterator[str]:
    """What is printed, as lists, tables and what stands above them; what is drawn of characters is left out."""
    for is_list, some in groupby(lines, lambda line: isinstance(line, Fact)):
        for line in some:
            if isinstance(line, Fact):
                yield f"- {_plain(f'{line.label}: {line.text.plain}')}"
            elif isinstance(line, Columns):
                yield from _table(line.headings, line.rows)
            elif isinstance(line, Text) and line.plain:
                yield f"**{_plain(line.plain)}**"
                yield ""
        if is_list:
            yield ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(map(_plain, heading))} |"
    yield f"|{' --- |' * len(heading)}"
    for row in rows:
        yield f"| {' | '.join(map(_plain, row))} |"
    yield ""


def _plain(text: str) -> str:
    """`text` on one line, without anything that is more than text."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
