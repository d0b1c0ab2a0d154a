"""``report.html``: a result as one page that needs nothing else, today and in ten years.

`of_result` says what stands in the page of a result, `of_run` and `of_benchmark` which charts, `page` makes it a text.
"""

from servemark.report.html.of_result import result_page
from servemark.report.html.page import page_text

__all__ = ["page_text", "result_page"]
