"""What becomes of the result: its folder, what else is written, and how many failures are too many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servemark.options.kinds import PathTo, Share, Switch, Text
from servemark.options.table import OptionGroup, option
from servemark.workload.endpoint import parse_url


def _collector(text: str) -> str:
    parse_url(text)
    return text


@dataclass(frozen=True)
class OutputOptions(OptionGroup):
    """What becomes of what is measured.

    Attributes:
        max_errors_share: share of failures from which on the verdict fails.
        go_on_errors: go on to the end although the server fails or is away meanwhile, instead of ending with an error.
        output: result directory; None makes a new one.
        force: write into `output` although it is not empty, and try what would not fit in memory.
        no_history: leave the result out of the history.
        no_report: write no ``report.html``.
        otlp: URL of a collector, which is sent the metrics of the result.
    """

    max_errors_share: float = option(
        "--max-errors",
        kind=Share(),
        default=0.01,
        metavar="SHARE",
        heading="load",
        help="failures allowed (default: 1%%)",
    )
    go_on_errors: bool = option(
        "--go-on-errors",
        kind=Switch(),
        default=False,
        heading="load",
        help="go on to the end although the server fails or is away meanwhile, and report what was measured",
    )
    output: Path | None = option(
        "-o", "--output", kind=PathTo(), metavar="DIR", heading="output", help="result directory (default: a new one)"
    )
    force: bool = option(
        "--force",
        kind=Switch(),
        default=False,
        heading="output",
        help="write into DIR although it is not empty; try what would not fit in memory",
    )
    no_history: bool = option(
        "--no-history",
        kind=Switch(),
        default=False,
        heading="output",
        help="leave the result out of the history, which servemark history lists",
    )
    no_report: bool = option(
        "--no-report",
        kind=Switch(),
        default=False,
        heading="output",
        help="write no report.html, the page with its charts",
    )
    otlp: str | None = option(
        "--otlp",
        kind=Text(_collector),
        metavar="URL",
        heading="output",
        help="send the metrics to this OpenTelemetry collector, by OTLP over HTTP",
    )
