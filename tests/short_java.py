"""A Java for runs of seconds, of which the thorough compiler would take the half."""

from __future__ import annotations

import shlex
from pathlib import Path


def short_lived_java(java: Path, folder: Path) -> Path:
    """A program ``java`` in `folder` that is `java`, and compiles as fast as it can and no better."""
    program = folder / "java"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(java))} -XX:TieredStopAtLevel=1 "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def short_lived_home(home: Path, folder: Path) -> Path:
    """The JDK in `home` once more, in `folder`, with such a ``java``."""
    (folder / "bin").mkdir(parents=True)
    for part in home.iterdir():
        if part.name != "bin":
            (folder / part.name).symlink_to(part)
    for program in (home / "bin").iterdir():
        if program.name != "java":
            (folder / "bin" / program.name).symlink_to(program)
    short_lived_java(home / "bin" / "java", folder / "bin")
    return folder
