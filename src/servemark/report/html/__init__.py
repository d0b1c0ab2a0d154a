"""``report.html``: a result as one page that needs nothing else, today and in ten years; and pages of several.

`of_result` says what stands in the page of a result, `of_comparison` and `of_history` what in theirs; `of_run` and
`of_benchmark` make charts, `drawn` reads the records for them, and `page` makes it all a text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from servemark.environments.chart_library import chart_library
from servemark.report.formats import saying_why_not
from servemark.report.html.of_result import result_page
from servemark.report.html.page import Page, page_text
from servemark.report.recorded import RecordedResult
from servemark.report.replacing import replacing


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the page of a result to `out`.

    Raises:
        SetupError: what draws its charts cannot be had.
    """
    out.write(page_text(result_page(recorded.result, recorded.folder), chart_library()))


def write_page(page: Page, target: Path) -> None:
    """Write a page to the file `target`: whole, or not at all.

    Raises:
        RecordingError: it cannot be written.
        SetupError: what draws its charts cannot be had.
    """
    text = page_text(page, chart_library())
    with saying_why_not(target), replacing(target) as out:
        out.write(text)
