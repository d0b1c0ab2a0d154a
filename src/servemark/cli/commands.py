"""Every command with its parser: what the man page and completion are made of. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from servemark.cli import SUBCOMMANDS
from servemark.cli.parser import Parser

#: How the program is called where nobody has called it.
NAME = "servemark"


@dataclass(frozen=True)
class Command:
    """A command: the words that name it (``history list``), the line of the overview, and the parser of the rest."""

    words: tuple[str, ...]
    summary: str
    parser: Parser


def commands() -> Iterator[Command]:
    """All commands in the order of the overview; one that has commands of its own is these."""
    from servemark.cli.history import COMMANDS, history_parser

    for name, summary in SUBCOMMANDS.items():
        if name == "history":
            for own, line in COMMANDS.items():
                yield Command((name, own), line, history_parser(own, f"{NAME} {name} {own}"))
        else:
            yield Command((name,), summary, _parser(name, f"{NAME} {name}"))


def _parser(name: str, prog: str) -> Parser:
    from servemark.cli.ab import ab_parser
    from servemark.cli.calibrate import calibrate_parser
    from servemark.cli.compare import compare_parser
    from servemark.cli.doctor import doctor_parser
    from servemark.cli.man import man_parser
    from servemark.cli.models import models_parser
    from servemark.cli.options import run_parser
    from servemark.cli.report import report_parser
    from servemark.cli.serve_options import serve_parser

    if name == "capacity":
        return run_parser(prog, searches=True)
    parsers = {
        "run": run_parser,
        "serve": serve_parser,
        "ab": ab_parser,
        "calibrate": calibrate_parser,
        "compare": compare_parser,
        "report": report_parser,
        "models": models_parser,
        "doctor": doctor_parser,
        "man": man_parser,
    }
    return parsers[name](prog)
