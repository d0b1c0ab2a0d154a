"""What a proof has measured so far, a file a try, so that one that takes hours can be made in several sessions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.machine import Machine

_ROOT = Path(__file__).resolve().parents[1]
_MACHINE = "machine.json"


class OtherMachineError(Exception):
    """What is kept was measured on another machine."""


@dataclass
class Kept:
    """The tries of a proof, kept in `folder`, or nowhere where that is None.

    Attributes:
        commits: those of the tries that were asked for.
        known_s: how long the tries took that were known already.
    """

    folder: Path | None = None
    commits: set[str] = field(default_factory=set)
    known_s: float = 0.0

    @classmethod
    def opened(cls, folder: Path, machine: Machine) -> Kept:
        """What is in `folder`, which is made where there is none.

        Raises:
            OtherMachineError: what is in it was measured on another machine.
        """
        folder.mkdir(parents=True, exist_ok=True)
        own = {"processor": machine.processor, "cpus": machine.cpus}
        file = folder / _MACHINE
        if not file.exists():
            _write(file, own)
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept != own:
            raise OtherMachineError(f"what is kept in {folder} is of {kept}, and this is {own}; name another folder")
        return cls(folder)

    def tried(self, name: str, measure: Callable[[], Any]) -> Any:
        """What `measure` returns, as JSON has it: of the try of that name, made now or in an earlier session.

        It is kept when it is whole: of one that is ended meanwhile there is nothing.
        """
        if self.folder is None:
            return measure()
        file = self.folder / (re.sub(r"[^\w.+]+", "-", name) + ".json")
        if file.exists():
            known = json.loads(file.read_text(encoding="utf-8"))
            self.known_s += known["took_s"]
        else:
            started_s = time.monotonic()
            value = measure()
            known = {"value": value, "took_s": time.monotonic() - started_s, "commit": _commit()}
            _write(file, known)
        self.commits.add(known["commit"])
        return known["value"]

    def forget_told(self) -> None:
        """Begin another part: what is told of commits and times is of the tries that are asked for from now on."""
        self.commits, self.known_s = set(), 0.0


def _write(file: Path, value: Any) -> None:
    whole = file.with_name(f".{file.name}.{os.getpid()}")
    whole.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    whole.replace(file)


def _commit() -> str:
    """The commit of this checkout, and whether it was edited since."""
    asked = ["git", "describe", "--always", "--dirty= with changes", "--exclude=*"]
    done = subprocess.run(asked, cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
