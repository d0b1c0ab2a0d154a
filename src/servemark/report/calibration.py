"""A calibration for people and for programs: which changes how many trials can show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from servemark.report.layout import Columns, Line

if TYPE_CHECKING:
    from servemark.assessment.calibration import Calibration

#: The number of trials that the first line is of.
_USUAL = 10
SCHEMA = "servemark/calibration/1"
_NAMES = {"p50_ms": "p50", "p99_ms": "p99", "throughput_per_s": "rate"}


def calibration_lines(calibration: Calibration) -> Iterator[Line]:
    """The answer in a sentence, and a row a number of trials."""
    if not calibration.smallest:
        yield Text("too few valid trials to say what they differ by", style="bold yellow")
        return
    usual = calibration.smallest[_USUAL]
    worst = max(usual, key=usual.__getitem__)
    told = ", ".join(f"{_NAMES[figure]} {share:.1%}" for figure, share in usual.items())
    yield Text(f"{_USUAL} trials show a change of {usual[worst]:.1%} or more ({told})", style="bold green")
    yield Text()
    table = Columns("trials", *(_NAMES[figure] for figure in usual), "--threshold")
    for trials, shares in calibration.smallest.items():
        table.add_row(
            str(trials), *(f"{share:.1%}" for share in shares.values()), f"{calibration.thresholds[trials]:.1%}"
        )
    yield table


def calibration_text(calibration: Calibration) -> str:
    """The same as JSON: of each number of trials the smallest change that they would show, as shares.

    Empty where too few trials were valid; `threshold` is that with which they would show it.
    """
    shown = [
        {"trials": trials, "smallest": dict(shares), "threshold": calibration.thresholds[trials]}
        for trials, shares in calibration.smallest.items()
    ]
    return json.dumps({"schema": SCHEMA, "changes": shown}, indent=2, allow_nan=False) + "\n"
