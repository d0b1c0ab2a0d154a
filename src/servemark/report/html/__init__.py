"""``report.html``: a result as one page that needs nothing else, today and in ten years.

`of_result` says what stands in the page of a result, `of_run` and `of_benchmark` which charts, `page` makes it a text.
"""

from __future__ import annotations

from typing import TextIO

from servemark.environments.chart_library import chart_library
from servemark.report.html.of_result import result_page
from servemark.report.html.page import page_text
from servemark.report.recorded import RecordedResult


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the page of a result to `out`.

    Raises:
        SetupError: what draws its charts cannot be had.
    """
    out.write(page_text(result_page(recorded.result, recorded.folder), chart_library()))
