"""``servemark --install-completion`` and ``--show-completion``: scripts for shells, made of the tables of options.

A script holds all that it offers, so that a key press starts no Python: it is as fast as the shell. Standard library
only.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servemark.cli import COMPLETION_OPTIONS
from servemark.cli.own_files import MADE_BY, install_file, user_folder
from servemark.errors import EXIT_OK, UsageError
from servemark.options.kinds import nearest

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")
INSTALL, SHOW = COMPLETION_OPTIONS
#: The options that stand before any command, with their help.
FIRST_OPTIONS = {
    "--help": "list the commands",
    "--version": "print the version",
    INSTALL: "complete in a shell: bash, zsh or fish",
    SHOW: "print what that would install",
}


@dataclass(frozen=True)
class Place:
    """The file in which a shell looks for completions of the user's, and what has to be done besides."""

    path: Path
    needs: str


def main(words: list[str], prog: str) -> int:
    """Install or show the completion that `words` ask for; returns the exit status.

    Raises:
        UsageError: there is no such shell.
        OutputError: it cannot be written where the shell looks for it.
    """
    option, _, given = words[0].partition("=")
    shells = [*([given] if given else []), *words[1:]]
    if len(shells) != 1:
        raise UsageError(f"{option} takes one shell", next_step=f"choose from {', '.join(SHELLS)}")
    shell = next((known for known in SHELLS if known == shells[0]), None)
    if shell is None:
        raise UsageError(f"no completion for the shell {shells[0]!r}", next_step=nearest(shells[0], SHELLS))
    if option == SHOW:
        print(script(shell), end="")
        return EXIT_OK
    place = place_of(shell)
    wrote = install_file(place.path, script(shell), f"{prog} {SHOW} {shell} prints it, for a file of yours")
    print(f"completion for {shell} {'written to' if wrote else 'is already in'} {place.path}")
    print(place.needs)
    undo = f"rm {shlex.quote(str(place.path))}"
    print(f"once servemark is another: {prog} {INSTALL} {shell} again; to undo it: {undo}")
    return EXIT_OK


def script(shell: Shell) -> str:
    """The script that completes in `shell`."""
    from servemark.cli.completion.bash import bash_script
    from servemark.cli.completion.fish import fish_script
    from servemark.cli.completion.table import CompletedCommand, Value, completed_commands
    from servemark.cli.completion.zsh import zsh_script
    from servemark.version import version

    of_a_shell = Value("SHELL", SHELLS, "none")
    known = (
        *completed_commands(),
        *(CompletedCommand((option,), FIRST_OPTIONS[option], (), (of_a_shell,)) for option in (INSTALL, SHOW)),
    )
    made = f"# {MADE_BY} {version()}: servemark {SHOW} {shell}\n"
    if shell == "bash":
        return made + bash_script(known, tuple(FIRST_OPTIONS))
    if shell == "zsh":
        return f"#compdef servemark\n{made}{zsh_script(known, FIRST_OPTIONS)}"
    return made + fish_script(known, FIRST_OPTIONS)


def place_of(shell: Shell) -> Place:
    """The place where `shell` looks for completions of the user's.

    Raises:
        SetupError: there is no home directory.
    """
    if shell == "bash":
        path = user_folder("XDG_DATA_HOME", ".local/share") / "bash-completion" / "completions" / "servemark"
        sourced = f". {shlex.quote(str(path))}"
        return Place(path, f"a new bash has it where bash-completion is installed, else in ~/.bashrc: {sourced}")
    if shell == "zsh":
        folder = user_folder("XDG_DATA_HOME", ".local/share") / "zsh" / "site-functions"
        return Place(folder / "_servemark", f"in ~/.zshrc, before compinit: fpath=({shlex.quote(str(folder))} $fpath)")
    folder = user_folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions"
    return Place(folder / "servemark.fish", "a new fish has it")
