"""The places of generators on a cluster: one a node, and none beside a server of ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from servemark.engines.native.cluster.asking import asked, tidied
from servemark.errors import SetupError

if TYPE_CHECKING:
    from ray.util.placement_group import PlacementGroup

#: How long nodes may take to come; a cluster that grows is given that since the last of them came.
_PATIENCE_S, _LONGEST_S = 8.0, 25.0
_LOOK_EVERY_S = 0.25
_REMOVED_WITHIN_S = 3.0
_NODE_ID = "ray.io/node-id"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or what passes for one.

    Attributes:
        id: in hexadecimal.
        host: its name.
        cpus: what it gives away in all, and what of that is free.
    """

    id: str
    host: str
    cpus: float
    free_cpus: float

    @property
    def in_words(self) -> str:
        """Its name and its CPUs."""
        return f"{self.host} ({self.free_cpus:g} of {self.cpus:g} CPUs free)"


@dataclass(frozen=True)
class Places:
    """What is asked of a cluster.

    Attributes:
        generators: how many.
        cpus_each: what each is given.
        pack: several may be on one node.
        without: the node on which there are to be none.
    """

    generators: int
    cpus_each: int
    pack: bool
    without: str | None = None

    def most_on(self, there: Sequence[Node]) -> int:
        """How many such places the CPUs that are free have room for."""
        of_each = [int(node.free_cpus // self.cpus_each) for node in there if node.id != self.without]
        return sum(of_each if self.pack else map(bool, of_each))


def place(wanted: Places) -> PlacementGroup:
    """Have the places of all generators reserved, in the order of their shares, or none.

    Raises:
        SetupError: there are too few nodes, or CPUs, and no more came in time; says which there are.
        KeyboardInterrupt: Ctrl-C or its like came meanwhile.
    """
    from ray.util.placement_group import placement_group

    group: PlacementGroup = asked(
        lambda: placement_group(
            [{"CPU": wanted.cpus_each}] * wanted.generators,
            strategy="PACK" if wanted.pack else "STRICT_SPREAD",
            bundle_label_selector=[{_NODE_ID: f"!{wanted.without}"}] * wanted.generators if wanted.without else None,
        )
    )
    try:
        _await(group, wanted)
    except BaseException:
        tidied(lambda: remove(group), _REMOVED_WITHIN_S)
        raise
    return group


def _await(group: PlacementGroup, wanted: Places) -> None:
    """Wait until the places are there, for as long as nodes come."""
    began_s = since_s = time.monotonic()
    known = set[str]()
    while not asked(lambda: group.wait(_LOOK_EVERY_S)):
        now_s, there = time.monotonic(), asked(nodes)
        living = {node.id for node in there}
        if living != known:
            known, since_s = living, now_s
        if now_s - since_s > _PATIENCE_S or now_s - began_s > _LONGEST_S:
            raise _too_few(wanted, there)


def remove(group: PlacementGroup) -> None:
    """Give the places of a group back."""
    from ray.util.placement_group import remove_placement_group

    remove_placement_group(group)


def nodes() -> list[Node]:
    """The nodes that live, by name."""
    import ray
    from ray._private.state import available_resources_per_node

    free: Mapping[str, Mapping[str, float]] = available_resources_per_node()  # type: ignore[no-untyped-call]
    found: Sequence[Mapping[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    living = [
        Node(
            id=node["NodeID"],
            host=node["NodeManagerHostname"],
            cpus=node["Resources"].get("CPU", 0.0),
            free_cpus=free.get(node["NodeID"], {}).get("CPU", 0.0),
        )
        for node in found
        if node["Alive"]
    ]
    return sorted(living, key=lambda node: (node.host, node.id))


def node_of(group: PlacementGroup, place: int) -> Node | None:
    """The node on which a place is; None where it is gone."""
    from ray.util.placement_group import placement_group_table

    found = placement_group_table(group)["bundles_to_node_id"].get(place)
    return next((node for node in nodes() if node.id == found), None)


def _too_few(wanted: Places, there: Sequence[Node]) -> SetupError:
    each = f"{wanted.cpus_each} free CPU{'s' * (wanted.cpus_each > 1)}"
    where = f"{each} each" if wanted.pack else f"a node each, with {each}"
    has = ", ".join(node.in_words + " with the server" * (node.id == wanted.without) for node in there)
    return SetupError(
        f"{wanted.generators} generators need {where}, and the Ray cluster has too few",
        cause=f"{len(there)} node{'s' * (len(there) != 1)}: {has}" if there else "no node lives",
        next_step=", or ".join(_remedies(wanted, there)),
    )


def _remedies(wanted: Places, there: Sequence[Node]) -> list[str]:
    """What would help, each by itself, with what the nodes have."""
    idle = [replace(node, free_cpus=node.cpus) for node in there]
    few, each = wanted.most_on(there), wanted.cpus_each
    found = ["wait for what takes up their CPUs"] if wanted.most_on(idle) >= wanted.generators else []
    found.append("add nodes" + f" of {each} CPUs" * (each > 1))
    if few:
        found.append(f"lower --generators to {few}")
    for fewer in range(each - 1, 0, -1):
        places = replace(wanted, cpus_each=fewer)
        if places.most_on(there) >= wanted.generators:
            found.append(f"lower --generator-threads to {fewer}")
            break
    else:
        few_of_one = replace(wanted, cpus_each=1).most_on(there)
        if not few and few_of_one:
            found.append(f"lower --generator-threads to 1 and --generators to {few_of_one}")
    if not wanted.pack and replace(wanted, pack=True, without=None).most_on(there) >= wanted.generators:
        found.append("have several share a node with --pack")
    return found
