"""The manual page: the parsers of all commands as roff, with the macros of man(7). Standard library only."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from servemark.cli import SUBCOMMANDS
from servemark.cli.commands import NAME, Command, commands
from servemark.cli.completion import FIRST_OPTIONS, INSTALL, SHOW
from servemark.cli.own_files import MADE_BY
from servemark.cli.parser import Parser, is_listed
from servemark.version import version

_TITLE = "measure how fast a model server really is"
_ABOUT = """\
servemark measures model servers, and any HTTP endpoint, with a load generator of its own, and says of each measurement
whether its numbers can be trusted.

It runs a server with a model of the zoo or of yours, measures one that runs already, or any URL. What was measured is
in a folder below servemark-results, and listed by the history.
"""
#: Commands whose options are those of another one, and more.
_LIKE = {"capacity": "run"}
#: What an epilog says before its examples.
_BEFORE_EXAMPLES = re.compile(r"\A.*?(?=^examples:)", re.MULTILINE | re.DOTALL)
#: Of a line in the source.
_WIDTH = 70


def manual_page() -> str:
    """servemark(1), of all commands."""
    return "\n".join(_lines(list(commands()))) + "\n"


def _lines(known: Sequence[Command]) -> Iterator[str]:
    yield f'.\\" {MADE_BY} {version()}: servemark man'
    yield f'.TH SERVEMARK 1 "" "servemark {_text(version())}" "User Commands"'
    yield ".SH NAME"
    yield f"servemark \\- {_text(_TITLE)}"
    yield ".SH SYNOPSIS"
    yield f"\\fB{NAME}\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]"
    yield ".SH DESCRIPTION"
    yield from list(_prose(_ABOUT))[1:]  # a section begins with a paragraph of its own
    yield ".SH COMMANDS"
    for name, summary in SUBCOMMANDS.items():
        yield from _tagged(f"\\fB{_text(name)}\\fR", _sentence(summary))
    yield ".SH OPTIONS"
    yield "These stand in the place of a command; those of each command are below."
    for flag, summary in FIRST_OPTIONS.items():
        value = " \\fISHELL\\fR" if flag in (INSTALL, SHOW) else ""
        yield from _tagged(f"\\fB{_text(flag)}\\fR{value}", _sentence(summary))
    by_name = {" ".join(command.words): command for command in known}
    for name, command in by_name.items():
        yield from _command(command, by_name.get(_LIKE.get(name, "")))


def _command(command: Command, like: Command | None) -> Iterator[str]:
    """The section of a command; of one that is `like` another only what it has more."""
    name = f"{NAME} {' '.join(command.words)}"
    yield f'.SH "{_text(name.upper())}"'
    usage = command.parser.format_usage().removeprefix("usage: ")
    yield f"\\fB{_text(name)}\\fR {_text(' '.join(usage.split()).removeprefix(name).strip())}".rstrip()
    if like is not None:
        yield ".PP"
        yield from _flowing(_sentence(command.summary))
        refused = [_flags(action)[-1] for action in command.parser._actions if not is_listed(action)]
        but = f", but for {', '.join(refused)}" if refused else ""
        yield from _flowing(f"It has the options of {NAME} {' '.join(like.words)}{but}; and:")
        yield from _arguments(command.parser, {flag for action in like.parser._actions for flag in _flags(action)})
        yield from _prose(_BEFORE_EXAMPLES.sub("", command.parser.epilog or ""))
        return
    yield from _prose(command.parser.description or "")
    yield from _arguments(command.parser, set())
    yield from _prose(command.parser.epilog or "")


def _flags(action: argparse.Action) -> Sequence[str]:
    """What an argument is called: its flags, or where it has none, its name."""
    return action.option_strings or (action.dest,)


def _arguments(parser: Parser, known: set[str]) -> Iterator[str]:
    """The arguments of `parser` that are not `known`, under the headings of its help."""
    usual = (parser._positionals, parser._optionals)
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if not known & set(_flags(action))]
        if shown and group not in usual:
            yield f'.SS "{_text(_capital(group.title or ""))}"'
        for action in shown:
            told = parser._get_formatter()._expand_help(action)
            yield from _tagged(_called(parser, action), _sentence(told))


def _called(parser: Parser, action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else parser._get_formatter()._format_args(action, _value_name(action))
    if not action.option_strings:
        return f"\\fI{_text(_value_name(action))}\\fR"
    behind = f" \\fI{_text(value)}\\fR" if value else ""
    return ", ".join(f"\\fB{_text(flag)}\\fR{behind}" for flag in action.option_strings)


def _value_name(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "|".join(map(str, action.choices))
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _tagged(tag: str, text: str) -> Iterator[str]:
    yield from (".TP", tag, *_flowing(text))


def _prose(text: str) -> Iterator[str]:
    """`text` as paragraphs; lines that are indented stay as they are."""
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", text)):
        yield ".PP"
        for literal, lines in groupby(paragraph.strip("\n").splitlines(), key=lambda line: line.startswith(" ")):
            if literal:
                yield from (".nf", *map(_text, lines), ".fi")
            else:
                yield from _flowing(" ".join(lines))


def _sentence(text: str) -> str:
    return f"{_capital(text)}."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _flowing(text: str) -> Iterator[str]:
    """`text` in lines that man fills as it likes."""
    return map(_text, textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _text(text: str) -> str:
    """`text` as roff has it: nothing in it is a request, an escape or a hyphen that is no minus."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped
