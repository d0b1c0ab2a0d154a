"""The script that completes in fish, 3.0 or newer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from servemark.cli.completion.table import CompletedCommand, CompletedOption, Value, first_words

_HEAD = """\
function __servemark_in # whether these words name the command that is completed
    set -l words (commandline -opc)
    set -e words[1]
    set -l last (count $argv)
    test (count $words) -ge $last; and test "$words[1..$last]" = "$argv"
end

function __servemark_only # whether nothing else stands before the word that is completed
    set -l words (commandline -opc)
    set -e words[1]
    test "$words" = "$argv"
end

function __servemark_lacks # whether none of these words is there
    set -l words (commandline -opc)
    for word in $argv
        contains -- $word $words; and return 1
    end
    return 0
end

complete -c servemark -f
"""


def fish_script(known: tuple[CompletedCommand, ...], first_options: Mapping[str, str]) -> str:
    """The script for the commands that are `known`, and for the options that may stand before one, with their help."""
    return _HEAD + "\n".join(_lines(known, first_options)) + "\n"


def _lines(known: tuple[CompletedCommand, ...], first_options: Mapping[str, str]) -> Iterator[str]:
    for flag, told in first_options.items():
        yield _complete("__servemark_only", f"-l {flag.removeprefix('--')}", _described(told))
    for name, summary in first_words(known).items():
        yield _complete("__servemark_only", f"-a {name}", _described(summary))
    for command in known:
        if len(command.words) > 1:
            yield _complete(
                f"__servemark_only {command.words[0]}", f"-a {command.words[1]}", _described(command.summary)
            )
        inside = f"__servemark_in {' '.join(command.words)}"
        for option in command.options:
            yield _complete(inside, _flags(option), *_value(option.value), _described(option.help))
        for value in command.values:
            yield from _positional(inside, value)


def _positional(inside: str, value: Value) -> Iterator[str]:
    if value.words:
        lacking = f"{inside}; and __servemark_lacks {' '.join(value.words)}"
        yield _complete(lacking, f"-a {_quoted(' '.join(value.words))}")
    if value.paths != "none":
        yield _complete(inside, "-F")


def _flags(option: CompletedOption) -> str:
    return " ".join(
        f"-l {flag.removeprefix('--')}" if flag.startswith("--") else f"-s {flag.removeprefix('-')}"
        for flag in option.flags
    )


def _value(value: Value | None) -> Sequence[str]:
    if value is None:
        return ()
    words = [f"-a {_quoted(' '.join(value.words))}"] if value.words else []
    if value.paths == "folders":
        return ("-x", "-a '(__fish_complete_directories)'")
    return ("-r -F" if value.paths == "any" else "-x", *words)


def _complete(condition: str, *rest: str) -> str:
    return " ".join(("complete -c servemark -n", _quoted(condition), *rest))


def _described(text: str) -> str:
    return f"-d {_quoted(text)}"


def _quoted(text: str) -> str:
    inner = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{inner}'"
