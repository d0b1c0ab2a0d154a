#!/usr/bin/env python3
"""What a release says of itself: its section of CHANGELOG.md, if the tag is the version of these sources.

``scripts/release_notes.py v1.2.3`` prints it; where tag, Cargo.toml and CHANGELOG.md disagree nothing is published.
Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ReleaseError(Exception):
    """These sources are not those of the tag; says why and what to do, in one line."""


def notes(tag: str, cargo: str, changelog: str) -> str:
    """The section of `changelog` for `tag`; `cargo` is the text of the workspace's Cargo.toml.

    Raises:
        ReleaseError: the tag is not the version in `cargo`, or has no section with its date, or an empty one.
    """
    found = re.search(r'^version = "(.+)"$', cargo, re.MULTILINE)
    version = found[1] if found else "unknown"
    if tag != f"v{version}":
        raise ReleaseError(
            f"the tag is {tag} and Cargo.toml has version {version}: tag v{version}, or change Cargo.toml"
        )
    section = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)", changelog, re.DOTALL | re.MULTILINE
    )
    if section is None:
        raise ReleaseError(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD': make it of what is unreleased")
    if not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md says nothing of {version}: write what has changed for a user")
    return section[1].strip() + "\n"


def main(words: list[str]) -> int:
    """Print the notes for the tag in `words`; the exit status."""
    if len(words) != 1:
        print("release_notes.py: error: it takes one word, the tag, as in v1.2.3", file=sys.stderr)
        return 2
    try:
        texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("Cargo.toml", "CHANGELOG.md")]
        print(notes(words[0], *texts), end="")
    except ReleaseError as error:
        print(f"release_notes.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
