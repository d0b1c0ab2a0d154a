"""What reaches a terminal, a pipe and a full device."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest

from servemark.report.sparkline import BLOCKS, PLAIN
from servemark.servers import ServerSettings
from servemark.servers.mms.archives import ServeRequest
from servemark.servers.mms.managed import ManagedLauncher

from ..validity import status_but_for_the_machine
from .conftest import Command

pytestmark = pytest.mark.slow

#: Two users who leave most of the machine to others: what is looked at is what is shown meanwhile.
CALM = "-t 2 --think 0.02 --warmup 0"


@pytest.fixture(scope="module")
def ping():
    """The benchmark of a server that runs already: those of a suite, and the first, start their own."""
    with ManagedLauncher(ServeRequest(())).serve(ServerSettings()) as server:
        yield f"ping --mms {server.addresses['inference'].url}"


def run_on_a_terminal(command: Command, line: str, columns: int = 80) -> tuple[int, str]:
    """The status and everything that is written to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
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
    assert "\r\x1b[1mmeasuring: " in shown
    end = shown.rindex("measuring: ")
    assert "\x1b[J" in shown[end : shown.index("ping: ", end)], "it is gone before the summary"


def test_no_color_is_honoured_on_a_terminal(command, ping):
    command.environ["NO_COLOR"] = "1"
    status, shown = run_on_a_terminal(command, f"{ping} -t 2 -l 20")
    assert status == 0
    summary = shown[shown.rindex("ping: ") - 20 :]
    assert "\x1b[3" not in summary  # colours
    assert "\x1b[9" not in summary


def lines_of(shown: str) -> list[str]:
    """The lines that were written, those that were drawn over too, without escapes."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown))


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_view_and_the_summary_are_as_wide_as_the_terminal(command, ping, columns):
    command.environ["LC_ALL"] = "C.UTF-8"
    status, shown = run_on_a_terminal(command, f"{ping} {CALM} --duration 2", columns)
    assert status == 0
    lines = lines_of(shown)
    assert [line for line in lines if len(line) > columns and not line.startswith(("next ", "results "))] == []
    assert any(re.match(rf"rate     .*/s  [{BLOCKS}]", line) for line in lines)
    (chart,) = [line for line in lines if line.startswith("service  ")]
    assert set(chart.removeprefix("service").strip()) <= set(BLOCKS + " ")
    assert max(len(line) for line in lines if "ms|" in line) > columns * 0.6


@pytest.mark.parametrize(
    "environ", [{"LANG": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}], ids=["locale", "encoding"]
)
def test_where_the_locale_has_ascii_alone_nothing_else_is_shown(command, ping, environ):
    command.environ.update({"LC_ALL": "", "LC_CTYPE": "", **environ})
    status, shown = run_on_a_terminal(command, f"{ping} {CALM} --duration 2")
    assert status == 0
    assert shown.isascii()
    assert any(re.match(rf"rate     .*/s  [{re.escape(PLAIN)}]", line) for line in lines_of(shown))


def test_a_terminal_without_escapes_has_lines_that_stay(command, ping):
    command.environ["TERM"] = "dumb"
    status, shown = run_on_a_terminal(command, f"{ping} {CALM} --duration 6")
    assert status == 0
    assert "\x1b" not in shown
    assert re.search(r"^measuring: 5 of 6 s, .*; last 10 s: .*/s, p50 .*, p99 ", shown, re.MULTILINE)


def test_a_suite_says_where_it_stands(command):
    (command.cwd / "two.toml").write_text('[[benchmark]]\nname = "ping"\nduration = 1\n' * 2)
    status, shown = run_on_a_terminal(command, "--suite two.toml")
    assert status == 0
    assert re.search(r"\r\x1b\[1mbenchmark 2 of 2: ping\x1b\[0m", shown), "above what is being done"


def test_a_reader_that_leaves_is_no_failure(command, ping):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        run = command.run(f"{ping} -t 2 -l 5", stdout=write_end)
    finally:
        os.close(write_end)
    assert run.stderr.count("BrokenPipe") == 0
    assert run.status == 0, run.stderr
    assert run.result["partial"] is False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")  # noqa: PTH110
def test_a_summary_that_cannot_be_printed_is_said_and_is_no_failure(command, ping):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        run = command.run(f"{ping} -t 2 -l 5", stdout=full)
    assert run.status == 0, run.stderr
    assert "servemark: stdout could not be written: No space left on device" in run.stderr
    assert run.result["partial"] is False


def test_a_folder_whose_name_is_no_utf8_is_written_and_printed(command, ping):
    name = os.fsdecode(b"out-\xff")
    run = command.run(f"{ping} -t 2 -l 5 -o {name}")
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
