"""What becomes of a finished result: its page, its place in the history, a collector that is sent its metrics.

None of it is essential: what hinders it is one line, and nothing else. Who interrupts it waits for the command to end:
what was measured is told all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servemark.report.directory import ResultDirectory
from servemark.result import Result
from servemark.runner.listener import Listener
from servemark.unexpected import explained


def draw(result: Result, folder: ResultDirectory, listener: Listener) -> None:
    """Write ``report.html`` of `result` into its `folder`; where that cannot be, say why."""
    lacking = "there is no report.html: "
    _attempt(lambda: folder.write_page(result), lacking, lacking, folder.path, listener)


def remember(result: Result, folder: Path, listener: Listener) -> None:
    """Add `result`, which is in `folder`, to the history of this user; where that cannot be, say why."""

    def add_it() -> None:
        from servemark.history.index import add

        add(result, folder)

    lacking = "the result is not in the history: "
    _attempt(add_it, lacking, lacking, folder, listener)


def send_metrics(result: Result, folder: Path, url: str, listener: Listener) -> None:
    """Send the metrics of `result`, which is in `folder`, to `url`; where that cannot be, say why."""

    def send_them() -> None:
        from servemark.report.otlp import send

        send(result, url)

    _attempt(send_them, "the metrics were not sent: ", "", folder, listener)


def _attempt(act: Callable[[], None], interrupted: str, failed: str, folder: Path, listener: Listener) -> None:
    """Do `act`; the others are what a line begins with that says what it came to. A traceback goes into `folder`."""
    try:
        act()
    except KeyboardInterrupt:
        listener.note(f"{interrupted}interrupted")
    except Exception as error:
        listener.note(f"{failed}{explained(error, folder)}")
