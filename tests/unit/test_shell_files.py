"""What is made for shells and for man: of the tables of options, and installed where it may be."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from servemark import cli
from servemark.cli import FIRST_OPTIONS, SUBCOMMANDS, completion
from servemark.cli.commands import commands
from servemark.cli.completion import SHELLS, place_of, script
from servemark.cli.completion.table import completed_commands
from servemark.cli.manual import _flowing, manual_page
from servemark.cli.own_files import MADE_BY
from servemark.cli.parser import Parser, offered
from servemark.errors import OutputError, UsageError
from servemark.options import all_options
from servemark.options.kinds import Inputs, PathTo
from servemark.report.formats import FORMATS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with nothing in it."""
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "my home"))
    return tmp_path / "my home"


def test_every_subcommand_is_among_the_commands_with_its_own_parser() -> None:
    known = list(commands())
    assert list(dict.fromkeys(command.words[0] for command in known)) == list(SUBCOMMANDS)
    for command in known:
        assert command.parser.prog == f"servemark {' '.join(command.words)}"
    assert completion.FIRST_OPTIONS.keys() == {"--help", *FIRST_OPTIONS}


def test_a_path_is_offered_wherever_an_option_takes_one() -> None:
    (run,) = [command for command in completed_commands() if command.words == ("run",)]
    by_flag = {option.flags[-1]: option.value for option in run.options}
    paths = [option.flags[-1] for option in all_options() if isinstance(option.kind, PathTo | Inputs)]
    assert len(paths) > 8
    for flag in paths:
        assert by_flag[flag].paths == ("folders" if by_flag[flag].name == "DIR" else "any"), flag
    assert by_flag["--threads"].paths == "none"


def test_what_a_refused_value_could_have_been_is_offered() -> None:
    """An option that names what it takes, where it takes nothing else, has completion offer just these words."""
    names = {}
    for command in commands():
        for action in command.parser._actions:
            words = _named_instead(command.parser, action)
            if words:
                names[command.words, action.dest] = words
                missing = [word for word in words if not any(one.startswith(word) for one in offered(action))]
                assert missing == [], f"{command.words} {action.dest}"
    assert names[("report",), "format"] == list(FORMATS)
    assert names[("run",), "engine"] == ["native", "jmeter"]


def _named_instead(parser: Parser, action: argparse.Action) -> list[str]:
    """The words that a value is refused for which is none of them; nothing where it is taken, or none are named."""
    if action.nargs == 0:
        return []
    try:
        parser._get_values(action, ["~none=1" if action.nargs == "+" else "~none"])
    except argparse.ArgumentError as error:
        named = re.search(r"choose from ([^)]*)", str(error))
        return re.sub("'", "", named[1]).split(", ") if named else []
    except UsageError:  # it names what is wrong by itself
        return []
    return []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_every_option_of_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--show-completion", shell]) == 0
    told = capsys.readouterr().out
    assert told == script(shell)
    flags = {flag for command in completed_commands() for option in command.options for flag in option.flags}
    written = {flag: f"-l {flag[2:]} " if shell == "fish" else flag for flag in flags if flag.startswith("--")}
    assert [flag for flag, text in written.items() if text not in told] == []


@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", ".local/share/bash-completion/completions/servemark"),
        ("zsh", ".local/share/zsh/site-functions/_servemark"),
        ("fish", ".config/fish/completions/servemark.fish"),
    ],
    ids=list(SHELLS),
)
def test_it_is_written_where_the_shell_looks_and_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], shell: str, path: str
) -> None:
    assert cli.main(["--install-completion", shell]) == 0
    file = home / path
    assert file.read_text() == script(shell)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    first, how, undo = capsys.readouterr().out.splitlines()
    assert first == f"completion for {shell} written to {file}"
    assert "a new" in how if shell != "zsh" else f"fpath=('{file.parent}' $fpath)" in how
    assert undo.endswith(f"to undo it: rm '{file}'")
    before = file.stat().st_mtime_ns
    assert cli.main([f"--install-completion={shell}"]) == 0
    assert capsys.readouterr().out.startswith(f"completion for {shell} is already in {file}")
    assert file.stat().st_mtime_ns == before


def test_xdg_says_where_unless_it_is_relative(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert place_of("bash").path == tmp_path / "data" / "bash-completion" / "completions" / "servemark"
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert place_of("bash").path.is_relative_to(home)


def test_that_of_an_older_servemark_is_replaced(home: Path) -> None:
    path = place_of("fish").path
    path.parent.mkdir(parents=True)
    path.write_text(f"# {MADE_BY} 0.0.1\n")
    assert cli.main(["--install-completion", "fish"]) == 0
    assert path.read_text() == script("fish")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["--install-completion", "bash"], ".local/share/bash-completion/completions/servemark"),
        (["man", "--install"], ".local/share/man/man1/servemark.1"),
    ],
    ids=["completion", "the manual page"],
)
def test_somebody_elses_file_is_left(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], path: str
) -> None:
    file = home / path
    file.parent.mkdir(parents=True)
    file.write_text("mine\n")
    assert cli.main(words) == OutputError.exit_status == 2
    assert file.read_text() == "mine\n"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"servemark: error: {file} is left as it is: servemark did not write it; ")


@pytest.mark.parametrize("words", [["--install-completion", "zsh"], ["man", "--install"]], ids=lambda words: words[0])
def test_where_it_cannot_be_written_that_is_said_with_the_next_step(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    home.touch()  # a file, in which there is no folder, not even for root
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"servemark: error: cannot write {home}/.local/share/")
    assert re.search(r": Not a directory; .*(--show-completion|--dir DIR)", line)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--install-completion", "fihs"], "no completion for the shell 'fihs'; did you mean fish?"),
        (["--show-completion", "tcsh"], "no completion for the shell 'tcsh'; "),
        (["--install-completion"], "--install-completion takes one shell; choose from bash, zsh, fish"),
        (["--show-completion="], "--show-completion takes one shell; choose from bash, zsh, fish"),
        (["--install-completion", "bash", "zsh"], "--install-completion takes one shell; choose from bash, zsh, fish"),
        (["--version=bash"], "unknown subcommand '--version=bash'"),
        (["man", "--dir", "x"], "--dir goes with --install; give both"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_refused(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    assert cli.main(words) == UsageError.exit_status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"servemark: error: {why}")
    assert not home.exists()


def test_without_a_home_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def nowhere(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    assert cli.main(["--install-completion", "bash"]) == 4
    assert "there is no home directory to write into; set XDG_DATA_HOME" in capsys.readouterr().err


def test_the_manual_page_has_every_command_option_and_benchmark() -> None:
    plain = manual_page().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")
    for command in commands():
        assert f'.SH "SERVEMARK {" ".join(command.words).upper()}"' in plain
        for action in command.parser._actions:
            for flag in action.option_strings:
                assert re.search(rf"^(?:.*, )?{flag}(?: |,|$)", plain, re.MULTILINE), flag
    searched = plain.partition('.SH "SERVEMARK CAPACITY"')[2].partition(".SH")[0]
    assert "--loops, --max-duration," in " ".join(searched.split()), "what it has not of the options of run"
    assert "  servemark capacity --slo 'p99<300ms'" in searched, "its own examples"
    assert "  concurrent_inference " in plain
    assert "exit status:" in plain
    assert "%(prog)s" not in plain
    assert "%%" not in plain


def test_nothing_in_the_manual_page_is_a_request_that_was_none() -> None:
    requests = {line.split()[0] for line in manual_page().splitlines() if line[:1] in {".", "'"}}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi"}


@pytest.mark.parametrize("text", [".so /etc/passwd", "'so x", "a\\fBb", 'a "b"'])
def test_text_stays_text_in_roff(text: str) -> None:
    (line,) = _flowing(text)
    assert line[:1] not in {".", "'"}
    assert not re.search(r"\\(?![-&e(])", line), "an escape that is none of ours"


def test_mandoc_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    path = tmp_path / "servemark.1"
    path.write_text(manual_page())
    done = subprocess.run(["mandoc", "-T", "lint", path], capture_output=True, text=True)
    found = [line for line in (done.stdout + done.stderr).splitlines() if "missing date" not in line]
    assert found == [], "it has no date, so that the same servemark prints the same"


def test_man_prints_it_and_installs_it_where_it_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["man"]) == 0
    assert capsys.readouterr().out == manual_page()
    assert cli.main(["man", "--install"]) == 0
    assert (home / ".local/share/man/man1/servemark.1").read_text() == manual_page()
    assert cli.main(["man", "--install", "--dir", "there"]) == 0
    file = tmp_path / "there" / "man1" / "servemark.1"
    assert file.read_text() == manual_page()
    assert f"to undo it: rm {file}" in capsys.readouterr().out
