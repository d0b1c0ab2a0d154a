"""How a user names a result: by its folder, or as the history knows it: latest, a baseline, an id, a number.

A folder is looked for first, and without the history: whoever has folders needs none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from servemark.errors import UsageError
from servemark.history.index import Indexed, baselines, indexed, is_result

#: The last result that was added.
LATEST = "latest"
#: A number is one of the list's, a path one of a folder: neither can be a baseline's name.
_NAME = re.compile(r"(?!\d+$)[A-Za-z0-9][A-Za-z0-9._+-]*")
_LONGEST_NAME = 40


def resolve(name: str) -> Path:
    """The folder of the result that `name` means: a folder, else latest, a baseline, an id, or a number of the list.

    Raises:
        UsageError: there is no such result, or its folder is gone, or holds another now.
        RecordingError: the history cannot be read.
    """
    folder = Path(name)
    if is_result(folder):
        return folder
    if name in (known := baselines()):
        return _folder_of_baseline(name, *known[name])
    results = indexed()
    found = in_history(name, results)
    if found is None:
        knows = "the history has neither a baseline nor a result of that name" if results else "the history is empty"
        raise UsageError(
            f"there is no result {name!r}",
            cause=f"it is no folder with a result.json, and {knows}",
            next_step="servemark history list shows what there is" if results else "run a benchmark first",
        )
    if found.is_gone:
        raise UsageError(
            f"the folder of result {found.number} is gone", cause=str(found.folder), next_step="give another result"
        )
    return found.folder


def resolve_baseline(name: str) -> Path:
    """The folder of the baseline `name`, whatever folder there is of that name.

    Raises:
        UsageError: there is no such baseline, or its folder is gone, or holds another result now.
        RecordingError: the history cannot be read.
    """
    known = baselines()
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "there is none yet"
        raise UsageError(
            f"there is no baseline {name!r}", cause=there, next_step="servemark history baseline NAME makes one"
        )
    return _folder_of_baseline(name, *known[name])


def in_history(name: str, results: Sequence[Indexed]) -> Indexed | None:
    """Which of `results` the history means by `name`: latest, a baseline, an id, a number, or a folder that is gone."""
    if name == LATEST:
        return results[-1] if results else None
    for known in reversed(results):
        if name in (known.id, str(known.number), *known.baselines) or Path(name).resolve() == known.folder:
            return known
    return None


def checked_name(name: str) -> str:
    """`name`, which can be that of a baseline.

    Raises:
        UsageError: it cannot; says why.
    """
    if _NAME.fullmatch(name) and name != LATEST and len(name) <= _LONGEST_NAME:
        return name
    raise UsageError(
        f"{name!r} cannot be the name of a baseline",
        cause=f"numbers and {LATEST} mean results, and what has a slash a folder",
        next_step=f"take letters, digits and . _ + -, at most {_LONGEST_NAME}, as in main or v1.2",
    )


def id_of(folder: Path) -> str | None:
    """The id of the result in `folder`; None where that cannot be read."""
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found.get("id")) if isinstance(found, dict) else None


def _folder_of_baseline(name: str, result_id: str, folder: Path) -> Path:
    if not is_result(folder):
        raise UsageError(
            f"the folder of the baseline {name} is gone",
            cause=str(folder),
            next_step=f"make another result the baseline: servemark history baseline {name} RESULT",
        )
    if id_of(folder) != result_id:
        raise UsageError(
            f"the folder of the baseline {name} holds another result now",
            cause=f"a later run was written over it: {folder}",
            next_step=f"servemark history baseline {name} {folder} takes that one",
        )
    return folder
