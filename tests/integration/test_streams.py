"""What people are told is never essential: closed, full, left and vanished streams; data for programs is."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pty
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from loadgen_servers import OK, answering, serving

from servemark.cli import json_output, main
from servemark.errors import OutputError
from servemark.records import open_records
from servemark.report.live import LiveView
from servemark.report.progress import RunUnderWay
from servemark.telling import Told, guarded
from servemark.units import NS_PER_S
from servemark.workload.load import ClosedLoad

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

PROGRAM = [sys.executable, "-m", "servemark"]
LIMIT_S = 60


@pytest.fixture
def url() -> Iterator[str]:
    with serving(answering(OK)) as server:
        yield f"http://127.0.0.1:{server.port}/"


def shell(folder: Path, words: list[str], streams: str) -> tuple[int, str]:
    """The command's own status with its streams as the shell makes them, and what came out of everything."""
    line = f"{{ {shlex.join([*PROGRAM, *words])}; echo $? >status; }} {streams}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=LIMIT_S
    )
    return int((folder / "status").read_text()), done.stdout + done.stderr


def measured(folder: Path) -> dict:
    """The result in `folder`, which is whole."""
    result = json.loads((folder / "result.json").read_text())
    assert result["partial"] is False
    (benchmark,) = result["benchmarks"]
    assert benchmark["steps"][0]["succeeded"] == 60
    assert open_records(folder / benchmark["runs"][0]["records"]).rows == 60
    assert len((folder / "requests.jtl").read_text().splitlines()) == 61
    return result


@pytest.mark.parametrize(
    "streams",
    [
        "2>&-",
        "<&- >&- 2>&-",
        "2>/dev/full",
        ">/dev/full 2>&1",
        "2> >(true)",
        "2>&1 | head -1",
        "> >(true)",
    ],
)
def test_no_stream_of_people_changes_a_measurement(tmp_path, url, streams):
    words = ["run", "http", "--url", url, "-t", "3", "-l", "20", "-v", "-o", "out"]
    status, said = shell(tmp_path, words, streams)
    assert status_but_for_the_machine(status, measured(tmp_path / "out")) == 0, said
    assert "Traceback" not in said
    assert "Exception" not in said


def test_a_terminal_that_goes_away_ends_nothing(tmp_path, url):
    leader, follower = pty.openpty()
    words = ["run", "http", "--url", url, "-t", "2", "--duration", "1", "--warmup", "0", "-o", "out"]
    process = subprocess.Popen(
        [*PROGRAM, *words],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown = b""
    while b"measuring" not in shown:
        shown += os.read(leader, 1000)
    os.close(leader)
    status = process.wait(timeout=LIMIT_S)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert status_but_for_the_machine(status, result) == 0
    assert result["partial"] is False
    assert result["benchmarks"][0]["runs"][0]["window_s"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("words", "streams", "expected"),
    [
        ("models", ">/dev/full", {0}),
        ("models", "2>&1 | true", {0}),
        ("doctor", "2>&1 | head -1", {0, 4}),
        ("doctor --json", ">/dev/full", {2}),
        ("models --json", ">/dev/full", {2}),
        ("models --json", ">&-", {2}),
        ("--version", ">&- 2>&-", {0}),
        ("run -h", "> >(true)", {0}),
        ("run latncy", "2>/dev/full", {2}),
        ("run --thraeds 1 latency", "2>&-", {2}),
    ],
)
def test_the_status_of_every_other_command_tells_of_what_it_did(tmp_path, words, streams, expected):
    status, said = shell(tmp_path, words.split(), streams)
    assert status in expected, said
    assert "Traceback" not in said
    assert "Exception" not in said
    assert ("stdout could not be written" in said) is (words == "models" and "full" in streams)


@pytest.mark.parametrize(("streams", "is_measured"), [(">/dev/full", True), ("| true", True), (">&-", False)])
def test_json_on_stdout_that_cannot_be_written_is_an_error(tmp_path, url, streams, is_measured):
    words = ["run", "http", "--url", url, "-t", "3", "-l", "20", "-o", "out", "--json", "-"]
    status, said = shell(tmp_path, words, streams)
    assert status == 2
    assert "servemark: error: cannot write the JSON to stdout: " in said
    assert (tmp_path / "out").exists() is is_measured
    if is_measured:
        measured(tmp_path / "out")


def test_json_into_a_named_pipe_reaches_its_reader_whole(tmp_path, url):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    status = main(
        ["run", "http", "--url", url, "-t", "3", "-l", "20", "-o", str(tmp_path / "out"), "--json", str(pipe)]
    )
    reader.join(timeout=10)
    result = measured(tmp_path / "out")
    assert status_but_for_the_machine(status, result) == 0
    assert json.loads(got[0]) == result


def test_a_named_pipe_that_nobody_reads_is_said_before_anything_is_sent(tmp_path, url, capsys, monkeypatch):
    monkeypatch.setattr(json_output, "_READER_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    words = ["run", "http", "--url", url, "-l", "1", "-o", str(tmp_path / "out"), "--json", str(tmp_path / "pipe")]
    assert main(words) == 2
    assert "it is a pipe that nobody reads; start its reader first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_named_pipe_whose_reader_leaves_is_an_error_and_people_are_told_all_the_same(tmp_path, url, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()
    words = ["run", "http", "--url", url, "-t", "3", "-l", "20", "-o", str(tmp_path / "out"), "--json", str(pipe)]
    status = main(words)
    reader.join(timeout=10)
    printed = capsys.readouterr()
    assert status == 2
    assert f"cannot write {pipe}: Broken pipe" in printed.err
    assert any(line.startswith("results ") for line in printed.out.splitlines())
    measured(tmp_path / "out")


def test_half_a_json_file_is_none(tmp_path, monkeypatch):
    def fill_the_disk(path: Path, text: str, **_: object) -> None:
        path.write_bytes(text[:3].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with (
        pytest.raises(OutputError, match=r"cannot write .*file: No space left"),
        json_output.json_output(str(tmp_path / "file")) as write,
    ):
        write("{...}")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_line_of_progress_does_not_wait_for_a_reader_that_has_stopped_reading(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with open(reader, "rb") as unread, open(writer, "w") as stopped:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", stopped)
        counts = SimpleNamespace(elapsed_ns=11 * NS_PER_S, scheduled=6, succeeded=5, failed=0, in_flight=1)
        began_s = time.monotonic()
        with LiveView() as view:
            view.show(RunUnderWay(counts, ClosedLoad(users=1, loops=1)))
            view.draw()
        assert time.monotonic() - began_s < 30
        monkeypatch.undo()
        os.set_blocking(unread.fileno(), False)
        unread.read()


def test_a_guarded_stream_keeps_the_first_failure_and_what_the_stream_is():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, f"no room for {text}")

    told = Told(Full())
    for text in ("one", "two"):
        assert told.write(text) == 3
    assert told.failure is not None
    assert told.failure.strerror == "no room for one"
    assert not told.isatty()
    told = Told(io.StringIO())
    told.close()
    told.write("behind the end")
    assert told.failure is not None
    with guarded():
        assert isinstance(sys.stdout, Told)
        out = sys.stdout
        with guarded():
            assert sys.stdout is out
    assert not isinstance(sys.stdout, Told)
