"""The table of options: each stands at the field that it fills, with its flags, its kind of value and its line of help.

A group of options is a frozen value whose fields are made by :func:`option`. It refuses what contradicts itself when it
is made, for the command line and for Python alike, and calls options as the command line does; :func:`in_python` turns
that into the words of Python. Standard library only.
"""

from __future__ import annotations

import dataclasses
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from servemark.errors import UsageError
from servemark.options.kinds import Kind

#: Under which heading of the help an option stands; the first has none.
Heading = Literal["", "server", "your own model", "request", "load", "question", "capacity", "output"]
_METADATA = "option"


@dataclass(frozen=True)
class Option:
    """An option of the command line, and the field that it fills.

    Attributes:
        flags: the short one, if any, and the long one.
        kind: of its value.
        help: its line.
        metavar: what stands for its value there.
        heading: under which it stands.
        field: what Python calls it.
        default: its value where it is not given.
        of_suites: whether a suite's file may say it of a benchmark.
        of_searches: whether a search for the capacity takes it.
        offers: what completion offers for its value, where other words may stand there, too.
    """

    flags: tuple[str, ...]
    kind: Kind
    help: str
    metavar: str | None = None
    heading: Heading = ""
    field: str = ""
    default: Any = None
    of_suites: bool = False
    of_searches: bool = True
    offers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What suites, and benchmarks that refuse it, call it: its long flag."""
        return self.flags[-1].removeprefix("--").replace("-", "_")


def option(*flags: str, kind: Kind, help: str, default: Any = None, **more: Any) -> Any:  # noqa: A002
    """A field that is filled by the option of `flags`; `more` is what else ``Option`` has."""
    return dataclasses.field(default=default, metadata={_METADATA: Option(flags, kind, help, default=default, **more)})


@dataclass(frozen=True)
class OptionGroup:
    """A group of options."""

    def __post_init__(self) -> None:
        for known in options_of(type(self)):
            value = getattr(self, known.field)
            if value == known.default and type(value) is type(known.default):
                continue
            try:
                taken = None if value is None else known.kind.take(value)
            except (ValueError, TypeError) as error:
                step = "leave it out for its default" if "at least" in str(error) else ""
                raise UsageError(f"{known.field} is {value!r}", cause=str(error), next_step=step) from None
            object.__setattr__(self, known.field, known.default if value is None else taken)
        self.check()

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: says which options, and why.
        """

    def given(self) -> Iterator[Option]:
        """The options that say something else than when they are left out."""
        return (known for known in options_of(type(self)) if getattr(self, known.field) != known.default)


Group = TypeVar("Group", bound=OptionGroup)


def options_of(group: type[OptionGroup]) -> tuple[Option, ...]:
    """The options of a group, in the order of its fields."""
    return tuple(
        dataclasses.replace(field.metadata[_METADATA], field=field.name)
        for field in fields(group)
        if _METADATA in field.metadata
    )


def from_words(group: type[Group], arguments: Namespace) -> Group:
    """The values of a group in what was parsed of a command line.

    Raises:
        UsageError: they contradict each other.
    """
    values = vars(arguments)
    given = {known.field: values.get(known.name) for known in options_of(group)}
    return group(**{name: value for name, value in given.items() if value is not None})


def refuse(first: str, second: str, why: str, next_step: str = "") -> UsageError:
    """The refusal of two options that do not go together."""
    return UsageError(f"{first} and {second} do not go together", cause=why, next_step=next_step)


def in_python(error: UsageError, groups: Mapping[str, type[OptionGroup]]) -> UsageError:
    """`error` with the options called as Python does."""
    names = {flag: known.field for group in groups.values() for known in options_of(group) for flag in known.flags}

    def renamed(text: str) -> str:
        text = re.sub(r"--options (\w+)(?: (\w[\w,]*))?", r'parameters={"\1": ...}', text)
        return re.sub(r"(?<![\w-])--?[a-zA-Z][\w-]*", lambda match: names.get(match[0], match[0]), text)

    return UsageError(renamed(error.what), cause=renamed(error.cause), next_step=renamed(error.next_step))
