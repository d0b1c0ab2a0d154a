"""``servemark history prune``: which results are forgotten, and whose folders are removed."""

from __future__ import annotations

import argparse
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from servemark.errors import EXIT_OK, OutputError, UsageError
from servemark.printable import printable

if TYPE_CHECKING:
    from servemark.history.index import Indexed

_DAYS = {"d": 1, "w": 7}


def age(text: str) -> timedelta:
    """An age as people write it: ``90d``, ``12w``.

    Raises:
        ArgumentTypeError: it is none.
    """
    match = re.fullmatch(r"(\d{1,5})([dw])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no age such as 90d or 12w")
    return timedelta(days=int(match[1]) * _DAYS[match[2]])


def prune(arguments: Namespace) -> int:
    """Forget results as `arguments` say; returns the exit status.

    Raises:
        UsageError, RecordingError: the history cannot be read or written.
    """
    from servemark.history.index import baselines, forget, indexed, is_result

    if arguments.gone and arguments.folders:
        raise UsageError("--gone and --folders do not go together", cause="what is gone has no folder to be removed")
    results, names = indexed(), []
    if arguments.gone:
        chosen = [result for result in results if result.is_gone]
        names = [name for name, (_, folder) in baselines().items() if not is_result(folder)]
    else:
        chosen = _old(results, arguments)
    kept = [result for result in chosen if result.baselines and not arguments.gone]
    chosen = [result for result in chosen if result not in kept]
    if arguments.folders:
        chosen = [result for result in chosen if _removed(result)]
    if chosen or names:
        forget([result.number for result in chosen], names)
    for name in names:
        print(f"forgot the baseline {name}: its folder is gone")
    also = f"; kept {len(kept)} that are baselines" if kept else ""
    where = "their folders were removed" if arguments.folders else "their folders stay" if not arguments.gone else ""
    print(f"forgot {len(chosen)} of {len(results)} results{also}" + (f"; {where}" if where and chosen else ""))
    return EXIT_OK


def _old(results: Sequence[Indexed], arguments: Namespace) -> list[Indexed]:
    if arguments.keep is not None:
        return list(results[: max(len(results) - arguments.keep, 0)])
    before = (datetime.now(timezone.utc) - arguments.older_than).isoformat()
    return [result for result in results if result.started_at < before]


def _removed(result: Indexed) -> bool:
    """Whether its folder is not there any more; one that cannot be removed is said, and stays in the history."""
    from servemark.report.directory import remove_folder

    if result.is_gone:
        return True
    try:
        remove_folder(result.folder, result.id)
    except OutputError as error:
        print(printable(f"servemark: {error}"), file=sys.stderr)
        return False
    print(printable(f"removed {result.folder}"))
    return True
