"""Assertions that cannot fail are no tests: their kinds, looked for in every test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..longest import LONGEST

TESTS = Path(__file__).parents[1]
#: Exit statuses that are apart: done, and INVALID. ``tests/validity.py`` tells which a run would have had.
DONE_OR_INVALID = {0, 3}


def _always_true(test: ast.expr) -> str | None:
    """Why an assertion of `test` says nothing, or too little to be one; None if it does."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return "either of two is true: say when which"
    if isinstance(test, (ast.GeneratorExp, ast.Lambda)) or (isinstance(test, (ast.Tuple, ast.List)) and test.elts):
        return "it is an object, and so true"
    if isinstance(test, ast.Constant) and test.value:
        return "it is a constant"
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    (operator,), (right,) = test.ops, test.comparators
    if ast.dump(test.left) == ast.dump(right):
        return "it compares something with itself"
    if isinstance(operator, ast.GtE) and isinstance(right, ast.Constant) and right.value == 0:
        return "counts and times are never below 0"
    allowed = right.elts if isinstance(right, (ast.Tuple, ast.List, ast.Set)) else []
    values = {item.value for item in allowed if isinstance(item, ast.Constant)}
    if isinstance(operator, ast.In) and values >= DONE_OR_INVALID:
        return "done or INVALID: see tests/validity.py"
    return None


def _found(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        why = _always_true(node.test) if isinstance(node, ast.Assert) else None
        if why:
            yield f"line {node.lineno}: {ast.unparse(node)}: {why}"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_every_assertion_can_fail(path: Path) -> None:
    assert list(_found(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "assert a == b or len(a) == len(b)",
        "assert status in (0, 3)",
        "assert status in {3, 0, 4}",
        "assert run.cpu_s >= 0",
        "assert (x for x in ())",
        "assert (a, 'words')",
        "assert [a == b]",
        "assert a.b == a.b",
        "assert True",
    ],
)
def test_these_cannot(source: str) -> None:
    assert len(list(_found(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "assert (rows['sent'] >= 0).all()",
        "assert (a >= 0) == b",
        "assert status in (0, 2)",
        "assert 0 <= a < b",
        "assert a if b else c",
        "assert not (a or b)",
        "assert []",
        "assert a >= 1",
    ],
)
def test_these_can(source: str) -> None:
    assert list(_found(source)) == []


@pytest.mark.parametrize("name", LONGEST)
def test_what_is_begun_first_is_there_and_takes_longer_than_what_is_run_after_each_change(name: str) -> None:
    source = (TESTS / name).read_text(encoding="utf-8")
    assert re.search(r"pytest\.mark\.(slow|seconds)\b", source)
