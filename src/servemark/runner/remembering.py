"""A finished result goes into the history. That is never essential: what hinders it is one line, and nothing else."""

from __future__ import annotations

from pathlib import Path

from servemark.result import Result
from servemark.runner.listener import Listener
from servemark.unexpected import explained


def remember(result: Result, folder: Path, listener: Listener) -> None:
    """Add `result`, which is in `folder`, to the history of this user; where that cannot be, say why.

    Who interrupts this waits for the command to end: what was measured is told all the same.
    """
    try:
        from servemark.history.index import add

        add(result, folder)
    except KeyboardInterrupt:
        listener.note("the result is not in the history: interrupted")
    except Exception as error:
        listener.note(f"the result is not in the history: {explained(error, folder)}")
