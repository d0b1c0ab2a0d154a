"""``report.html`` beside each result: there unless it is not wanted, and whatever becomes of it nothing rests on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dialect_servers import answering

import servemark.report.html as module
from servemark.cli import main
from servemark.errors import SetupError

from ..validity import status_but_for_the_machine

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The status and the errors of a run of 20 requests into ``out``."""
    with answering({"GET /": (200, b"OK")}) as port:

        def execute(*words: str) -> tuple[int, str]:
            command = ["run", "http", f"http://127.0.0.1:{port}/", "-t", "1", "-l", "20", "--no-history"]
            status = main([*command, "-o", str(tmp_path / "out"), *words], "servemark")
            result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
            return status_but_for_the_machine(status, result), capsys.readouterr().err

        yield execute


def test_each_run_has_its_page(run: Run, tmp_path: Path) -> None:
    assert run()[0] == 0
    assert "Latency by percentile" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_page_that_is_not_wanted_is_not_there_nor_an_older_one(run: Run, tmp_path: Path) -> None:
    run()
    assert run("--no-report", "--force")[0] == 0
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (RuntimeError("no such chart"), "there is no report.html: unexpected RuntimeError: no such chart"),
        (OSError(28, "No space left on device", "report.html"), "there is no report.html: cannot write"),
        (SetupError("the charts cannot be had"), "there is no report.html: the charts cannot be had"),
        (KeyboardInterrupt(), "there is no report.html: interrupted"),
    ],
    ids=["fault", "disk", "set-up", "ctrl-c"],
)
def test_a_page_that_fails_is_said_and_changes_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, told: str
) -> None:
    def fail(*_: object) -> str:
        raise fault

    monkeypatch.setattr(module, "page_text", fail)
    status, err = run()
    assert status == 0
    assert told in err
    assert not (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "result.json").exists()


def test_it_costs_a_run_less_than_a_second(run: Run, tmp_path: Path) -> None:
    run()  # what it is made with is loaded, and in the cache
    spent_s = []
    for words in ((), ("--no-report",)):
        started_s = time.process_time()
        run("--force", *words)
        spent_s.append(time.process_time() - started_s)
    with_page_s, without_s = spent_s
    assert with_page_s - without_s < 1.0
