"""The pages of a proof: its parts, and how they are told in Markdown.

A section of ``PROOF.md`` belongs to a part of the proof, whose name stands before it, so that a part can be proven
again while the others stay as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judging import Finding
from measuring import MOST_TRIES, Sample

from bench.kept import Kept
from bench.machine import Machine

_MARK = re.compile(r"^<!-- part: ([\w-]+) -->\n", re.MULTILINE)
_OK, _FAILED = "| ok |", "| **FAILED** |"
_NOT_PROVEN = "**not proven**"


@dataclass(frozen=True)
class Section:
    """A section of the proof: what was run, what was found, how many runs were done again, and what became of the
    generator's real-time priority (empty where nothing was sent).

    `told` is what else there is to say, in Markdown, before what was judged. `unproven` is why nothing could be judged.
    """

    title: str
    run: str
    findings: Sequence[Finding]
    repeated: int = 0
    realtime: str = ""
    all_valid: bool = True
    told: str = ""
    unproven: str = ""

    @property
    def passed(self) -> bool:
        """Whether something was judged, every run was valid and every figure within its bounds."""
        return not self.unproven and self.all_valid and all(finding.passed for finding in self.findings)

    @property
    def mark(self) -> str:
        """Whether it passed, in a word."""
        return "ok    " if self.passed else "UNPROVEN" if self.unproven else "FAILED"


def section_of(title: str, run: str, samples: Sequence[Sample], findings: Sequence[Finding], told: str = "") -> Section:
    """The section that `samples`, each of which is to be valid, and what was found in them make."""
    repeated = sum(sample.tries - 1 for sample in samples)
    realtime = ", ".join(sorted({sample.realtime for sample in samples}))
    return Section(title, run, findings, repeated, realtime, all(sample.certificate.valid for sample in samples), told)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table whose first `left` columns are words, the others figures."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def part_text(name: str, sections: Sequence[Section], machine: Machine, kept: Kept) -> str:
    """A part of the proof, in Markdown; `machine` is that which it was proven on, when it was done.

    Tries of earlier sessions, which are `kept`, count with the time that they took then.
    """
    took_min = machine.minutes + kept.known_s / 60
    minutes = f"{took_min:.0f} minutes" if took_min >= 1.5 else f"{took_min * 60:.0f} s"
    earlier = f", {kept.known_s / 60:.0f} of them in earlier sessions" if kept.known_s >= 60 else ""
    commits = f" Its tries are of {', '.join(sorted(kept.commits))}." if kept.commits else ""
    took = (
        f"It took {minutes}{earlier} on {machine.in_words}; {machine.load_before:.1f} processes ran before, and the "
        f"hypervisor took {machine.steal:.1%} of the CPUs for others.{commits}"
    )
    texts = [_section_text(section) for section in sections]
    return f"<!-- part: {name} -->\n" + "\n".join([*texts, took + "\n"])


def parts_of(page_text: str) -> dict[str, str]:
    """The parts of a page, by name."""
    _, *marked = _MARK.split(page_text)
    return {
        name: f"<!-- part: {name} -->\n{text.strip()}\n" for name, text in zip(marked[::2], marked[1::2], strict=True)
    }


def page(parts: Mapping[str, str], intro: str) -> str:
    """The whole proof, in Markdown."""
    text = "\n".join(parts.values())
    failed = _titles_of(text, "**FAILED**")
    good = text.count(_OK)
    result = f"**FAILED**: {'; '.join(failed)}" if failed else f"all {good} figures are within their bounds"
    if unproven := _titles_of(text, _NOT_PROVEN):
        result += f"; {_NOT_PROVEN}: {'; '.join(unproven)}"
    return f"{intro}\nResult: {result}.\n\n{text}"


def _titles_of(text: str, mark: str) -> list[str]:
    """The titles of the sections that have `mark`."""
    sections = [section for section in re.split(r"^(?=## )", text, flags=re.MULTILINE) if mark in section]
    return re.findall(r"^## (.*)$", "\n".join(sections), re.MULTILINE)


def _section_text(section: Section) -> str:
    lines = [f"## {section.title}", "", f"{section.run}.", ""]
    if section.unproven:
        return "\n".join([*lines, f"{_NOT_PROVEN}: {section.unproven}.", ""])
    if section.realtime:
        lines += [f"Real-time priority: {section.realtime}. Runs done again: {section.repeated}.", ""]
    if not section.all_valid:
        lines += [f"**FAILED**: a run was INVALID {MOST_TRIES} times.", ""]
    if section.told:
        lines += [section.told, ""]
    lines += ["| what | figure | truth | bounds | |", "| --- | ---: | ---: | --- | --- |"]
    for found in section.findings:
        values = (found.figure, found.truth, found.low, found.high)
        figure, truth, low, high = (_in_words(value, found.unit) for value in values)
        bounds = "the same" if found.low == found.high else f"{low} to {high}"
        mark = _OK if found.passed else _FAILED
        lines.append(f"| {found.what} | {figure} {found.unit}".rstrip() + f" | {truth} | {bounds} {mark}")
    return "\n".join(lines) + "\n"


def _in_words(value: float, unit: str) -> str:
    """A value of a table: counts in full, all else to five digits."""
    if math.isinf(value):
        return "any"
    return f"{value:,.0f}" if float(value).is_integer() and not unit else f"{value:.5g}"
