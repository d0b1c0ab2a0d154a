"""Suites: named sets of benchmarks, one TOML file each. Copy one, edit it, and name its path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servemark.errors import UsageError
from servemark.text_files import without_mark

_HERE = Path(__file__).parent
_SUFFIX = ".toml"


@dataclass(frozen=True)
class Suite:
    """A set of benchmarks, in the order in which they run.

    Attributes:
        name: its file's, without the suffix.
        folder: where its file is; paths in it start there.
        entries: what each benchmark is asked, as the file says it: ``name``, ``options`` and options by long name.
    """

    name: str
    folder: Path
    entries: tuple[Mapping[str, Any], ...]


def names() -> tuple[str, ...]:
    """The suites that come with servemark."""
    return tuple(sorted(path.stem for path in _HERE.glob(f"*{_SUFFIX}")))


def read_suite(wanted: str) -> Suite:
    """The suite of that name, or in the file of that path (with ``.toml`` or a slash in it).

    Raises:
        UsageError: there is none; or its file says what no suite says.
    """
    path = Path(wanted) if wanted.endswith(_SUFFIX) or "/" in wanted else _HERE / f"{wanted}{_SUFFIX}"
    try:
        content = _parsed(path)
    except FileNotFoundError:
        raise UsageError(
            f"there is no suite {wanted!r}", next_step=f"choose from {', '.join(names())}, or give the path of a file"
        ) from None
    except (OSError, ValueError) as error:  # a TOML file that cannot be decoded is a ValueError, too
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read the suite {path}", cause=cause or "", next_step="it has to be TOML") from error
    unknown = sorted(set(content) - {"summary", "benchmark"})
    entries = content.get("benchmark")
    if unknown:
        raise UsageError(
            f"unknown field {unknown[0]!r} in the suite {path}", next_step="it has summary and [[benchmark]]"
        )
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"the suite {path} names no benchmark", next_step="begin each one with [[benchmark]]")
    return Suite(path.stem, path.parent, tuple(entries))


def _parsed(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(without_mark(path.read_bytes()).decode("utf-8"))
