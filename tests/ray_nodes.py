"""Real Ray clusters of this machine, each node a ``ray start`` of its own, and what is left of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from servemark.machine.processes import MARK, kill_members, members

from .processes import command_line

#: The least that Ray takes, and more than is ever on its way here.
_STORE_BYTES = 80_000_000
_STARTED_WITHIN_S, _TRIES = 120, 3
#: Whatever token the user's own clusters have.
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}


@dataclass
class Node:
    """One node: the processes that were started with its mark, and all that they started.

    Ray's workers write over their environment: they are found as long as their raylet is there, and end with it.
    """

    mark: Path = field(default_factory=lambda: Path("/") / uuid.uuid4().hex)

    @property
    def raylet(self) -> int:
        """The process number of its raylet."""
        (process,) = (one for one in members(self.mark) if one.name() == "raylet")
        return process.pid

    @property
    def generators(self) -> list[int]:
        """The process numbers of the generators that are on it."""
        return [one.pid for one in members(self.mark) if "GeneratorActor" in command_line(one)]

    @property
    def is_broken(self) -> bool:
        """Whether its raylet is gone."""
        return not any(one.name() == "raylet" for one in members(self.mark))

    def fail(self) -> None:
        """Kill its raylet and the generators on it, at the same time."""
        for pid in (self.raylet, *self.generators):
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill all of it, and what removes the folders of generators."""
        kill_members(self.mark)


@dataclass
class Cluster:
    """A head, which has no CPU to give and is where drivers are, and nodes of one CPU each.

    What generators on its nodes write is in `folder`, too.
    """

    folder: Path
    head: Node = field(default_factory=Node)
    nodes: list[Node] = field(default_factory=list)
    address: str = ""

    def add(self, environ: Mapping[str, str] | None = None) -> Node:
        """Start one more node, and wait until it is there."""
        self.nodes.append(Node())
        own = {"TMPDIR": str(self.folder)}
        _start(self.nodes[-1], ["--address", self.address], 1, own | dict(environ or {}))
        return self.nodes[-1]

    def start(self) -> None:
        """Start the head."""
        words = ["--head", "--port", "0", "--temp-dir", str(self.folder), "--include-dashboard", "false"]
        said = _start(self.head, [*words, "--node-ip-address", "127.0.0.1"], 0, {})
        found = re.search(r"--address='?([\d.:]+)'?", said)
        assert found, said
        self.address = found[1]


@contextmanager
def ray_cluster(nodes: int) -> Iterator[Cluster]:
    """A cluster of a head and so many nodes; nothing of it is left after the block."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            for _ in range(nodes):
                cluster.add()
            yield cluster
        finally:
            for node in (*cluster.nodes, cluster.head):
                node.end()


def _start(node: Node, words: list[str], cpus: int, environ: Mapping[str, str]) -> str:
    """Start it, and what was said of that. Ray gives a node half a minute, which a busy machine may not have for it."""
    for _ in range(_TRIES):
        started = subprocess.run(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", *words),
                *("--num-cpus", str(cpus), "--object-store-memory", str(_STORE_BYTES), "--disable-usage-stats"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **NO_TOKEN, MARK: str(node.mark), **environ},
            start_new_session=True,
            timeout=_STARTED_WITHIN_S,
            check=False,
        )
        if started.returncode == 0:
            return started.stdout
        node.end()
    raise AssertionError(started.stdout)
