"""Servers of each kind that is started here, for contract tests, and the command against them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servemark.cli import main
from servemark.environments.server_kinds import ServerKind
from servemark.servers import Server, ServerSettings
from servemark.servers.oip.asked import TensorsAsked, parse_shape
from servemark.servers.own import OwnLauncher
from servemark.servers.running import RunningLauncher

from ..validity import status_but_for_the_machine

#: As ``servemark serve --listen`` has it; what is started for a run is at 127.0.0.1.
LISTEN = "127.0.0.2"
REPOSITORIES = Path(__file__).parent / "repositories"


@contextmanager
def started(kind: ServerKind, *models: str, workers: int | None = None, shapes: str = "") -> Iterator[Server]:
    """A server of that kind at ``LISTEN``, with its models below ``repositories/``, if it takes any.

    `models` are asked of it.
    """
    folder = REPOSITORIES / kind
    repository = folder if folder.is_dir() else None
    tensors = TensorsAsked(shapes=tuple(map(parse_shape, shapes.split())))
    asked = RunningLauncher("", models, backend="onnx", tensors=tensors)
    launcher = OwnLauncher(kind, asked, (), repository, workers=workers, listen=LISTEN)
    with launcher.serve(ServerSettings()) as server:
        assert {address.ip for address in server.addresses.values()} == {LISTEN}
        yield server


class Command:
    """``servemark run`` in this process, against `server` or that at a URL: what it says, and its result.

    INPUT in a command is the name of a file with a line of text.
    """

    def __init__(self, server: Server | str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = server if isinstance(server, str) else server.addresses["inference"].url
        self._folder = folder
        self._capsys = capsys

    def run(self, line: str) -> tuple[int, str, dict]:
        """The exit status of ``run LINE --server URL``, its words in one line, and the only benchmark of its result."""
        text = self._folder / "input.txt"
        text.write_text("hello")
        out = self._folder / f"out-{len(list(self._folder.iterdir()))}"
        status = main(["run", *line.replace("INPUT", str(text)).split(), "--server", self.url, "-o", str(out)])
        captured = self._capsys.readouterr()
        file = out / "result.json"
        result = json.loads(file.read_text()) if file.exists() else {}
        status = status_but_for_the_machine(status, result)
        return status, " ".join((captured.out + captured.err).split()), result
