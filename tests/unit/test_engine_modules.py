"""The modules of the load generator lie in layers: no two of them need each other."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

from ..pages import ROOT

SOURCE = ROOT / "crates" / "servemark-loadgen" / "src"

COMMENT = re.compile(r"//.*")
TESTS = re.compile(r"#\[cfg\(test\)\]\s*(pub(\(crate\))? )?mod \w+ \{.*", re.DOTALL)
PATH = re.compile(r"\bcrate::(?:(\w+)|\{([^;]*)\})")


def _uses(source: str) -> set[str]:
    """The top-level modules that a file names, its tests apart."""
    code = TESTS.sub("", COMMENT.sub("", source))
    found = PATH.findall(code)
    return {name for one, several in found for name in (re.findall(r"(?:^|,)\s*(\w+)", several) if several else [one])}


def _graph() -> dict[str, set[str]]:
    """By top-level module, which a file or a folder or both make up, those that it uses."""
    graph: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.rs"):
        module = path.relative_to(SOURCE).parts[0].removesuffix(".rs")
        if module != "lib" and path.stem != "tests":
            graph.setdefault(module, set()).update(_uses(path.read_text(encoding="utf-8")))
    return {module: uses - {module} for module, uses in graph.items()}


def test_the_modules_of_the_load_generator_make_no_circle():
    graph = _graph()
    assert graph["poller"] == {"clock", "kernel"}
    assert set().union(*graph.values()) <= graph.keys(), "an item that is named as if it were a module"
    TopologicalSorter(graph).prepare()  # its CycleError names the circle


def test_what_a_file_uses_is_found_however_it_is_written():
    source = """
//! A [comment](crate::comment).
use crate::one::{Thing, Other};
use crate::{two::Thing, three};
fn f() -> crate::four::Thing { super::g() } // crate::comment
#[cfg(test)]
pub(crate) mod tests {
    use crate::five::Thing;
}
"""
    assert _uses(source) == {"one", "two", "three", "four"}


def test_no_condition_is_a_chain_that_the_oldest_rust_cannot_read():
    """``if a && let B = c`` came with Rust 1.88, and the workspace promises 1.85: a newer one takes it in silence."""
    chain = re.compile(r"\bif\b[^{;]*&&\s*let\b|\bif let\b[^{;(]*(?:\([^)]*\)[^{;(]*)*\s&&\s")
    assert chain.search("if let Some(a) = b && a {")
    assert chain.search("if a\n    && let Some(b) = c {")
    assert not chain.search("if let Some(a) = b(c && d) {")
    sources = sorted(ROOT.glob("crates/*/src/**/*.rs"))
    code = {path: COMMENT.sub("", path.read_text(encoding="utf-8")) for path in sources}
    assert [path.relative_to(ROOT).as_posix() for path, text in code.items() if chain.search(text)] == []
