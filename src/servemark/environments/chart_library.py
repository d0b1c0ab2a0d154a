"""The JavaScript that draws the charts of a report: Vega, Vega-Lite and Vega-Embed in one text, which needs no network.

It is made once of what vl-convert has, and kept in the cache. ``python -m`` of this makes it, which the set-up does.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from servemark.environments.cache import Progress, build_once
from servemark.errors import EXIT_OK, ServemarkError

#: The Vega-Lite that the specifications are written for.
VEGA_LITE = "6.4"
_FILE = "charts.js"


def chart_library(progress: Progress = lambda _: None) -> str:
    """The text, which sets ``window.vegaEmbed``; whatever else it names is to be kept in a function.

    Raises:
        SetupError: it cannot be kept in the cache.
    """
    key = f"charts/vega-lite-{VEGA_LITE}-vl-convert-{metadata.version('vl-convert-python')}"
    return (build_once(key, _build, progress) / _FILE).read_text(encoding="utf-8")


def _build(directory: Path) -> None:
    import vl_convert

    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    (directory / _FILE).write_text(text, encoding="utf-8")


def main() -> int:
    """Make it, if it is not there yet; returns the exit status."""
    try:
        chart_library()
    except ServemarkError as error:
        print(error, file=sys.stderr)  # noqa: T201 - to the log of the set-up
        return error.exit_status
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
