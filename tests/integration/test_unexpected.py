"""What nobody expected, a disk that gets full at any stage, and what is left where nothing was measured."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadgen_servers import OK, answering, serving

from servemark import runner
from servemark.cli import main
from servemark.errors import RecordingError, SetupError
from servemark.unexpected import explained

from ..validity import status_but_for_the_machine

SECRET = "s3cr3t-with-a-tail"
CANNOT_MOUNT = "no file system can be mounted here"


@pytest.fixture
def url() -> Iterator[str]:
    with serving(answering(OK)) as server:
        yield f"http://127.0.0.1:{server.port}/"


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """Where results are made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "servemark-results"


def measures(words: list[str], folder: Path) -> bool:
    """Whether a run into `folder` ends as on a quiet machine it would."""
    status = main(words)
    return status_but_for_the_machine(status, json.loads((folder / "result.json").read_text())) == 0


def error_line(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("servemark: error: ")]
    return line


# --- faults of servemark's own ---


def test_a_fault_before_there_is_a_result_is_one_line_and_a_file(tmp_path, url, capsys, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise TypeError("no such\x1b[31m thing")

    monkeypatch.setattr(runner, "perform", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["run", "http", "--url", url, "-l", "1"]) == 70
    said = capsys.readouterr().err
    path = Path(re.search(r"please report it with (\S+)$", error_line(said), re.M)[1])
    assert path.parent == tmp_path
    assert error_line(said).startswith("servemark: error: unexpected TypeError: no such [31m thing; this is a fault of")
    assert "Traceback" not in said
    assert "raise TypeError" in path.read_text()
    assert path.read_text().startswith("servemark ")


def test_a_fault_while_measuring_leaves_its_traceback_in_the_result(results, url, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyError(f"the server said {SECRET}")

    monkeypatch.setattr(runner, "measure_benchmark", fail)
    assert main(["run", "http", "--url", url, "-l", "1", "-H", f"Authorization: Bearer {SECRET}"]) == 70
    said = capsys.readouterr().err
    folder = results / "latest"
    (path,) = folder.glob("traceback-*.txt")
    assert error_line(said).endswith(f"/{folder.resolve().name}/{path.name}")
    assert said.splitlines()[-1].startswith("what there is of a result is in servemark-results/")
    result = json.loads((folder / "result.json").read_text())
    assert result["partial"] is True
    assert "unexpected KeyError" in result["error"]
    for text in (said, path.read_text(), result["error"]):
        assert SECRET not in text
    assert "measure_benchmark" in path.read_text()


def test_where_no_file_can_be_written_the_traceback_is_shown(url, capsys, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise TypeError("nothing")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "perform", fail)
    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert main(["run", "http", "--url", url, "-l", "1"]) == 70
    said = capsys.readouterr().err
    assert error_line(said).endswith("please report it with what is below")
    assert 'raise TypeError("nothing")' in said


def test_of_a_suite_a_fault_ends_one_benchmark(tmp_path, url, capsys, monkeypatch):
    measure, calls = runner.measure_benchmark, []

    def fail_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise AttributeError("nothing")
        return measure(*arguments)

    monkeypatch.setattr(runner, "measure_benchmark", fail_once)
    entry = f'[[benchmark]]\nname = "http"\nurl = "{url}"\nthreads = 1\nloops = 5\n'
    (tmp_path / "two.toml").write_text(f"{entry}\n{entry}")
    assert main(["run", "--suite", str(tmp_path / "two.toml"), "-o", str(tmp_path / "out")]) == 70
    failed, done = json.loads((tmp_path / "out" / "result.json").read_text())["benchmarks"]
    assert failed["failure"]["exit_status"] == 70
    assert done["steps"][0]["succeeded"] == 5


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), RecordingError, "cannot write /x/y: No space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), RecordingError, "cannot write a file: Disk quota exceeded"),
        (OSError(errno.EMFILE, "Too many open files"), SetupError, "this machine lacks file descriptors: Too many"),
        (MemoryError(), SetupError, "this machine lacks memory"),
    ],
)
def test_what_a_machine_lacks_is_no_fault_of_servemarks(error, kind, said):
    known = explained(error)
    assert isinstance(known, kind)
    assert str(known).startswith(said)
    assert known.exit_status == 4


# --- full disks ---

#: Runs on a file system of so many pages each, and says as JSON how each ended.
FULL = """
import contextlib, io, json, os, subprocess, sys
from servemark.cli import main
url, folder, *sizes = sys.argv[1:]
for pages in sizes:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(pages) * 4096}", "tmpfs", folder], check=True)
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        words = ["-t", "1", "-l", "1500", "-o", f"{folder}/out", "--json", f"{folder}/copy.json"]
        status = main(["run", "http", "--url", url, *words])
    files = {}
    for above, _, names in os.walk(folder):
        for name in names:
            files[os.path.relpath(f"{above}/{name}", folder)] = open(f"{above}/{name}", "rb").read().decode("latin-1")
    print(json.dumps({"pages": int(pages), "status": status, "said": said.getvalue(), "files": files}))
    subprocess.run(["umount", folder], check=True)
"""


@pytest.mark.slow  # a run for each of 25 sizes
def test_a_disk_that_gets_full_at_any_stage_is_one_line(tmp_path, url):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip(CANNOT_MOUNT)
    # 1,500 records are 41 pages, and 42 with their header; about as much again are the reports.
    sizes = [*range(1, 9), 20, *range(40, 52), 60, 80, 120, 300]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", FULL, url, disk, *map(str, sizes)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end["pages"] for end in ends] == sizes
    stages = set()
    for end in ends:
        assert "Traceback" not in end["said"], end["said"]
        assert [name for name in end["files"] if name.endswith(".partial")] == []
        if end["status"] in {2, 4}:
            line = error_line(end["said"])
            assert "No space left on device" in line, line
            stages.add(re.sub(r"'.*?'|/\S+", "PATH", line))
        else:
            assert status_but_for_the_machine(end["status"], json.loads(end["files"]["out/result.json"])) == 0, end[
                "said"
            ]
        result = end["files"].get("out/result.json")
        if result is not None:
            json.loads(result)
        assert end["files"].get("copy.json", "") in {"", result}, "half of it is no JSON"
    assert ends[-1]["status"] not in {2, 4}, "there is room for all at last"
    assert any("cannot write records" in stage for stage in stages), stages
    assert any("cannot write the result" in stage for stage in stages), stages


def test_logs_that_cannot_be_kept_replace_no_error_and_end_no_measurement(tmp_path, url, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("servemark.servers.http.plain.PlainServer.save_logs", full, raising=False)
    words = ["run", "http", "--url", url, "-t", "1", "-l", "5", "-o", str(tmp_path / "out")]
    assert measures(words, tmp_path / "out")
    assert "the server's logs could not be kept in" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "result.json").read_text())["partial"] is False


# --- folders without a result ---


def test_where_nothing_was_measured_there_is_no_folder(results, capsys):
    for words in (["--url", "http://127.0.0.1:9/"], ["--url", "http://127.0.0.1:9/", "-o", "mine/deeper"]):
        assert main(["run", "http", *words, "-l", "1"]) == 4
        said = capsys.readouterr().err
        assert "what there is of a result" not in said
    assert list(results.parent.iterdir()) == []


def test_a_folder_that_was_there_stays_without_the_result_that_was_in_it(results, url, capsys):
    mine = results.parent / "mine"
    mine.mkdir()
    assert main(["run", "http", "--url", "http://127.0.0.1:9/", "-l", "1", "-o", "mine"]) == 4
    assert list(mine.iterdir()) == []
    assert measures(["run", "http", "--url", url, "-t", "1", "-l", "1", "-o", "mine"], mine)
    assert main(["run", "http", "--url", "http://127.0.0.1:9/", "-l", "1", "-o", "mine", "--force"]) == 4
    result = json.loads((mine / "result.json").read_text())
    assert (result["partial"], result["benchmarks"]) == (True, []), "no older result that looks like this one's"
    assert list((mine / "records").iterdir()) == [], "no records that look like its own"
    assert "what there is of a result" not in capsys.readouterr().err


def test_the_link_leads_to_the_last_result(results, url):
    words = ["run", "http", "-t", "1", "-l", "2", "--url"]
    assert measures([*words, url], results / "latest")
    first = str((results / "latest").readlink())
    assert (results / first / "result.json").exists()
    assert measures([*words, url], results / "latest")
    second = str((results / "latest").readlink())
    assert second != first
    assert main([*words, "http://127.0.0.1:9/"]) == 4
    assert str((results / "latest").readlink()) == second
    assert sorted(path.name for path in results.iterdir()) == sorted([first, second, "latest"])
    with contextlib.suppress(FileNotFoundError):
        (results / "latest").unlink()
    (results / "latest").mkdir()
    assert main([*words, url, "--allow-invalid"]) == 0
    assert (results / "latest").is_dir(), "what is not ours stays"


# --- nothing measured ---


def test_a_run_without_a_measured_success_is_no_success(tmp_path, capsys):
    def slow(connection) -> None:
        connection.recv(1000)
        time.sleep(1.5)
        connection.sendall(OK)

    with serving(slow) as server:
        words = ["-t", "1", "--duration", "0.5", "--warmup", "0.5", "-o", str(tmp_path / "out")]
        status = main(["run", "http", "--url", f"http://127.0.0.1:{server.port}/", *words])
    assert status == 4
    (benchmark,) = json.loads((tmp_path / "out" / "result.json").read_text())["benchmarks"]
    assert (benchmark["steps"][0]["succeeded"], benchmark["steps"][0]["measured"]) == (1, 0)
    out = capsys.readouterr().out
    assert "nothing was measured: every answer took too long" in out.splitlines()[0]
