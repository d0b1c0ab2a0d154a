"""Caches of their own for tests: what takes long to make is that of the user, and what servers leave is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from servemark.environments.cache import cache_dir


def fresh_cache(folder: Path, parts: Sequence[str] = ("charts", "environments", "zoo")) -> Path:
    """`folder`, empty until now, as a cache with `parts` of the user's (what is built once) and no instances."""
    for part in parts:
        (cache_dir() / part).mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(cache_dir() / part)
    return folder
