"""The parity table: every row names tests, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from servemark.benchmarks import Benchmark, catalogue
from servemark.cli.options import parse_run, run_parser
from servemark.options import RunRequest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs" / "parity.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| the original |", "| --- "))
]
LINK = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@lru_cache
def _tests_in(path: str) -> set[str]:
    """The functions of a test file that pytest collects; empty where there is no such file."""
    file = ROOT / path
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_every_row_names_tests_that_there_are(row):
    cells = re.split(r"(?<!\\) \| ", row.strip("| "))
    assert len(cells) == 3
    assert all(cells)
    named = LINK.findall(cells[2])
    assert named, "nothing proves it"
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == cells[2], "not a list of tests"
    for path, name in named:
        assert name in _tests_in(path), f"{path} has no {name}"


def test_every_table_of_the_page_is_read():
    assert len(ROWS) > 75
    assert len(set(ROWS)) == len(ROWS)


def test_a_test_that_is_not_there_would_be_noticed():
    assert "test_that_nobody_wrote" not in _tests_in("tests/unit/test_parity.py")
    assert _tests_in("tests/unit/no_such_file.py") == set()


#: Every command in the original's README but ``--all``, whose entries are in test_options.py, and what it has to mean.
URL = "https://models.example.org/Models/resnet-18.model"
COMMANDS = [
    ("latency", {"benchmark": "latency", "model": None}),
    ("throughput", {"benchmark": "throughput", "model": None}),
    ("latency -m lstm", {"benchmark": "latency", "model": "lstm"}),
    ("latency -g 4", {"gpus": 4}),
    ("latency -i kitten.jpg", {"input": [Path("kitten.jpg")]}),
    (f"latency -c {URL} -i kitten.jpg", {"custom_model": URL, "input": [Path("kitten.jpg")]}),
    (
        "repeated_scale_calls --options scale_up_workers 100 scale_down_workers 10",
        {"parameters": {"scale_up_workers": 100, "scale_down_workers": 10, "background_threads": 0}},
    ),
    ("latency --mms 127.0.0.1:8443", {"mms": "127.0.0.1:8443"}),
    ("latency --mms https://localhost:8443", {"mms": "https://localhost:8443"}),
    ("throughput --mms https://localhost:8443", {"mms": "https://localhost:8443"}),
    ("latency -v -l 1", {"verbose": True, "loops": 1}),
]


@pytest.mark.parametrize(("line", "meaning"), COMMANDS, ids=[line for line, _ in COMMANDS])
def test_every_command_of_the_original_is_taken_as_it_stands(tmp_path, monkeypatch, line, meaning):
    (tmp_path / "kitten.jpg").write_bytes(b"\xff\xd8")
    monkeypatch.chdir(tmp_path)
    arguments = vars(parse_run("servemark run", line.split()))
    found = {name: arguments[name] for name in meaning}
    assert {**found, "input": arguments["input"]} == {"input": [], **meaning}


def test_every_option_of_the_originals_script_is_there():
    words = (
        "-a --all -m --model -c --custom-model -d --docker -i --input -g --gpus -l --loops -t --threads -w --workers"
    )
    words += " --mms --management-port -v --verbose --options -s --suite -h --help"
    assert set(words.split()) <= {word for action in run_parser("x")._actions for word in action.option_strings}


def _points(benchmark: Benchmark):
    asked = RunRequest(benchmark.name, parameters={one.key: one.default for one in benchmark.parameters})
    return tuple(benchmark.points(asked))


def test_the_defaults_are_the_originals():
    known = catalogue()
    assert [point.load.users for point in _points(known["throughput"])] == [100]
    assert [point.load.users for point in _points(known["latency"])] == [1]
    assert [point.load.users for point in _points(known["load"])] == [16]
    assert [point.load.users for point in _points(known["concurrent_inference"])] == list(range(1, 3 * 5 + 1, 3))
    scaling = {one.key: one.default for one in known["repeated_scale_calls"].parameters}
    assert (scaling["scale_up_workers"], scaling["scale_down_workers"]) == (16, 1)
    assert parse_run("servemark run", ["latency"]).entries[0].model == "resnet"


def test_the_page_on_profiling_has_the_originals_five_steps_in_their_order():
    page = (ROOT / "docs" / "profiling.md").read_text(encoding="utf-8")
    steps = re.split(r"^\d\. ", page.split("## With JProfiler")[1].split("\n## ")[0], flags=re.MULTILINE)[1:]
    words = [
        ("outside of a container", "SSH"),
        ("*Attach*", "`com.amazonaws.ml.mms.ModelServer`", "*On another computer*", "*Telemetries*"),
        ("*Start Recordings*",),
        ("./benchmark.py throughput --mms https://localhost:8443",),
        ("*Stop Recordings*", "*Call Tree*", "*Hot Spots*"),
    ]
    assert len(steps) == len(words) == 5
    for step, expected in zip(steps, words, strict=True):
        for word in expected:
            assert word in step
