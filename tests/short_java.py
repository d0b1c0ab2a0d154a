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
