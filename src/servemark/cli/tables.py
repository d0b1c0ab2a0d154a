"""From the table of options to the parser of a subcommand, under the headings of its help. Standard library only."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from servemark.cli.parser import offer
from servemark.options.kinds import Kind
from servemark.options.table import Heading, Option

#: The headings of help, with what stands behind them.
_HEADINGS: dict[Heading, str] = {
    "server": "server (default: a Multi Model Server of our own)",
    "your own model": "your own model",
    "request": "request",
    "load": "load",
    "question": "question",
    "capacity": "capacity",
    "output": "output",
}


def add_options(
    parser: argparse.ArgumentParser, options: Iterable[Option], heading: Heading = ""
) -> argparse._ActionsContainer:
    """Add those of `options` that stand under `heading` to `parser`; returns that part of it, for more."""
    group = parser.add_argument_group(_HEADINGS[heading]) if heading else parser
    for option in options:
        if option.heading == heading:
            add_option(group, option)
    return group


def add_option(parser: argparse._ActionsContainer, option: Option) -> None:
    """Add one option to a parser, or to a group of its help."""
    settings: dict[str, Any] = dict(option.kind.settings())
    if settings.get("action") != "store_true":
        settings["type"] = reader(option.kind)
        settings.setdefault("default", option.default)
        if option.metavar:
            settings["metavar"] = option.metavar
    offer(parser.add_argument(*option.flags, help=option.help, **settings), option.offers)


def reader(kind: Kind) -> Callable[[str], Any]:
    """How argparse reads a value of `kind`."""

    def read(text: str) -> Any:
        try:
            return kind.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
