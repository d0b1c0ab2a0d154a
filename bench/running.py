"""What one measurement needs: the tools that are there, a folder for each run, and the programs of this repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.peers import Installed, Peers
from bench.process import Process
from bench.server import BODY
from bench.tools import TOOLS, Call, Tool
from servemark.environments.commands import finish
from servemark.errors import SetupError

ROOT = Path(__file__).resolve().parent.parent
_BUILD_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Bench:
    """What is measured with.

    Attributes:
        peers: the programs that were found.
        programs: what this repository builds: floor, receiver, oracle.
        folder: where runs write; removed when all is done.
        body: a file with the body of a request.
    """

    peers: Peers
    programs: Path
    folder: Path
    body: Path
    _numbers: Iterator[int]

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those that can be run here."""
        return tuple(tool for tool in TOOLS if not tool.program or tool.program in self.peers.installed)

    def peer(self, tool: Tool) -> Installed:
        """The program that `tool` runs."""
        if tool.program:
            return self.peers.installed[tool.program]
        return Installed(tool.name, self.programs / tool.name, "")

    def version(self, tool: Tool) -> str:
        """Its version; "" for what this repository builds."""
        return self.peer(tool).version

    @contextmanager
    def start(self, tool: Tool, call: Call) -> Iterator[Process]:
        """Run `tool` in a folder of its own; it is ended when this is left."""
        command = tool.command(self.peer(tool), call)
        folder = self.new_folder(tool.name)
        with Process(command.words, folder, environ=command.environ) as process:
            yield process

    def new_folder(self, name: str) -> Path:
        """A folder that no run has used."""
        return self.folder / f"{next(self._numbers):04}-{name.split()[0]}"


@contextmanager
def opened(peers: Peers, folder: Path) -> Iterator[Bench]:
    """A bench in the empty `folder`, with what this repository builds."""
    body = folder / "body.json"
    body.write_bytes(BODY)
    yield Bench(peers, build_programs(), folder, body, count())


def build_programs() -> Path:
    """Where cargo has built floor, receiver and oracle.

    Raises:
        SetupError: they do not build; says why.
    """
    built = finish(
        ["cargo", "build", "--release", "--locked", "--quiet", "-p", "servemark-bench", "-p", "servemark-oracle"],
        timeout_s=_BUILD_TIMEOUT_S,
        cwd=ROOT,
    )
    metadata = finish(["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"], timeout_s=60.0, cwd=ROOT)
    if built.status != 0 or metadata.status != 0:
        raise SetupError(
            "cannot build the floor, the receiver and the oracle",
            cause=(built.tail or metadata.tail).splitlines()[-1] if built.tail or metadata.tail else "",
            next_step="./install_dependencies.sh installs Rust",
            detail=built.tail,
        )
    return Path(json.loads(metadata.output)["target_directory"]) / "release"


def median(values: Iterable[float]) -> float:
    """The middle one, or of two the lower."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2]


@contextmanager
def hogs(number: int) -> Iterator[None]:
    """So many processes that only compute, at ordinary priority."""
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"], start_new_session=True) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
