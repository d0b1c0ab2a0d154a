"""The script that completes in bash, 3.2 or newer; it needs no other and starts no program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from servemark.cli.completion.table import CompletedCommand, Value, first_words

_SCRIPT = """\
_servemark_reply() { # words, and the paths that are taken: none, any or folders
    local reply kept breaks
    while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(
        compgen -W "$1" -- "$current"
        case $2 in any) compgen -f -- "$current" ;; folders) compgen -d -- "$current" ;; esac
    )
    [[ $2 == none ]] || compopt -o filenames 2>/dev/null
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace 2>/dev/null
    breaks=${COMP_WORDBREAKS//[^:=]/} # bash ends words there, and replaces what is behind the last one alone
    if [[ $breaks && $current == *[$breaks]* ]]; then
        kept=${current%"${current##*[$breaks]}"}
        COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    fi
}

_servemark() {
    local line=${COMP_LINE:0:COMP_POINT} current before command options='' values='' paths=none word
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    COMPREPLY=()
    current=${words[${#words[@]} - 1]}
    before=${words[${#words[@]} - 2]}
    if [[ $current == --*=* ]]; then
        before=${current%%=*}
        current=${current#*=}
    fi
    if ((${#words[@]} == 2)); then
        _servemark_reply '@FIRST@' none
        return
    fi
    command=${words[1]}
@NESTED@
    case $command in
@COMMANDS@
    esac
    for word in "${words[@]:2:${#words[@]}-3}"; do
        [[ " $values " == *" $word "* ]] && values=''
    done
    if [[ $current == -* || -z $values && $paths == none ]]; then
        _servemark_reply "$options" none
    else
        _servemark_reply "$values" "$paths"
    fi
}

complete -F _servemark servemark
"""
_NESTED = """\
    if [[ $command == @NAME@ ]]; then
        if ((${#words[@]} == 3)); then
            _servemark_reply '@OWN@' none
            return
        fi
        command="@NAME@ ${words[2]}"
    fi"""


def bash_script(known: tuple[CompletedCommand, ...], first_options: Sequence[str]) -> str:
    """The script for the commands that are `known`, and for the options that may stand before one."""
    groups: dict[str, list[str]] = {}
    for command in known:
        if len(command.words) > 1:
            groups.setdefault(command.words[0], []).append(command.words[1])
    nested = (_NESTED.replace("@NAME@", name).replace("@OWN@", " ".join(own)) for name, own in groups.items())
    return (
        _SCRIPT.replace("@FIRST@", " ".join((*first_words(known), *first_options)))
        .replace("@NESTED@", "\n".join(nested))
        .replace("@COMMANDS@", "\n".join(line for command in known for line in _lines(command)))
    )


def _lines(command: CompletedCommand) -> Iterator[str]:
    yield f"    '{' '.join(command.words)}')"
    flags = " ".join(flag for option in command.options for flag in option.flags)
    yield f"        options='{flags}'"
    words = " ".join(dict.fromkeys(word for value in command.values for word in value.words))
    paths = next((value.paths for value in command.values if value.paths != "none"), "none")
    yield f"        values='{words}' paths={paths}"
    yield "        case $before in"
    for option in command.options:
        if option.value is not None:
            yield f"        {'|'.join(option.flags)}) {_reply(option.value)}return ;;"
    yield "        esac"
    yield "        ;;"


def _reply(value: Value) -> str:
    """What offers a value; nothing where it may be any word."""
    offers = value.words or value.paths != "none"
    return f"_servemark_reply '{' '.join(value.words)}' {value.paths}; " if offers else ""
