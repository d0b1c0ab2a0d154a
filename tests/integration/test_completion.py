"""Completion in real shells, of what ``--install-completion`` has written where each of them looks for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from servemark import cli
from servemark.benchmarks import catalogue
from servemark.cli import FIRST_OPTIONS, SUBCOMMANDS
from servemark.cli.completion import SHELLS, place_of
from servemark.cli.history import COMMANDS
from servemark.cli.options import run_parser
from servemark.zoo.catalogue import ZOO

pytestmark = pytest.mark.seconds

READY = "READY> "
#: What inserts all that a shell offers into its line.
ALL = "\x18a"
_DEADLINE_S = 60
_ZSHRC = """\
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -u -D
PS1='{ready}'
zle -C all-matches complete-word _generic
bindkey '^Xa' all-matches
zstyle ':completion:all-matches:*' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
unsetopt beep prompt_sp
"""
_BASHRC = """\
. {file}
PS1='{ready}'
bind '"\\C-xa": insert-completions'
bind 'set bell-style none'
bind 'set enable-bracketed-paste off'
"""
#: By the shell, what is offered behind the words of a line.
Offered = Callable[[str], list[str]]


@pytest.fixture(params=SHELLS)
def offered(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What a shell offers that has the completion installed, in a folder with one file and one folder."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    monkeypatch.setenv("HOME", str(home))
    assert cli.main(["--install-completion", shell]) == 0
    here = tmp_path / "here"
    (here / "a folder").mkdir(parents=True)
    (here / "cat.jpg").touch()
    monkeypatch.chdir(here)
    program = home / "servemark"  # which fish wants to be there, and nobody starts
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    file = place_of(shell).path
    if shell == "fish":
        return _in_fish
    if shell == "bash":
        (home / "rc").write_text(_BASHRC.format(file=file, ready=READY))
        return lambda line: _typed(["bash", "--noprofile", "--rcfile", str(home / "rc"), "-i"], line)
    (home / ".zshrc").write_text(_ZSHRC.format(folder=file.parent, ready=READY))
    monkeypatch.setenv("ZDOTDIR", str(home))
    return lambda line: _typed(["zsh", "-d", "-i"], line)


def _in_fish(line: str) -> list[str]:
    quoted = line.replace("'", "\\'")
    done = subprocess.run(
        ["fish", "-c", f"complete -C '{quoted}'"], capture_output=True, text=True, timeout=_DEADLINE_S, check=True
    )
    return [offer.split("\t")[0] for offer in done.stdout.splitlines()]


def _typed(shell: Sequence[str], line: str) -> list[str]:
    """What the interactive `shell` inserts at the end of `line`, told by itself: each word on a line of its own."""
    before = len(line.split()) - (not line.endswith(" "))
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "dumb"
        os.execvp(shell[0], shell)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 20_000, 0, 0))
        _await(terminal, READY)
        os.write(terminal, f"{line}{ALL}\x01printf '[%s]\\n' \x05 END\r".encode())
        told = _await(terminal, "[END]")
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    return re.findall(r"^\[(.*)\]\r?$", told, re.MULTILINE)[before:-1]


def _await(terminal: int, wanted: str) -> str:
    """What is printed until a line begins with `wanted`."""
    told, give_up_s = "", time.monotonic() + _DEADLINE_S
    while not re.search(rf"(?:^|\n|\r){re.escape(wanted)}", told):
        assert time.monotonic() < give_up_s, told
        if select.select([terminal], [], [], 1)[0]:
            told += os.read(terminal, 1 << 16).decode(errors="replace")
    return told


def _flags(line: Sequence[str]) -> set[str]:
    return {word for word in line if word.startswith("--")}


def test_commands(offered: Offered) -> None:
    assert set(offered("servemark ")) >= set(SUBCOMMANDS)
    assert _flags(offered("servemark --")) == {"--help", *FIRST_OPTIONS}
    assert set(offered("servemark history ")) >= set(COMMANDS)
    assert set(offered("servemark ca")) == {"capacity", "calibrate"}


def test_benchmarks(offered: Offered) -> None:
    assert set(offered("servemark run ")) >= set(catalogue())
    assert offered("servemark capacity thr") == ["throughput"]


def test_options(offered: Offered) -> None:
    known = {flag for action in run_parser("x")._actions for flag in action.option_strings if flag.startswith("--")}
    assert _flags(offered("servemark run latency --")) == known
    assert _flags(offered("servemark history trend --st")) == {"--statistic"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("servemark run latency --arrival ", ["constant", "gamma:", "poisson", "trace:"]),
        ("servemark run latency --arrival p", ["poisson"]),
        ("servemark run latency --engine ", ["jmeter", "native"]),
        ("servemark run latency -m ", sorted(model.name for model in ZOO)),
        ("servemark run latency --model sq", ["squeezenet"]),
        ("servemark serve -m no", ["noop"]),
        ("servemark run latency --expect not:re", ["not:regex:"]),
        ("servemark history trend --statistic ", ["p50", "p99", "rate"]),
        ("servemark --show-completion ", sorted(SHELLS)),
        ("servemark run latency --suite sm", ["smoke"]),
    ],
)
def test_values(offered: Offered, line: str, words: list[str]) -> None:
    assert sorted(offered(line)) == words


def test_a_value_behind_an_equals_sign(offered: Offered) -> None:
    (offer,) = offered("servemark run latency --arrival=po")
    assert offer.removeprefix("--arrival=") == "poisson"


def test_paths_where_a_path_is_taken(offered: Offered) -> None:
    assert offered("servemark run latency -i ca") == ["cat.jpg"]
    assert offered("servemark run latency --body-file ca") == ["cat.jpg"]
    (folder,) = offered("servemark run latency -o ")
    assert folder.rstrip("/").replace("\\", "") == "a folder"
    assert "cat.jpg" in offered("servemark report ")
    assert "cat.jpg" not in offered("servemark run latency -t ca")


def test_a_key_press_in_bash_starts_no_program(tmp_path: Path) -> None:
    script = tmp_path / "servemark"
    shown = subprocess.run(
        [sys.executable, "-m", "servemark", "--show-completion", "bash"], capture_output=True, text=True, check=True
    )
    script.write_text(shown.stdout)
    line = "servemark run latency --arrival "
    code = f'PATH=; . {script}; COMP_LINE="{line}"; COMP_POINT={len(line)}; _servemark; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run([shutil.which("bash") or "bash", "--norc", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["constant", "poisson", "gamma:", "trace:"]
    assert done.stderr == ""
