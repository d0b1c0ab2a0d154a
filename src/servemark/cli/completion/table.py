"""What can be completed: commands, their options and words, and what may stand for each. Standard library only."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servemark.cli.commands import Command, commands
from servemark.cli.parser import Parser, is_listed, offered

#: Whether a path may stand there: any, or only that of a folder.
Paths = Literal["none", "any", "folders"]
#: What stands for a path in help.
_ANY, _FOLDER = {"FILE", "PATH", "RESULT"}, "DIR"
#: A line of help says what is needed first, then more.
_MORE = re.compile(r"[;(,] ?|: ")


@dataclass(frozen=True)
class Value:
    """What may stand for an argument: `words`, all or the usual ones, and `paths`; `name` is what help has for it."""

    name: str
    words: tuple[str, ...]
    paths: Paths


@dataclass(frozen=True)
class CompletedOption:
    """An option: its flags, the beginning of its help, its value if it takes one, and whether it may be repeated."""

    flags: tuple[str, ...]
    help: str
    value: Value | None
    repeats: bool


@dataclass(frozen=True)
class CompletedCommand:
    """A command: the words that name it, what it does, its options, and what may stand behind it without a flag."""

    words: tuple[str, ...]
    summary: str
    options: tuple[CompletedOption, ...]
    values: tuple[Value, ...]


def completed_commands() -> tuple[CompletedCommand, ...]:
    """All commands, in the order of the overview."""
    return tuple(map(_completed, commands()))


def first_words(known: tuple[CompletedCommand, ...]) -> dict[str, str]:
    """The commands that may stand first, with what they do."""
    from servemark.cli import SUBCOMMANDS

    return {word: SUBCOMMANDS[word] for command in known for word in command.words[:1] if word in SUBCOMMANDS}


def _completed(command: Command) -> CompletedCommand:
    actions = command.parser._actions
    options = tuple(
        _option(command.parser, action) for action in actions if action.option_strings and is_listed(action)
    )
    return CompletedCommand(command.words, command.summary, options, tuple(_values(actions)))


def _values(actions: list[argparse.Action]) -> Iterator[Value]:
    for action in actions:
        if not action.option_strings:
            yield _value(action)


def _option(parser: Parser, action: argparse.Action) -> CompletedOption:
    told = parser._get_formatter()._expand_help(action)
    value = None if action.nargs == 0 else _value(action)
    return CompletedOption(
        tuple(action.option_strings), _MORE.split(told)[0], value, isinstance(action, argparse._AppendAction)
    )


def _value(action: argparse.Action) -> Value:
    name = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar or action.dest.upper()
    kinds = set(name.split("|"))
    paths: Paths = "none"
    if action.type is Path or kinds & _ANY:
        paths = "any"
    if kinds == {_FOLDER}:
        paths = "folders"
    return Value(name, offered(action), paths)
