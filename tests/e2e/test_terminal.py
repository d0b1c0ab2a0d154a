"""What reaches a terminal, a pipe and a full device."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading

import pytest

from ..validity import status_but_for_the_machine
from .conftest import Command

pytestmark = pytest.mark.slow


def run_on_a_terminal(command: Command, line: str) -> tuple[int, str]:
    """The status and everything that a terminal of 80 columns would show."""
    leader, follower = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                got = os.read(leader, 65536)
            except OSError:
                return
            if not got:
                return
            shown.append(got)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with command.started(line, stdout=follower, stderr=follower) as started:
            os.close(follower)
            status = started.process.wait(timeout=60)
            reader.join(timeout=10)
    finally:
        os.close(leader)
    command.assert_nothing_left()
    results = sorted(command.cwd.glob("servemark-results/[0-9]*/result.json"))
    result = json.loads(results[-1].read_text(encoding="utf-8")) if results else None
    return status_but_for_the_machine(status, result), b"".join(shown).decode("utf-8", "replace")


def test_a_terminal_gets_colour_and_a_line_of_progress_that_goes_away(command):
    status, shown = run_on_a_terminal(command, "ping -t 2 --duration 1 --warmup 0")
    assert status == 0
    assert "\x1b[1" in shown
    assert "\r\x1b[2Kmeasuring: " in shown
    assert shown.index("ping: ") > shown.rindex("measuring: ")


def test_no_color_is_honoured_on_a_terminal(command):
    command.environ["NO_COLOR"] = "1"
    status, shown = run_on_a_terminal(command, "ping -t 2 -l 20")
    assert status == 0
    summary = shown[shown.rindex("ping: ") - 20 :]
    assert "\x1b[3" not in summary  # colours
    assert "\x1b[9" not in summary


def test_a_reader_that_leaves_is_no_failure(command):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        run = command.run("ping -t 2 -l 5", stdout=write_end)
    finally:
        os.close(write_end)
    assert run.stderr.count("BrokenPipe") == 0
    assert run.status == 0, run.stderr
    assert run.result["partial"] is False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")  # noqa: PTH110
def test_a_summary_that_cannot_be_printed_is_said_and_is_no_failure(command):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        run = command.run("ping -t 2 -l 5", stdout=full)
    assert run.status == 0, run.stderr
    assert "servemark: stdout could not be written: No space left on device" in run.stderr
    assert run.result["partial"] is False


def test_a_folder_whose_name_is_no_utf8_is_written_and_printed(command):
    name = os.fsdecode(b"out-\xff")
    run = command.run(f"ping -t 2 -l 5 -o {name}")
    assert run.status == 0, run.stderr
    assert run.step["succeeded"] == 10
    assert r"results        out-\udcff" in run.stdout


@pytest.mark.parametrize("words", [["--version"], ["-h"], ["run", "-h"]])
def test_words_that_ask_for_text_print_it(command, words):
    answer = command.main(*words)
    assert answer.returncode == 0
    assert answer.stderr == ""
    assert "servemark" in answer.stdout


def test_the_command_can_be_a_module(command):
    import sys

    answer = subprocess.run([sys.executable, "-m", "servemark", "--version"], capture_output=True, text=True)
    assert answer.stdout.startswith("servemark ")
    assert answer.returncode == 0
