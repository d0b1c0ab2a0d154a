"""How the code is written, as docs/design.md has it, where no linter says it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..pages import ROOT

SOURCES = ROOT / "src" / "servemark"
#: Words with which a docstring begins in the middle of a sentence, whose subject stands nowhere.
NO_BEGINNING = {"Of", "That", "Those", "By", "For", "Where"}
#: Functions have fewer lines.
LINES = 60


def definitions() -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All modules, classes and functions, by where they are."""
    for path in sorted(SOURCES.rglob("*.py")):
        file = str(path.relative_to(SOURCES))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{file}:{getattr(node, 'name', '')}", node


def test_a_docstring_begins_with_a_verb_or_names_its_subject():
    found = [(where, ast.get_docstring(node) or "") for where, node in definitions()]
    assert len(found) > 2000
    begun = [(where, text.split()[0]) for where, text in found if text]
    assert [where for where, word in begun if word in NO_BEGINNING] == []


def test_a_function_is_seen_at_a_glance():
    functions = [
        (where, node) for where, node in definitions() if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert len(functions) > 2000
    lengths = [(where, (node.end_lineno or 0) - node.lineno + 1) for where, node in functions]
    assert [(where, lines) for where, lines in lengths if lines >= LINES] == []
