"""The page: what stands in it, and its text. What is not ours in it is escaped by the template, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich.text import Text

from servemark.report.html.charts import CONFIG, Chart
from servemark.report.layout import Columns, Fact, Line

_HERE = Path(__file__).parent
#: In a script what is no tag must not look like one.
_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True)
class Labelled:
    """A line with its label."""

    label: str
    text: str


@dataclass(frozen=True)
class Block:
    """One thing of a summary: lines with labels, a table, or a text; the others are empty."""

    text: str = ""
    facts: tuple[Labelled, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A sentence that answers; `outcome` is met, missed, undecided or empty."""

    text: str
    outcome: str = ""


@dataclass(frozen=True)
class Band:
    """What has to be known of all that stands on the page: `kind` is valid, invalid or unsure."""

    kind: str
    facts: tuple[Labelled, ...]


@dataclass(frozen=True)
class RunCharts:
    """The charts of one of several runs."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Entry:
    """A row that leads to a section: its cells, the first of which is a word for how it stands, and the `anchor` of the
    section; empty where it has none.
    """

    cells: tuple[str, ...]
    anchor: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What the page says of one benchmark, or of one question; what is empty is left out.

    Attributes:
        anchor: what links on the page call it.
        answers: sentences, the first of them the largest.
        entries: rows that lead to other sections, below `headings_of_entries`.
        measured: what was measured, on what, in lines.
        figures: those that matter, with their intervals.
        conditions: of an objective, each with its outcome and what was seen.
        steps: a table that sorts.
        tokens: tables of answers that were read for their tokens, which sort.
        checks: of the certificate, each with its outcome and what was found.
        notes: what is lacking, in lines.
    """

    title: str
    answers: tuple[Answer, ...]
    anchor: str = ""
    entries: tuple[Entry, ...] = ()
    headings_of_entries: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    figures: tuple[Block, ...] = ()
    band: Band | None = None
    conditions: tuple[tuple[str, ...], ...] = ()
    charts: tuple[Chart, ...] = ()
    summary: tuple[Block, ...] = ()
    steps: Block | None = None
    tokens: tuple[Block, ...] = ()
    runs: tuple[RunCharts, ...] = ()
    notes: tuple[str, ...] = ()
    checks: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page; `kind` says what it is, for its head."""

    title: str
    kind: str
    sections: tuple[Section, ...]
    footer: tuple[str, ...] = ()
    command: str = ""

    @property
    def has_charts(self) -> bool:
        """Whether there is anything to be drawn."""
        return any(section.charts or section.runs for section in self.sections)


def page_text(page: Page, library: str) -> str:
    """`page` as HTML that needs nothing else; `library` is the JavaScript that draws."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["as_json"] = _as_json
    return environment.get_template("page.html").render(
        page=page,
        config=CONFIG,
        style=_ours((_HERE / "style.css").read_text(encoding="utf-8")),
        script=_ours((_HERE / "page.js").read_text(encoding="utf-8")),
        library=_ours(library.replace("</script", "<\\/script")),
    )


def _as_json(value: Any) -> Markup:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _ours(text.translate(_IN_SCRIPT))


def _ours(text: str) -> Markup:
    """`text` as it is: it is ours, or in it nothing is left that could be taken for a tag."""
    return Markup(text)  # noqa: S704


def blocks_of(lines: Sequence[Line]) -> tuple[Block, ...]:
    """Lines as they are printed, as blocks: what has labels and follows one another together.

    What is drawn of characters is left out.
    """
    found: list[Block] = []
    for line in lines:
        if isinstance(line, Fact):
            last = found.pop() if found and found[-1].facts else Block()
            found.append(Block(facts=(*last.facts, Labelled(line.label, line.text.plain))))
        elif isinstance(line, Columns):
            found.append(Block(headings=line.headings, rows=line.rows))
        elif isinstance(line, Text) and line.plain:
            found.append(Block(text=line.plain))
    return tuple(found)
