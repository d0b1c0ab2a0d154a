"""A result as HTML, for a notebook: what the terminal has, in its words, and a chart.

It is one piece, without scripts or style sheets, and asks nothing of the network. Nobody's words are more than text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

from rich.text import Text

from servemark.printable import printable_in
from servemark.report.comparison import comparison_lines
from servemark.report.curve import percentile_curves
from servemark.report.layout import Columns, Fact, Line, texts_of
from servemark.report.terminal import legend_of, summary_lines
from servemark.result import Result

_CELL = 'style="text-align: {}; padding: 0 0.8em 0 0; vertical-align: top; white-space: {}"'


def result_html(result: Result, folder: Path) -> str:
    """`result` as a page shows it: answer, table, certificate and chart of each benchmark, and where it is."""
    result, shown_folder = printable_in((result, str(folder)))
    return "".join(['<div class="servemark-result">', *_parts(result, shown_folder), "</div>"])


def _parts(result: Result, folder: str) -> Iterator[str]:
    for benchmark in result.benchmarks:
        lines = list(summary_lines(result, benchmark))
        yield from _of_lines([*lines, *legend_of(texts_of(lines))])
        yield percentile_curves(benchmark)
    if result.comparison is not None:
        yield from _of_lines(list(comparison_lines(result.comparison)))
    facts = [Fact(f"{one.name}: skipped", one.reason) for one in result.skipped]
    facts += [Fact("ended by", result.error)] if result.error else []
    yield from _of_lines([*facts, Fact("results", folder)])


def _of_lines(lines: Iterable[Line]) -> Iterator[str]:
    """`lines` as HTML; facts that follow one another are one table."""
    facts: list[Fact] = []
    for line in lines:
        if isinstance(line, Fact):
            facts.append(line)
            continue
        yield _facts(facts)
        facts = []
        if isinstance(line, Columns):
            yield _table(line)
        elif isinstance(line, Text):  # what is drawn of characters is the SVG's
            yield _text(line)
    yield _facts(facts)


def _text(text: Text) -> str:
    return f"<div>{_emphasised(text)}</div>" if text.plain else ""


def _emphasised(text: Text) -> str:
    styles = (str(style) for style in (text.style, *(span.style for span in text.spans)))
    words = escape(text.plain)
    return f"<strong>{words}</strong>" if any("bold" in style for style in styles) else words


def _facts(facts: Iterable[Fact]) -> str:
    rows = (
        f"<tr><td {_CELL.format('left', 'nowrap')}>{escape(fact.label)}</td>"
        f"<td {_CELL.format('left', 'normal')}>{_emphasised(fact.text)}</td></tr>"
        for fact in facts
    )
    body = "".join(rows)
    return f"<table>{body}</table>" if body else ""


def _table(table: Columns) -> str:
    cells = [_CELL.format("left" if at_the_left else "right", "nowrap") for at_the_left in table.at_the_left]
    heading = "".join(f"<th {how}>{escape(text)}</th>" for how, text in zip(cells, table.headings, strict=True))
    rows = (
        "".join(f"<td {how}>{escape(text)}</td>" for how, text in zip(cells, row, strict=True)) for row in table.rows
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{body}</tbody></table>"
