"""What others said is printed without steering the terminal, wherever it is printed."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from servemark.cli import main
from servemark.cli import run as run_command
from servemark.cli import serve as serve_command
from servemark.cli.options import print_error
from servemark.errors import ServerError
from servemark.options import RunRequest
from servemark.printable import printable, printable_in
from servemark.report.live import LiveView
from servemark.report.terminal import print_summary
from servemark.result import ErrorExample, Skipped
from servemark.runner.redaction import Redaction
from servemark.runner.result_on_disk import empty_result

#: Clears the screen, sets the title, goes to the line's beginning, rings, turns the direction, and is a C1 control.
HOSTILE = "\x1b[2J\x1b]0;title\x07\rwiped\u202e\x9b31m\udc9b"
SHOWN = "\\x1b[2J\\x1b]0;title\\x07\\rwiped\\u202e\\x9b31m\\udc9b"


def steers(text: str) -> bool:
    return any(not letter.isprintable() and letter not in "\n\t" for letter in text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, füür 火 and a \\ of its own", "plain, füür 火 and a \\ of its own"),
        ("lines\n\tstay", "lines\n\tstay"),
        ("of Windows\r\ntoo", "of Windows\ntoo"),
        (HOSTILE, SHOWN),
    ],
)
def test_only_what_is_no_letter_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_it_is_found_wherever_it_is() -> None:
    example = ErrorExample("reset", 1.0, HOSTILE, "body")
    given = {"a": [example, (HOSTILE, 1, None)], HOSTILE: 2.5}
    made = printable_in(given)
    assert made == {"a": [replace(example, message=SHOWN), (SHOWN, 1, None)], SHOWN: 2.5}
    untouched = {"a": (example.kind, 1)}
    assert printable_in(untouched) is untouched


def test_errors_and_what_is_told_of_a_server_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    listener = run_command._listener(LiveView(), verbose=True)
    assert listener.log is not None
    for say in (
        listener.note,
        listener.log,
        serve_command._say,
        lambda line: print_error(ServerError(line, cause=line, next_step=line, detail=f"{line}\n{line}")),
    ):
        say(HOSTILE)
        told = capsys.readouterr().err
        assert SHOWN.split("]")[0] in told
        assert not steers(told)


def test_a_summary_has_a_servers_words_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    empty = empty_result((RunRequest.of("ping"),), "ping", datetime.now(timezone.utc), Redaction(()))
    print_summary(replace(empty, skipped=(Skipped(HOSTILE, HOSTILE),)), Path("/results\x1b[2J"))
    shown = capsys.readouterr().out
    assert not steers(shown)
    assert "\\x1b[2J" in shown


def test_a_usage_error_repeats_no_escape(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["run", "latency", "-m", HOSTILE], "servemark") == 2
    assert not steers(capsys.readouterr().err)
