"""The version of this servemark: as it was installed, or as its sources say."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

_WORKSPACE = Path(__file__).parents[2] / "Cargo.toml"


def version() -> str:
    """The version of the installed package, or of the sources around this file that were never installed."""
    try:
        return installed_version("servemark")
    except PackageNotFoundError:
        found = re.search(r'^version = "(.+)"$', _WORKSPACE.read_text("utf-8") if _WORKSPACE.exists() else "", re.M)
        return found[1] if found else "unknown"
