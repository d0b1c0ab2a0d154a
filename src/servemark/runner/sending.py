"""A finished result goes to a collector, where that was asked for. What hinders it is one line, and nothing else."""

from __future__ import annotations

from pathlib import Path

from servemark.result import Result
from servemark.runner.listener import Listener
from servemark.unexpected import explained


def send_metrics(result: Result, folder: Path, url: str, listener: Listener) -> None:
    """Send the metrics of `result`, which is in `folder`, to `url`; where that cannot be, say why.

    Who interrupts this waits for the command to end: what was measured is told all the same.
    """
    try:
        from servemark.report.otlp import send

        send(result, url)
    except KeyboardInterrupt:
        listener.note("the metrics were not sent: interrupted")
    except Exception as error:
        listener.note(str(explained(error, folder)))
