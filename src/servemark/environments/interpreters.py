"""Finding a Python interpreter for a server's environment: ours if it fits, else one on PATH that really runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.commands import finish

_PROBE_TIMEOUT_S = 20.0
_PROBE = """
import importlib.util, json, sys
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "implementation": sys.implementation.name,
    "base": getattr(sys, "_base_executable", None) or sys.executable,
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that runs: `executable` is the installation's own, not that of a virtual environment."""

    executable: Path
    version: tuple[int, int, int]

    @property
    def tag(self) -> str:
        """Its minor version as a name: "py311"."""
        return f"py{self.version[0]}{self.version[1]}"


@dataclass(frozen=True)
class Search:
    """What a search found: the interpreter to use, or None, and why each candidate before it was refused."""

    chosen: Interpreter | None
    refused: tuple[str, ...]


def find_interpreter(minors: Sequence[int], *, needs_venv: bool) -> Search:
    """The first CPython 3.x with x in `minors` that runs: ours, then python3.x on PATH in the order of `minors`.

    Every PATH entry is tried, because the first may be a shim that fails. With `needs_venv` it must have the venv and
    ensurepip modules (Debian packages them apart).
    """
    refused: list[str] = []
    for candidate in _candidates(minors):
        interpreter, reason = _probe(candidate, minors, needs_venv=needs_venv)
        if interpreter is not None:
            return Search(interpreter, tuple(refused))
        refused.append(f"{candidate} {reason}")
    return Search(None, tuple(refused))


def _candidates(minors: Sequence[int]) -> Iterator[Path]:
    if sys.executable:
        yield Path(sys.executable)
    folders = dict.fromkeys(os.environ.get("PATH", os.defpath).split(os.pathsep))
    for minor in minors:
        for folder in folders:
            path = Path(folder) / f"python3.{minor}"
            if folder and path.is_file() and os.access(path, os.X_OK):
                yield path


def _probe(path: Path, minors: Sequence[int], *, needs_venv: bool) -> tuple[Interpreter | None, str]:
    """The interpreter at `path`, or None and what is wrong with it."""
    # -I: what PYTHONPATH or the current folder hold says nothing about the installation.
    finished = finish([path, "-I", "-c", _PROBE], timeout_s=_PROBE_TIMEOUT_S)
    try:
        facts = json.loads(finished.output) if finished.status == 0 else None
        version, base = (tuple(facts["version"]), Path(facts["base"])) if facts else ((), Path())
    except (ValueError, KeyError, TypeError):
        facts = None
    if facts is None:
        lines = finished.output.strip().splitlines()
        return None, f"does not run ({lines[0] if lines else f'exit {finished.status}'})"
    if facts["implementation"] != "cpython":
        return None, f"is {facts['implementation']}, not CPython"
    if version[0] != 3 or version[1] not in minors:
        return None, f"is Python {'.'.join(map(str, version))}"
    if needs_venv and not facts["venv"]:
        return None, "has no venv and ensurepip modules"
    return Interpreter(base, (version[0], version[1], version[2])), ""
