"""Caches of their own for tests: what takes long to make is that of the user, and what servers leave is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from servemark.environments.cache import cache_dir

from .short_java import short_lived_home

#: What an environment tells of itself, and the Java that one of ours has besides.
_FACTS, _JAVA = "environment.json", "short-lived-java"


def fresh_cache(
    folder: Path, parts: Sequence[str] = ("charts", "environments", "zoo"), *, short_java: bool = False
) -> Path:
    """`folder`, empty until now, as a cache with `parts` of the user's (what is built once) and no instances.

    With `short_java` servers run on a Java that compiles quickly, which is no other server: for tests that do not ask
    how fast it is, and start many.
    """
    for part in parts:
        shared = cache_dir() / part
        shared.mkdir(parents=True, exist_ok=True)
        if part == "environments" and short_java:
            (folder / part).mkdir()
            for environment in filter(Path.is_dir, shared.iterdir()):
                _link(environment, folder / part / environment.name)
        else:
            (folder / part).symlink_to(shared)
    return folder


def _link(environment: Path, place: Path) -> None:
    """What is installed in `environment` at `place`, with a Java for short runs where it has one."""
    facts = json.loads((environment / _FACTS).read_text(encoding="utf-8")) if (environment / _FACTS).is_file() else {}
    if not facts.get("java_home") or (environment / _JAVA).exists():  # it is of another cache of tests
        place.symlink_to(environment)
        return
    place.mkdir()
    for part in environment.iterdir():
        if part.name != _FACTS:
            (place / part.name).symlink_to(part)
    home = short_lived_home(Path(facts["java_home"]), place / _JAVA)
    (place / _FACTS).write_text(json.dumps({**facts, "java_home": str(home)}), encoding="utf-8")
