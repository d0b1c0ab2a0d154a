"""JDKs that compile: where one is, and its version."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from servemark.environments.commands import finish
from servemark.environments.variables import path_with

_LOOK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Jdk:
    """A JDK that compiles: JAVA_HOME, and its version."""

    home: Path
    version: str

    @property
    def major(self) -> int:
        """The number that people call it by: 8 of 1.8.0_412, 17 of 17.0.15."""
        found = re.match(r"(?:1\.)?(\d+)", self.version)
        return int(found[1]) if found else 0

    def environ(self) -> dict[str, str]:
        """Variables with which programs compile by it, take names of files as UTF-8, and tell errors in English."""
        return {"JAVA_HOME": str(self.home), "PATH": path_with(self.home), "LC_ALL": "C.UTF-8"}


def find_jdk() -> Jdk | None:
    """A JDK that compiles: JAVA_HOME's, else that of the ``javac`` on PATH."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("javac")
    if on_path:
        homes.append(Path(on_path).resolve().parent.parent)
    for home in homes:
        javac = home / "bin" / "javac"
        if javac.is_file():
            said = finish([javac, "-version"], timeout_s=_LOOK_TIMEOUT_S)
            version = re.search(r"javac (\S+)", said.output) if said.status == 0 else None
            if version:
                return Jdk(home, version[1])
    return None
