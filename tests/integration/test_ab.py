"""``servemark ab`` over sockets: in turns, compared by block, with an exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from dialect_servers import answering

from servemark.cli import main
from servemark.history.index import indexed
from servemark.result import Result, schema_text

from ..validity import failed_checks, skip_where_too_busy, status_but_for_the_machine

pytestmark = pytest.mark.seconds

_ANSWERS = {"GET /": (200, b"OK")}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[tuple[int, list[str]], tuple[int, list[str]]]]:
    """Two servers, of which the second takes six times as long, and what each was asked."""
    quick: list[str] = []
    slow: list[str] = []
    with answering(_ANSWERS, quick, service_s=0.01) as first, answering(_ANSWERS, slow, service_s=0.06) as second:
        yield (first, quick), (second, slow)


def test_the_second_is_slower_and_both_are_in_one_result(servers, tmp_path: Path, capsys) -> None:
    (quick, asked_quick), (slow, asked_slow) = servers
    sides = [f"http http://127.0.0.1:{port}/ -t 1 -l 5" for port in (quick, slow)]
    folder = tmp_path / "out"
    status = main(["ab", "-o", str(folder), "--blocks", "7", sides[0], "--", sides[1]], "servemark")
    captured = capsys.readouterr()
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(result, json.loads(schema_text()))
    assert Result.load(folder).comparison is not None
    assert indexed()[-1].folder == folder.resolve()
    skip_where_too_busy(failed_checks(run["certificate"] for one in result["benchmarks"] for run in one["runs"]))
    assert status_but_for_the_machine(status, result) == 1, captured.err
    assert captured.out.startswith("slower: request ")
    (head,) = [line for line in captured.out.splitlines() if "95% interval" in line]
    assert head.split()[:2] == ["A", "B"]
    assert [len(benchmark["runs"]) for benchmark in result["benchmarks"]] == [14, 14]
    assert result["partial"] is False
    assert result["comparison"]["benchmarks"][0]["trials"] == [7, 7]
    assert result["benchmarks"][1]["verdicts"][-1]["outcome"] == "missed"
    assert len(asked_quick) >= 70
    assert len(asked_slow) >= 70
    turns = [line.split(": ")[1][0] for line in captured.err.splitlines() if line.startswith("block ")]
    blocks = {"".join(turns[place : place + 4]) for place in range(0, 28, 4)}
    assert blocks <= {"ABBA", "BAAB"}
    assert len(turns) == 28


def test_what_fails_leaves_what_was_measured(servers, tmp_path: Path, capsys) -> None:
    (quick, _), _ = servers
    folder = tmp_path / "out"
    sides = [f"http http://127.0.0.1:{quick}/ -t 1 -l 5", "--", "http http://127.0.0.1:1/ -l 1"]
    assert main(["ab", "-o", str(folder), *sides], "servemark") == 4
    assert "nobody answers at 127.0.0.1 port 1" in capsys.readouterr().err


def test_the_same_with_itself_says_which_changes_can_be_shown(servers, tmp_path: Path, capsys) -> None:
    (quick, _), _ = servers
    side = f"http http://127.0.0.1:{quick}/ -t 1 -l 5"
    file = tmp_path / "calibration.json"
    words = ["-o", str(tmp_path / "out"), "--blocks", "3", "--json", str(file), side]
    status = main(["calibrate", *words], "servemark")
    captured = capsys.readouterr()
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    if status == 3:
        skip_where_too_busy(failed_checks(run["certificate"] for one in result["benchmarks"] for run in one["runs"]))
    assert status == 0, captured.err
    assert captured.out.startswith("10 trials show a change of ")
    assert "undecided: 3 blocks can show nothing, 7 could" in " ".join(captured.out.split())
    document = json.loads(file.read_text(encoding="utf-8"))
    schema = json.loads(schema_text())
    jsonschema.validate(document, {"$defs": schema["$defs"], "$ref": "#/$defs/calibration"})
    assert [one["trials"] for one in document["changes"]] == [5, 7, 10, 15, 20, 30]
    ten = next(one for one in document["changes"] if one["trials"] == 10)
    assert captured.out.startswith(f"10 trials show a change of {max(ten['smallest'].values()):.1%} or more")


def test_what_was_interrupted_is_partial_on_both_sides_and_compares_nothing(servers, tmp_path: Path) -> None:
    (quick, _), (slow, _) = servers
    folder = tmp_path / "out"
    sides = [f"http http://127.0.0.1:{port}/ -t 1 --duration 0.5 --warmup 0" for port in (quick, slow)]
    words = [sys.executable, "-m", "servemark", "ab", "-o", str(folder), sides[0], "--", sides[1]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("trial 2 of 14"):  # each has been measured at least once
                process.send_signal(signal.SIGINT)
                break
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    jsonschema.validate(result, json.loads(schema_text()))
    assert [benchmark["partial"] for benchmark in result["benchmarks"]] == [True, True]
    assert "comparison" not in result
    assert out.startswith("A  PARTIAL ")
