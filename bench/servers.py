"""Whether servers that `make test` does not install are measured as they should be, into bench/SERVERS.md.

``python -m bench.servers``, or ``make test-servers``: each is installed once into the cache, started, asked what a user
would ask of it, and stopped. What fails is told, and is the exit status.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from servemark.environments.cache import build_once
from servemark.environments.commands import run_command
from servemark.environments.interpreters import find_interpreter
from servemark.environments.mms import make_venv, uses_uv
from servemark.environments.variables import inherited
from servemark.servers.mms.instance import Instance
from servemark.servers.own_process import OwnProcess, OwnStart, Ports, started_process
from servemark.servers.ports import LOOPBACK, free_ports

_SCRIPTS = Path(__file__).parent / "scripts"
_REPORT = Path(__file__).parent / "SERVERS.md"
_INSTALL_S = 1800.0
_RUN_S = 300.0
_LOOPS = 100
#: Done, and INVALID, which is a matter of the machine.
_DONE = (0, 3)


@dataclass(frozen=True)
class Asked:
    """A benchmark: its words, in which URL, PLACE and BODY stand for what they are, and whether it is to succeed."""

    line: str
    body: str = ""
    succeeds: bool = True


@dataclass(frozen=True)
class Kind:
    """A server: what is installed, how it is started (PORT is its port), when it is there, and what is asked."""

    name: str
    package: str
    pins: tuple[str, ...]
    command: tuple[str, ...]
    health: str
    asks: tuple[Asked, ...]


_X = '{"x": [1, 2, 3, 4]}'
KINDS = (
    Kind(
        "KServe",
        "kserve",
        ("kserve==0.21.0",),
        ("python", str(_SCRIPTS / "serve_kserve.py"), "PORT"),
        "/v2/health/ready",
        (
            Asked("latency --server PLACE -m linear --shape x:FP32:1,4"),
            Asked("latency --server PLACE -m linear --shape x:FP32:1,4 --tensors binary"),
            Asked("latency --server PLACE --dialect tfserving -m linear -i BODY", '{"instances": [[1, 2, 3, 4]]}'),
            Asked("latency --server PLACE -m other --shape x:FP32:1,4", succeeds=False),
            Asked("batching --server PLACE -m linear", succeeds=False),
        ),
    ),
    Kind(
        "LitServe",
        "litserve",
        ("litserve==0.2.19",),
        ("python", str(_SCRIPTS / "serve_litserve.py"), "PORT"),
        "/health",
        (Asked("http --url URL/predict --body-file BODY -t 1 --expect json:y.2", _X),),
    ),
    Kind(
        "BentoML",
        "bentoml",
        ("bentoml==1.4.40",),
        ("bentoml", "serve", "serve_bentoml:Linear", "--host", LOOPBACK, "--port", "PORT"),
        "/readyz",
        (Asked("http --url URL/linear --body-file BODY -t 1 --expect json:0.2", '{"x": [[1, 2, 3, 4]]}'),),
    ),
)


def main(names: Sequence[str]) -> int:
    """Ask each server, or those that are named, and write the report; the exit status."""
    rows, failed = [], 0
    for kind in KINDS:
        if names and kind.name.lower() not in names:
            continue
        root, version = _environment(kind)
        with _running(kind, root) as url:
            for asked in kind.asks:
                status, answer = _answer(asked, url)
                right = (status in _DONE) if asked.succeeds else status == 2
                failed += not right
                rows.append((f"{kind.name} {version}", asked.line, "" if right else f"exit {status}: ", answer))
                print(*rows[-1], sep=" | ", flush=True)
    if not names:
        _REPORT.write_text(_report(rows), encoding="utf-8")
    return 1 if failed else 0


def _environment(kind: Kind) -> tuple[Path, str]:
    """The virtual environment of a server, installed on first use, and the version of the server in it."""
    interpreter = find_interpreter((11, 12), needs_venv=not uses_uv()).chosen
    if interpreter is None:
        raise SystemExit("found no Python 3.11 or 3.12")

    def install(root: Path) -> None:
        print(f"installing {kind.name}", file=sys.stderr, flush=True)
        make_venv(interpreter, root)
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *kind.pins]
        run_command([root / "bin" / "python", *pip], what=f"install {kind.name}", timeout_s=_INSTALL_S)

    digest = hashlib.sha256(repr((kind.pins, str(interpreter.executable))).encode()).hexdigest()[:12]
    root = build_once(f"environments/bench-{kind.package}-{digest}", install, partial(print, file=sys.stderr))
    ask = f"import importlib.metadata; print(importlib.metadata.version('{kind.package}'))"
    return root, run_command([root / "bin" / "python", "-I", "-c", ask], what="ask its version", timeout_s=60).strip()


@contextmanager
def _running(kind: Kind, root: Path) -> Iterator[str]:
    """The URL of the server, started, and stopped at the end with all that it started."""
    ours = inherited()
    path = f"{root / 'bin'}{os.pathsep}{ours.get('PATH', os.defpath)}"

    def prepare(_instance: Instance, ports: Ports) -> OwnStart:
        words = [str(ports[0]) if word == "PORT" else word for word in kind.command]
        environ = {**ours, "PATH": path, "PYTHONPATH": str(_SCRIPTS), "BENTOML_DO_NOT_TRACK": "true"}
        return OwnStart([root / "bin" / words[0], *words[1:]], environ)

    def url_of(process: OwnProcess) -> str:
        return f"http://{LOOPBACK}:{process.ports[0]}"

    def is_ready(process: OwnProcess) -> bool:
        try:
            return httpx.get(url_of(process) + kind.health, timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with started_process(lambda: free_ports(1), prepare, is_ready) as process:
        yield url_of(process)


def _answer(asked: Asked, url: str) -> tuple[int, str]:
    """The exit status of a benchmark, and what it came to: its first line, or the line of its error."""
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_text(asked.body, encoding="utf-8")
        line = asked.line.replace("URL", url).replace("PLACE", url).replace("BODY", str(body))
        words = [*line.split(), "-o", f"{folder}/result", "--no-report", "--no-history", *_length(asked)]
        done = subprocess.run(
            [sys.executable, "-m", "servemark", "run", *words], capture_output=True, text=True, timeout=_RUN_S
        )
        file = Path(folder) / "result" / "result.json"
        if not file.exists():
            return done.returncode, done.stderr.strip().splitlines()[-1].removeprefix("servemark: ").replace(url, "URL")
        (benchmark,) = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
        step = benchmark["steps"][0]
        p50 = step["service_ms"]["p50"]["value"]
        return done.returncode, f"{step['succeeded']} of {step['requests']} succeeded, p50 {p50:.2f} ms"


def _length(asked: Asked) -> list[str]:
    return ["-l", str(_LOOPS)] if asked.succeeds else []


def _report(rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = [
        "# Servers that `make test` does not install",
        "",
        f"Made by `make test-servers` on {time.strftime('%Y-%m-%d', time.gmtime())}: what each command came to.",
        "URL, PLACE and BODY stand for the server and what is sent to it. Times are of one user, and say no more than",
        "that it was measured.",
        "",
        "| server | command | what it came to |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*lines, *(f"| {server} | `{line}` | {wrong}{said} |" for server, line, wrong, said in rows), ""])


if __name__ == "__main__":
    sys.exit(main([word.lower() for word in sys.argv[1:]]))
