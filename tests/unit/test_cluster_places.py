"""What is said of a cluster that has too few places for generators: only what would help with the nodes that it has."""

from __future__ import annotations

import pytest

from servemark.engines.native.cluster.placement import Node, Places, _too_few


def _nodes(*cpus: float, free: float | None = None) -> list[Node]:
    return [Node(f"id{at}", "vm", one, one if free is None else free) for at, one in enumerate(cpus)]


@pytest.mark.parametrize(
    ("wanted", "there", "remedies"),
    [
        (Places(3, 1, pack=False), _nodes(0, 1, 1), "add nodes, or lower --generators to 2"),
        (Places(2, 2, pack=False), _nodes(1, 1, 1), "add nodes of 2 CPUs, or lower --generator-threads to 1"),
        (
            Places(3, 2, pack=False),
            _nodes(1, 1),
            "add nodes of 2 CPUs, or lower --generator-threads to 1 and --generators to 2",
        ),
        (
            Places(2, 2, pack=False),
            _nodes(4, 1),
            (
                "add nodes of 2 CPUs, or lower --generators to 1, or lower --generator-threads to 1, or have several "
                "share a node with --pack"
            ),
        ),
        (Places(3, 1, pack=True), _nodes(1, 1), "add nodes, or lower --generators to 2"),
        (Places(2, 1, pack=False), _nodes(1, 1, free=0), "wait for what takes up their CPUs, or add nodes"),
        (
            Places(2, 1, pack=False, without="id0"),
            _nodes(1, 1),
            "add nodes, or lower --generators to 1, or have several share a node with --pack",
        ),
        (Places(2, 1, pack=False), [], "add nodes"),
    ],
)
def test_only_what_would_help_is_advised(wanted, there, remedies):
    assert _too_few(wanted, there).next_step == remedies
