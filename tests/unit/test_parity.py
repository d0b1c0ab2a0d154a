"""The parity table: every row names tests, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

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
    assert len(ROWS) > 25
    assert len(set(ROWS)) == len(ROWS)


def test_a_test_that_is_not_there_would_be_noticed():
    assert "test_that_nobody_wrote" not in _tests_in("tests/unit/test_parity.py")
    assert _tests_in("tests/unit/no_such_file.py") == set()
