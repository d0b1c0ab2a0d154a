"""Parsers whose errors are usage errors with the next step, and which know what was given and what was left out.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from servemark.errors import UsageError

#: Where an argument keeps what is offered for it.
_OFFERS = "offers"
#: What argparse says of an option that stands without its value, and of which.
_NO_VALUE = re.compile(r"argument (\S+): expected (?:one|at least one) argument")
#: A value, not an option: ``-5%``, ``-3s``; argparse itself takes plain numbers only for that.
_NEGATIVE = re.compile(r"-\.?\d")
#: Options of more than one letter behind one dash, as Go's programs write them.
_ONE_DASH = re.compile(r"-([a-z][a-z-]{2,})(?:=.*)?", re.DOTALL)


def unlist(parser: Parser, flags: Collection[str]) -> None:
    """Leave the options with these `flags` out of help and completion: they are known only to be refused in words."""
    for action in parser._actions:
        if set(flags) & set(action.option_strings):
            action.help = argparse.SUPPRESS


def is_listed(action: argparse.Action) -> bool:
    """Whether help and completion have an argument."""
    return action.help != argparse.SUPPRESS


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are usage errors, with the next step.

    What it parses has the attribute ``given``: the names of the options that were there, whatever their values. An
    option that is there with its default is another thing than one that is not. Where an option takes one value it may
    be given once.

    Args:
        elsewhere: options of other programs, with what to give instead.
        settings: of ``argparse.ArgumentParser``.
    """

    def __init__(self, *, elsewhere: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )
        self.elsewhere = elsewhere or {}
        self._given: set[str] = set()
        self._negative_number_matcher = _NEGATIVE
        for name, action in ((None, _Store), ("store", _Store), ("store_true", _Switch), ("append", _Append)):
            self.register("action", name, action)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse `args`, of which nothing may be left over.

        Raises:
            UsageError: they cannot be parsed.
        """
        parsed, left = self.parse_known_args(args, namespace)
        if left:
            raise self.unknown(left[0])
        return parsed

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse `args`; also what is left over of them.

        Raises:
            UsageError: they cannot be parsed.
        """
        for word in args or ():
            if word == "--":
                break
            self._check_dashes(word)
        self._given = set()
        parsed, left = super().parse_known_args(args, namespace or argparse.Namespace())
        parsed.given = frozenset(self._given)
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """Raise `message`."""
        lacks = _NO_VALUE.fullmatch(message)
        message = f"{lacks[1]} needs a value" if lacks else message
        raise UsageError(message, next_step="" if "; " in message else f"see {self.prog} -h")

    def unknown(self, word: str) -> UsageError:
        """The refusal of `word`, no option of this parser; with the one that was meant, as far as that can be told."""
        name = word.partition("=")[0] if word.startswith("--") else word[:2] if word.startswith("-") else word
        return UsageError(f"unrecognized arguments: {name}", next_step=self._meant(name) or f"see {self.prog} -h")

    def note(self, action: argparse.Action, option: str | None, *, once: bool) -> None:
        """Note that an option was there.

        Raises:
            UsageError: a second time, and it is there `once`.
        """
        if option is None:  # not an option: a word by itself, or none where one could be
            return
        if once and action.dest in self._given:
            raise UsageError(f"{'/'.join(action.option_strings)} is given twice", next_step="give it once")
        self._given.add(action.dest)

    def _check_dashes(self, word: str) -> None:
        match = _ONE_DASH.fullmatch(word)
        if match is None:
            return
        name = f"--{match[1]}"
        if name in self._option_string_actions:
            raise UsageError(f"unrecognized arguments: -{match[1]}", next_step=f"write it with two dashes: {name}")
        if name in self.elsewhere:
            raise UsageError(f"unrecognized arguments: -{match[1]}", next_step=self.elsewhere[name])

    def _meant(self, name: str) -> str:
        if name in self.elsewhere:
            return self.elsewhere[name]
        if not name.startswith("--"):
            return ""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        begun = [option for option in known if option.startswith(name)]
        near = begun if len(begun) == 1 else difflib.get_close_matches(name, known, n=1, cutoff=0.72)
        return f"did you mean {near[0]}?" if near else ""


class _Store(argparse._StoreAction):
    """Keeps the value of an option that is given once."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        _note(parser, self, option_string, once=True)
        super().__call__(parser, namespace, values, option_string)


class _Switch(argparse._StoreTrueAction):
    """A switch: to give it twice says nothing else."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        _note(parser, self, option_string, once=False)
        super().__call__(parser, namespace, values, option_string)


class _Append(argparse._AppendAction):
    """Keeps each value of an option that may be repeated."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        _note(parser, self, option_string, once=False)
        super().__call__(parser, namespace, values, option_string)


def _note(parser: argparse.ArgumentParser, action: argparse.Action, option: Any, *, once: bool) -> None:
    assert isinstance(parser, Parser)
    parser.note(action, option, once=once)


def offer(action: argparse.Action, words: Iterable[str]) -> None:
    """Have completion offer `words` for the value of `action`, where others may stand there, too."""
    vars(action)[_OFFERS] = tuple(words)


def offered(action: argparse.Action) -> tuple[str, ...]:
    """The words that completion offers for the value of `action`: all that there are, or some of them."""
    words: tuple[str, ...] = tuple(action.choices or vars(action).get(_OFFERS, ()))
    return words


def listing_parser(prog: str, description: str, epilog: str, schema: str) -> Parser:
    """The parser of a subcommand that prints what it finds, for people or as JSON of `schema`."""
    parser = Parser(prog=prog, description=description, epilog=epilog)
    parser.add_argument("--json", action="store_true", help=f"print JSON ({schema}) instead")
    return parser
