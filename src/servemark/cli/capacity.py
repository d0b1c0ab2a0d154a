"""``servemark capacity``: the most load that meets an objective: a benchmark as often as it takes to find it."""

from __future__ import annotations

from servemark.cli import run


def main(words: list[str], prog: str) -> int:
    """Search the capacity that `words` ask for; returns the exit status."""
    return run.main(words, prog, searches=True)
