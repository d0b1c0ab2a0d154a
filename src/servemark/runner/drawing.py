"""A finished result gets its page. That is never essential: what hinders it is one line, and nothing else."""

from __future__ import annotations

from servemark.report.directory import ResultDirectory
from servemark.result import Result
from servemark.runner.listener import Listener
from servemark.unexpected import explained


def draw(result: Result, folder: ResultDirectory, listener: Listener) -> None:
    """Write ``report.html`` of `result` into its `folder`; where that cannot be, say why.

    Who interrupts this waits for the command to end: what was measured is told all the same.
    """
    try:
        folder.write_page(result)
    except KeyboardInterrupt:
        listener.note("there is no report.html: interrupted")
    except Exception as error:
        listener.note(f"there is no report.html: {explained(error, folder.path)}")
