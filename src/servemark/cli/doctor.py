"""``servemark doctor``: what this machine lacks, with the fix beside it. Standard library only, see the package."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

from servemark.cli.json_output import print_json
from servemark.cli.options import Parser, listing_parser
from servemark.doctor import Diagnosis, Status, diagnose, main_job_can_run
from servemark.errors import EXIT_OK, EXIT_SERVER_FAILED
from servemark.version import version

SCHEMA = "servemark/doctor/1"
_WIDTH = 80
_TITLE_WIDTH = 20
_LABELS: dict[Status, str] = {"ok": "ok", "warning": "warning", "failure": "FAILURE", "not_applicable": "-"}
_COLOURS: dict[Status, str] = {"ok": "32", "warning": "33", "failure": "1;31", "not_applicable": "2"}
_EPILOG = """\
A FAILURE means that ./benchmark.py latency could not run; a warning, that an
option could not, or that figures would be worse than they need be.

exit status: 0 ./benchmark.py latency can run, 4 it cannot, 2 usage
"""


def doctor_parser(prog: str) -> Parser:
    """The parser of ``servemark doctor``."""
    return listing_parser(prog, "Check what servemark needs of this machine. Nothing is changed.", _EPILOG, SCHEMA)


def main(words: list[str], prog: str) -> int:
    """Check this machine; returns the exit status."""
    arguments = doctor_parser(prog).parse_args(words)
    diagnoses = diagnose()
    if arguments.json:
        print_json(json.dumps(document(diagnoses), indent=2) + "\n")
    else:
        print("\n".join(_lines(diagnoses, coloured=_is_coloured())))
    return EXIT_OK if main_job_can_run(diagnoses) else EXIT_SERVER_FAILED


def document(diagnoses: Sequence[Diagnosis]) -> dict[str, object]:
    """What ``--json`` prints, by the schema ``doctor.schema.json``."""
    return {
        "schema": SCHEMA,
        "version": version(),
        "main_job_can_run": main_job_can_run(diagnoses),
        "checks": [
            {
                "name": check.name,
                "status": finding.status,
                "found": finding.found,
                "why": check.why,
                "fix": finding.fix or None,
            }
            for check, finding in ((diagnosis.check, diagnosis.finding) for diagnosis in diagnoses)
        ],
    }


def _is_coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _lines(diagnoses: Sequence[Diagnosis], *, coloured: bool) -> Iterator[str]:
    for diagnosis in diagnoses:
        check, finding = diagnosis.check, diagnosis.finding
        label = f"{_LABELS[finding.status]:9}"
        if coloured:
            label = f"\x1b[{_COLOURS[finding.status]}m{label}\x1b[0m"
        first, *others = _wrapped(finding.found)
        yield f"{label}{check.title:{_TITLE_WIDTH}}{first}"
        remarks = [f"why: {check.why}", f"fix: {finding.fix}"] if finding.fix else []
        for line in [*others, *(line for remark in remarks for line in _wrapped(remark, "     "))]:
            yield " " * (9 + _TITLE_WIDTH) + line
    yield ""
    yield _verdict(diagnoses)


def _wrapped(text: str, indent: str = "") -> list[str]:
    # What is found may hold anything: a folder's name, say, must not steer the terminal.
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    width = _WIDTH - 9 - _TITLE_WIDTH
    return textwrap.wrap(shown, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _verdict(diagnoses: Sequence[Diagnosis]) -> str:
    counts = {
        status: sum(diagnosis.finding.status == status for diagnosis in diagnoses) for status in ("failure", "warning")
    }
    words = [f"{number} {word}{'' if number == 1 else 's'}" for word, number in counts.items() if number]
    can = "cannot" if counts["failure"] else "can"
    return f"./benchmark.py latency {can} run; {', '.join(words) or 'nothing to remark'}"
