"""Whether servers that `make test` does not install are measured as they should be, into bench/SERVERS.md.

``python -m bench.servers``, or ``make test-servers``: each is installed once into the cache, started, asked what a user
would ask of it, and stopped. What fails is told, and is the exit status.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.server_environments import environment
from bench.server_kinds import KINDS, Asked, Kind
from servemark.environments.commands import run_command
from servemark.environments.variables import inherited, path_with
from servemark.errors import ServemarkError
from servemark.servers.mms.instance import Instance
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import LOOPBACK, free_ports
from servemark.units import format_ms

_SCRIPTS = Path(__file__).parent / "scripts"
_REPORT = Path(__file__).parent / "SERVERS.md"
_RUN_S = 300.0
_MAKE_S = 300.0
_LOOPS = 100
#: A success, and INVALID, which is a matter of the machine.
_DONE = (0, 3)
_SERVEMARK = (sys.executable, "-m", "servemark")
_HEAD = (
    "# Servers that `make test` does not install",
    "",
    "Made by `make test-servers`: what each command came to, and when (`SERVERS=vllm` asks those anew whose names hold",
    "that). URL, PLACE, BODY and FOLDER stand for the server, what is sent, and where its model is. Times are of one",
    "user, on a machine that may have had other work, and say no more than that it was measured. Models that",
    "generate text have two layers of random weights. vLLM is started by `servemark serve --server-kind vllm`, and by",
    "the last of its commands itself. The server of llama.cpp (out of xllamacpp) closes each connection behind a",
    "stream, though it said that it keeps it: the next request at once is `closed_early`, hence `Connection:close`.",
    "",
    "| server | date | command | what it came to |",
    "| --- | --- | --- | --- |",
)
#: The server, what it was asked, what was wrong with what that came to, and that, in the words of the report.
_Row = tuple[str, str, str, str]


def main(names: Sequence[str]) -> int:
    """Ask each server, or those whose name holds one of `names`, and write what they came to; the exit status."""
    rows: list[_Row] = []
    known = _REPORT.read_text(encoding="utf-8").splitlines() if _REPORT.exists() else []
    lines: list[str] = []
    for kind in KINDS:
        if names and not any(name in kind.name.lower() for name in names):
            lines += _lines_of(kind, known)
            continue
        for row in _rows_of(kind):
            rows.append(row)
            lines.append(_line(row))
            print(*row, sep=" | ", flush=True)
    _REPORT.write_text("\n".join([*_HEAD, *lines, ""]), encoding="utf-8")
    return 1 if any(wrong for _, _, wrong, _ in rows) else 0


def _rows_of(kind: Kind) -> Iterator[_Row]:
    called = kind.name
    try:
        root, version = environment(kind)
        called = f"{kind.name} {version}"
        with running(kind, root) as server:
            for asked in kind.asks:
                status, answer = _answer(asked, server)
                right = status in _DONE if asked.status == 0 else status == asked.status
                yield called, asked.line, "" if right else f"**exit {status}**: ", answer
    except ServemarkError as error:
        yield called, " ".join(kind.command[:2]), "**not measured**: ", " ".join(str(error).split())


@dataclass(frozen=True)
class Running:
    """A server that runs: its URL, its FOLDER, and the variables with which it was started."""

    url: str
    folder: Path
    environ: Mapping[str, str]


@contextmanager
def running(kind: Kind, root: Path) -> Iterator[Running]:
    """The server, out of the environment at `root`: started, and stopped at the end with all that it started."""

    def environ_in(folder: Path) -> dict[str, str]:
        own = {name: str(folder) if value == "FOLDER" else value for name, value in kind.environ.items()}
        return {**inherited(), "PATH": path_with(root), "PYTHONPATH": str(_SCRIPTS), **own}

    def prepare(instance: Instance, ports: Ports) -> OwnStart:
        given = {"PORT": str(ports[0]), "FOLDER": str(instance.temporary)}
        environ = environ_in(instance.temporary)

        def command(words: Sequence[str]) -> list[str | Path]:
            first, *rest = (given.get(word, word) for word in words)
            return [*(_SERVEMARK if first == "servemark" else [root / "bin" / first]), *rest]

        if kind.makes:
            run_command(command(kind.makes), what=f"make a model for {kind.name}", timeout_s=_MAKE_S, environ=environ)
        return OwnStart(command(kind.command), environ)

    def url_of(process: OwnProcess) -> str:
        return f"http://{LOOPBACK}:{process.ports[0]}"

    def is_ready(process: OwnProcess) -> bool:
        try:
            return httpx.get(url_of(process) + kind.health, timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with started_process(lambda: free_ports(1), prepare, is_ready, within_s=kind.start_s) as process:
        folder = process.instance.temporary
        yield Running(url_of(process), folder, environ_in(folder))


def _answer(asked: Asked, server: Running) -> tuple[int, str]:
    """The exit status of a benchmark, and what it came to: its figures, or the line of its error."""
    url, model = server.url, server.folder
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_text(asked.body, encoding="utf-8")
        line = (
            asked.line.replace("URL", url)
            .replace("PLACE", url)
            .replace("BODY", str(body))
            .replace("FOLDER", str(model))
        )
        words = [*line.split(), "-o", f"{folder}/result", "--no-report", "--no-history", *_length(asked)]
        done = subprocess.run(
            [*_SERVEMARK, "run", *words], capture_output=True, text=True, timeout=_RUN_S, env=server.environ
        )
        file = Path(folder) / "result" / "result.json"
        errors = [line for line in done.stderr.splitlines() if line.startswith("servemark: error: ")]
        if errors or not file.exists():
            said = (errors or done.stderr.splitlines() or ["nothing"])[-1].removeprefix("servemark: ")
            return done.returncode, said.replace(url, "URL").replace(str(model), "FOLDER").replace("|", "\\|")
        (benchmark,) = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        return done.returncode, _figures(benchmark["steps"][0])


def _length(asked: Asked) -> list[str]:
    return [] if asked.status else ["-l", str(_LOOPS)]


def _figures(step: dict[str, Any]) -> str:
    said = [
        f"{step['succeeded']} of {step['requests']} succeeded",
        f"p50 {format_ms(step['service_ms']['p50']['value'])}",
    ]
    tokens = step.get("tokens")
    if tokens is None:
        return ", ".join(said)
    output = tokens["output_tokens"]
    counted = "tokens that nobody counted" if output["count"] is None else f"{output['count']:,} tokens"
    said.append(f"{counted} by {output['source']}" if output["count"] is not None else counted)
    for name, key in (("first token", "first_token_ms"), ("per token", "time_per_output_token_ms")):
        if (p50 := tokens[key]["p50"]["value"]) is not None:
            said.append(f"{name} {format_ms(p50)}")
    return ", ".join(said)


def _line(row: _Row) -> str:
    server, line, wrong, said = row
    return f"| {server} | {time.strftime('%Y-%m-%d', time.gmtime())} | `{line}` | {wrong}{said} |"


def _lines_of(kind: Kind, known: Sequence[str]) -> list[str]:
    """The lines of a server among those of a report; a server that could not be had stands there without a version."""
    called = re.compile(rf"\| {re.escape(kind.name)}( \S+)? \| \d")
    return [line for line in known if called.match(line)]


if __name__ == "__main__":
    sys.exit(main([word.lower() for word in sys.argv[1:]]))
