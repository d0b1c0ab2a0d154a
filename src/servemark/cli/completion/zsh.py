"""The script that completes in zsh: a function that is loaded from a folder of `fpath`, or sourced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from servemark.cli.completion.table import CompletedCommand, CompletedOption, Value, first_words

_SCRIPT = """\
_servemark_offer() { # the paths that are taken (none, any or folders), then words
    local paths=$1 word
    shift
    for word; do
        if [[ $word == *[:=] ]]; then compadd -S '' -- $word; else compadd -- $word; fi
    done
    case $paths in
    any) _files ;;
    folders) _files -/ ;;
    esac
}

_servemark() {
    local -a known
    if (( CURRENT == 2 )); then
        if [[ $PREFIX == -* ]]; then known=(@OPTIONS@); else known=(@FIRST@); fi
        _describe -t commands command known
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
@NESTED@
    case $command in
@COMMANDS@
    esac
}

if [[ $funcstack[1] == _servemark ]]; then _servemark "$@"; else compdef _servemark servemark; fi
"""
_NESTED = """\
    if [[ $command == @NAME@ ]]; then
        if (( CURRENT == 2 )); then
            known=(@OWN@)
            _describe -t commands command known
            return
        fi
        command="@NAME@ $words[2]"
        shift words
        (( CURRENT-- ))
    fi"""


def zsh_script(known: tuple[CompletedCommand, ...], first_options: Mapping[str, str]) -> str:
    """The script for the commands that are `known`, and for the options that may stand before one, with their help."""
    groups: dict[str, dict[str, str]] = {}
    for command in known:
        if len(command.words) > 1:
            groups.setdefault(command.words[0], {})[command.words[1]] = command.summary
    nested = (_NESTED.replace("@NAME@", name).replace("@OWN@", _described(own)) for name, own in groups.items())
    return (
        _SCRIPT.replace("@OPTIONS@", _described(first_options))
        .replace("@FIRST@", _described(first_words(known)))
        .replace("@NESTED@", "\n".join(nested))
        .replace("@COMMANDS@", "\n".join(line for command in known for line in _lines(command)))
    )


def _described(words: Mapping[str, str]) -> str:
    return " ".join(_quoted(f"{word}:{summary.partition(':')[0]}") for word, summary in words.items())


def _lines(command: CompletedCommand) -> Iterator[str]:
    yield f"    '{' '.join(command.words)}')"
    specs = [spec for option in command.options for spec in _specs(option)]
    specs += [f"{place}:{_escaped(value.name)}:{_action(value)}" for place, value in enumerate(command.values, 1)]
    yield "        _arguments -S \\"
    yield " \\\n".join(f"            {_quoted(spec)}" for spec in specs)
    yield "        ;;"


def _specs(option: CompletedOption) -> Iterator[str]:
    others = "*" if option.repeats else f"({' '.join(option.flags)})"
    for flag in option.flags:
        spec = f"{others}{flag}"
        if option.value is not None and flag.startswith("--"):
            spec += "="
        spec += f"[{_escaped(option.help)}]"
        yield spec if option.value is None else f"{spec}:{_escaped(option.value.name)}:{_action(option.value)}"


def _action(value: Value) -> str:
    if not value.words and value.paths == "none":
        return " "
    return f" _servemark_offer {value.paths} {' '.join(map(_escaped, value.words))}".rstrip()


def _escaped(text: str) -> str:
    for letter in r"\[]:":
        text = text.replace(letter, f"\\{letter}")
    return text


def _quoted(text: str) -> str:
    inner = text.replace("'", "'\\''")
    return f"'{inner}'"
