"""What cargo says of this workspace; where none can read it, what needs that is skipped."""

from __future__ import annotations

import subprocess

import pytest

from .pages import ROOT

#: Listed among the skips that CI allows.
NO_CARGO = "no cargo for Rust 1.85 or newer here"


def cargo(*words: str) -> str:
    """What ``cargo WORDS`` prints."""
    try:
        return subprocess.run(["cargo", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(NO_CARGO)


def needs_cargo() -> None:
    """Skip the test where no cargo can read this workspace."""
    cargo("metadata", "--no-deps", "--format-version", "1")
