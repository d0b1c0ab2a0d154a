"""A suite that is interrupted: each headline when it is there, what ran and what did not, and how it goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from loadgen_servers import OK, read_request, serving

import servemark
from servemark import cli
from servemark.result import schema_text

from ..validity import status_but_for_the_machine

pytestmark = pytest.mark.seconds


@dataclass
class Endpoint:
    """A server whose /slow answers nothing until it is `released`; `came` counts requests by path."""

    port: int = 0
    came: Counter[str] = field(default_factory=Counter)
    released: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: Any) -> None:
        while request := read_request(connection):
            path = request.split()[1].decode()
            self.came[path] += 1
            if path == "/slow":
                self.released.wait(60)
            connection.sendall(OK)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    with serving(made.serve) as server:
        made.port = server.port
        yield made
        made.released.set()


def _suite(folder: Path, endpoint: Endpoint, *paths: str) -> Path:
    entries = "".join(
        f'[[benchmark]]\nname = "http"\nurl = "http://127.0.0.1:{endpoint.port}{path}"\nthreads = 1\nloops = 3\n'
        for path in paths
    )
    (folder / "mine.toml").write_text(entries)
    return folder / "mine.toml"


@contextmanager
def _started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[], str]]]:
    """``servemark run WORDS`` under way, and what it has said on stderr so far."""
    environ = {**os.environ, "PYTHONPATH": str(Path(servemark.__path__[0]).parent), "COLUMNS": "80"}
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "servemark", "run", *words],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            yield process, (folder / "stderr").read_text
        finally:
            process.kill()
            process.wait()


def _wait_for(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)


def _result(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(result)
    return result


def _statuses(result: dict[str, Any]) -> list[str]:
    return [entry["status"] for entry in result["suite"]["entries"]]


@pytest.fixture
def interrupted(tmp_path: Path, endpoint: Endpoint) -> tuple[Path, str, str]:
    """The result of a suite that was interrupted in the second of its three benchmarks, and what it said."""
    suite = _suite(tmp_path, endpoint, "/first", "/slow", "/last")
    with _started(tmp_path, "--suite", str(suite), "-o", "out") as (process, said):
        _wait_for(lambda: endpoint.came["/slow"])
        so_far = said()
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 130
    endpoint.released.set()
    return tmp_path / "out", printed, so_far


def test_what_ran_and_what_did_not_and_how_to_go_on(
    interrupted: tuple[Path, str, str], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, printed, so_far = interrupted
    first, second = f"http 127.0.0.1:{endpoint.port}: ", "benchmark 2 of 3"
    assert so_far.index(first) < so_far.index(second), "each headline when it is there"
    before = _result(folder)
    assert _statuses(before) == ["done", "partial", "not run"]
    assert before["partial"] is True
    table = [line.split("  ")[0] for line in printed.partition("  benchmark  ")[2].splitlines()]
    assert [word for word in table if word in ("PARTIAL", "not run")] == ["PARTIAL", "not run"]
    line = printed.splitlines()[-1]
    assert line.startswith("next  ")
    words = shlex.split(line.removeprefix("next"))
    assert words[-2:] == ["--resume", "out"]
    came = endpoint.came["/first"]

    monkeypatch.chdir(tmp_path)
    status = cli.main(words[words.index("run") :] if "run" in words else ["run", *words[1:]])
    after = _result(folder)
    assert status_but_for_the_machine(status, after) == 0
    assert _statuses(after) == ["done"] * 3
    assert (after["partial"], after["error"], after["command"]) == (False, None, before["command"])
    assert after["benchmarks"][0] == before["benchmarks"][0], "as it was measured before"
    assert [one["options"]["url"].rpartition("/")[2] for one in after["benchmarks"]] == ["first", "slow", "last"]
    assert endpoint.came["/first"] == came
    assert {path.name for path in (folder / "records").iterdir()} == {
        f"{number}-http-127.0.0.1_{endpoint.port}.bin" for number in (1, 2, 3)
    }
    assert len((folder / "summary.csv").read_text().splitlines()) == 1 + 3


def test_where_nothing_is_missing_nothing_is_run(
    tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = str(_suite(tmp_path, endpoint, "/first", "/last"))
    first = cli.main(["run", "--suite", suite, "-o", str(tmp_path / "out")])
    came, before = Counter(endpoint.came), _result(tmp_path / "out")
    assert cli.main(["run", "--suite", suite, "--resume", str(tmp_path / "out")]) == first
    assert (endpoint.came, _result(tmp_path / "out")) == (came, before)
    assert "nothing is missing" in capsys.readouterr().err


def test_other_options_are_refused_in_one_line(
    interrupted: tuple[Path, str, str], tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, folder = str(tmp_path / "mine.toml"), interrupted[0]
    came, before = Counter(endpoint.came), (folder / "result.json").read_bytes()
    for words in (["-l", "4"], ["-t", "2"], ["--seed", "7"], ["-H", "X: y"], ["--timeout", "5"]):
        assert cli.main(["run", "--suite", suite, "--resume", str(folder), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        why = f"benchmark 1 (http-127.0.0.1_{endpoint.port}) was asked something else; it was made by: "
        assert line.startswith(f"servemark: error: cannot go on with {folder}: {why}")
        assert line.endswith(f"--suite {suite} -o out")
    assert (endpoint.came, (folder / "result.json").read_bytes()) == (came, before)


def test_another_suite_or_no_suite_is_refused_in_one_line(
    tmp_path: Path, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = str(_suite(tmp_path, endpoint, "/first", "/last"))
    url = f"http://127.0.0.1:{endpoint.port}/first"
    cli.main(["run", "--suite", suite, "-o", str(tmp_path / "out")])
    cli.main(["run", "http", "--url", url, "-l", "1", "-t", "1", "-o", str(tmp_path / "single")])
    _suite(tmp_path, endpoint, "/first", "/last", "/more")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "result.json").write_text("{")
    capsys.readouterr()
    for words, why in [
        (["--suite", suite, "--resume", str(tmp_path / "out")], "had 2 benchmarks, and now has 3"),
        (["--suite", suite, "--resume", str(tmp_path / "single")], "it is the result of no suite"),
        (["--suite", suite, "--resume", str(tmp_path / "none")], "No such file or directory: result.json; give"),
        (["--suite", suite, "--resume", str(tmp_path / "broken")], "its result.json cannot be read"),
        (["--suite", suite, "--resume", str(tmp_path / "out"), "-o", "x"], "--resume and --output do not go together"),
        (["http", "--url", url, "--resume", str(tmp_path / "out")], "--resume needs a suite"),
    ]:
        assert cli.main(["run", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert why in line


def test_what_failed_is_tried_again(tmp_path: Path, endpoint: Endpoint) -> None:
    suite = _suite(tmp_path, endpoint, "/first")
    suite.write_text(suite.read_text() + '[[benchmark]]\nname = "http"\nurl = "http://127.0.0.1:1/"\nloops = 3\n')
    words = ["run", "--suite", str(suite)]
    assert cli.main([*words, "-o", str(tmp_path / "out")]) == 4
    assert _statuses(_result(tmp_path / "out")) == ["done", "failed"]
    came = Counter(endpoint.came)
    assert cli.main([*words, "--resume", str(tmp_path / "out")]) == 4
    assert _statuses(_result(tmp_path / "out")) == ["done", "failed"]
    assert endpoint.came == came
