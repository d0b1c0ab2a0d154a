"""``servemark doctor``: what this machine lacks, with the fix beside it. Standard library only, see the package."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence

from servemark.cli.called import measuring
from servemark.cli.json_output import print_json
from servemark.cli.lines import terminal_width, wrapped
from servemark.cli.options import Parser, listing_parser
from servemark.doctor import Diagnosis, Status, diagnose, main_job_can_run
from servemark.errors import EXIT_OK, EXIT_SERVER_FAILED
from servemark.printable import printable
from servemark.terminals import takes_escapes
from servemark.version import version

SCHEMA = "servemark/doctor/1"
_TITLE_WIDTH = 20
#: On a narrower terminal what was found stands below its title, so that paths and commands stay in one piece.
_WIDE = 80
_LABELS: dict[Status, str] = {"ok": "ok", "warning": "warning", "failure": "FAILURE", "not_applicable": "-"}
_COLOURS: dict[Status, str] = {"ok": "32", "warning": "33", "failure": "1;31", "not_applicable": "2"}
_EPILOG = """\
A FAILURE means that this could not run: {measure} latency
A warning, that an option could not, or that figures would be worse than they
need be.

exit status: 0 that can run, 4 it cannot, 2 usage
"""


def doctor_parser(prog: str) -> Parser:
    """The parser of ``servemark doctor``."""
    epilog = _EPILOG.format(measure=measuring(prog))
    return listing_parser(prog, "Check what servemark needs of this machine. Nothing is changed.", epilog, SCHEMA)


def main(words: list[str], prog: str) -> int:
    """Check this machine; returns the exit status."""
    arguments = doctor_parser(prog).parse_args(words)
    diagnoses = diagnose()
    if arguments.json:
        print_json(json.dumps(document(diagnoses), indent=2) + "\n")
    else:
        print("\n".join(_lines(diagnoses, measuring(prog), coloured=_is_coloured())))
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
    return takes_escapes(sys.stdout) and not os.environ.get("NO_COLOR")


def _lines(diagnoses: Sequence[Diagnosis], measure: str, *, coloured: bool) -> Iterator[str]:
    for diagnosis in diagnoses:
        check, finding = diagnosis.check, diagnosis.finding
        label = f"{_LABELS[finding.status]:9}"
        if coloured:
            label = f"\x1b[{_COLOURS[finding.status]}m{label}\x1b[0m"
        beside = terminal_width() >= _WIDE
        at = 9 + _TITLE_WIDTH if beside else 9
        first, *others = _wrapped(finding.found, at) if beside else ["", *_wrapped(finding.found, at)]
        yield f"{label}{check.title:{_TITLE_WIDTH}}{first}".rstrip()
        remarks = [f"why: {check.why}", f"fix: {finding.fix}"] if finding.fix else []
        for line in [*others, *(line for remark in remarks for line in _wrapped(remark, at, "     "))]:
            yield " " * at + line
    yield ""
    yield _verdict(diagnoses, measure)


def _wrapped(text: str, at: int, indent: str = "") -> list[str]:
    # What is found may hold anything: a folder's name, say, must not steer the terminal.
    return wrapped(printable(text), behind=at, indent=indent)


def _verdict(diagnoses: Sequence[Diagnosis], measure: str) -> str:
    counts = {
        status: sum(diagnosis.finding.status == status for diagnosis in diagnoses) for status in ("failure", "warning")
    }
    words = [f"{number} {word}{'' if number == 1 else 's'}" for word, number in counts.items() if number]
    can = "cannot" if counts["failure"] else "can"
    return f"{measure} latency {can} run; {', '.join(words) or 'nothing to remark'}"
