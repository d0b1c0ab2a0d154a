"""A result as JSON: ``result.json``, of whatever schema it was read."""

from __future__ import annotations

from typing import TextIO

from servemark.report.directory import result_text
from servemark.report.recorded import RecordedResult


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the result to `out`."""
    out.write(result_text(recorded.result))
