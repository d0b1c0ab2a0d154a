"""The history among processes: runs that add to it, several writers, SIGKILL, and disks that are full."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadgen_servers import OK, answering, serving

from servemark.cli import main
from servemark.history.index import indexed

from ..processes import await_end
from ..unit.histories import measured, write
from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds

CANNOT_MOUNT = "no file system can be mounted here"
LIMIT_S = 60.0
#: Adds results to the history, and says each as soon as it is in; ends after so many.
WRITER = """
import sys
from pathlib import Path
from servemark.history.index import add
from servemark.result import read_result
result, name, count = read_result(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(count):
    add(result, Path(f"{name}-{number}"))
    print(f"{name}-{number}", flush=True)
"""


@pytest.fixture
def url() -> Iterator[str]:
    with serving(answering(OK)) as server:
        yield f"http://127.0.0.1:{server.port}/"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the history of the test is; the test itself is beside it."""
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "state" / "history.db"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "state" / "history.db"


def a_result() -> str:
    """The file of a result that can be added."""
    return str(write(Path("a-result"), measured(1)) / "result.json")


@contextlib.contextmanager
def writer(name: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """A process that adds `count` results; killed if it is left running."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, a_result(), name, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(url: str, *words: str) -> tuple[int, Path]:
    """How a short run ended, but for what the machine did to it, and where its result is."""
    status = main(["run", "http", "--url", url, "-t", "1", "-l", "5", "-o", "out", "--force", *words])
    return status_but_for_the_machine(status, json.loads(Path("out/result.json").read_text())), Path("out").resolve()


def is_whole(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- runs ---


def test_every_finished_run_is_in_it_unless_it_is_left_out(url, path, capsys):
    assert run(url, "--no-history") == (0, Path("out").resolve())
    assert not path.exists()
    assert run(url)[0] == 0
    (known,) = indexed()
    (one,) = known.measurements
    assert (known.number, known.folder) == (1, Path("out").resolve())
    assert known.id == json.loads(Path("out/result.json").read_text())["id"]
    assert (one.benchmark, one.model) == ("http", url)
    assert "history" not in capsys.readouterr().err
    assert main(["history"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[2:4] == ["http", url.removeprefix("http://")]


def test_a_run_of_which_nothing_was_measured_is_not_in_it(path):
    assert main(["run", "http", "--url", "http://127.0.0.1:9/", "-l", "1"]) == 4
    assert not path.exists()


def test_a_run_that_was_interrupted_is_in_it_as_partial(url):
    words = [
        sys.executable,
        "-m",
        "servemark",
        "run",
        "http",
        "--url",
        url,
        "-t",
        "1",
        "--duration",
        "30",
        "--warmup",
        "0",
    ]
    process = subprocess.Popen([*words, "-o", "out"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        records, deadline_s = Path("out/records/http.bin"), time.monotonic() + LIMIT_S
        while not (records.exists() and records.stat().st_size > 10_000):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 130
    finally:
        process.kill()
        process.wait()
    (known,) = indexed()
    assert (known.partial, known.measurements[0].partial) == (True, True)


@pytest.mark.parametrize("kind", ["damaged", "newer", "not to be written"])
def test_whatever_is_wrong_with_it_the_run_goes_on_and_says_so_in_one_line(url, path, capsys, kind):
    assert run(url)[0] == 0
    capsys.readouterr()
    if kind == "damaged":
        path.write_bytes(b"no database" * 1000)
    elif kind == "newer":
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO migrations VALUES ('of_next_year')")
    else:
        path.unlink()
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    assert run(url)[0] == 0
    told = capsys.readouterr()
    (said,) = [line for line in told.err.splitlines() if "history" in line]
    assert said.startswith("the result is not in the history: ")
    assert "Traceback" not in told.err
    assert "http" in told.out.splitlines()[0]
    assert main(["history", "list"]) == (4 if kind == "not to be written" else 2)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_fault_of_the_history_ends_no_run(url, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr("servemark.history.index.measurements", fail)
    assert run(url)[0] == 0
    assert "the result is not in the history: unexpected KeyError" in capsys.readouterr().err


# --- several writers ---


def test_several_writers_at_once_lose_nothing(path):
    count = 20
    with writer("a", count) as first, writer("b", count) as second, writer("c", count) as third:
        ends = [process.communicate(timeout=LIMIT_S) for process in (first, second, third)]
    assert [err for _, err in ends] == ["", "", ""]
    names = {known.folder.name for known in indexed()}
    assert names == {f"{name}-{number}" for name in "abc" for number in range(count)}
    assert sorted(known.number for known in indexed()) == list(range(1, 3 * count + 1))
    assert is_whole(path)


def test_a_writer_that_is_killed_loses_nothing_that_it_had_said(path):
    said: list[str] = []
    for attempt in range(4):
        with writer(f"w{attempt}", 100_000) as process:
            assert process.stdout
            said += [process.stdout.readline().strip() for _ in range(1 + attempt)]
            os.kill(process.pid, signal.SIGKILL)  # while it writes the next
            await_end(process.pid)
        assert is_whole(path)
    names = {known.folder.name for known in indexed()}
    assert "" not in said
    assert names >= set(said)
    assert all(len(known.measurements) == 1 for known in indexed()), "a result is whole or not there"


# --- full disks ---

#: Has a history on a file system of so many pages, until it is full; says as JSON what became of it.
FULL = """
import json, subprocess, sys
from pathlib import Path
from servemark.errors import ServemarkError
from servemark.history.index import add, indexed
from servemark.result import read_result
result, disk = read_result(Path(sys.argv[1])), sys.argv[2]
for pages in map(int, sys.argv[3:]):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * 4096}", "tmpfs", disk], check=True)
    added, error = 0, None
    while error is None and added < 500:
        try:
            add(result, Path(f"{disk}/{added}"))
            added += 1
        except ServemarkError as found:
            error = found
    # With room again all that was said to be in it is there.
    subprocess.run(["mount", "-o", f"remount,size={(pages + 100) * 4096}", disk], check=True)
    there = len(indexed())
    add(result, Path(f"{disk}/again"))
    ends = {"pages": pages, "added": added, "status": error.exit_status, "said": str(error), "there": there}
    print(json.dumps({**ends, "again": len(indexed())}))
    subprocess.run(["umount", disk], check=True)
"""


def test_a_disk_that_gets_full_loses_nothing_that_was_written(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip(CANNOT_MOUNT)
    sizes = [1, 2, 5, 9, 10, 12, 16, 24, 40]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", FULL, a_result(), disk, *map(str, sizes)],
        env={**os.environ, "SERVEMARK_HISTORY": str(disk / "history.db")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end["pages"] for end in ends] == sizes
    for end in ends:
        assert end["status"] == 4, end
        assert end["said"].startswith("cannot read or write the history in "), end
        assert (end["there"], end["again"]) == (end["added"], end["added"] + 1), end
    assert ends[0]["added"] == 0
    assert ends[-1]["added"] > 0


def test_a_run_beside_a_full_disk_goes_on(tmp_path, url):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip(CANNOT_MOUNT)
    words = f"run http --url {url} -t 1 -l 5 -o {tmp_path / 'out'} --allow-invalid"
    script = f'mount -t tmpfs -o size=8192 tmpfs "$1" && "$2" -m servemark {words}'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", disk, sys.executable],
        env={**os.environ, "SERVEMARK_HISTORY": str(disk / "history.db")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "history" in line]
    assert said.startswith("the result is not in the history: cannot read or write the history in ")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["partial"] is False


def test_ctrl_c_while_it_waits_for_another_ends_the_waiting_alone(url, path, capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("servemark.history.index.add", interrupted)
    assert run(url)[0] == 0
    told = capsys.readouterr()
    assert "the result is not in the history: interrupted" in told.err
    assert re.match("(INVALID )?http 127.0.0.1", told.out)
