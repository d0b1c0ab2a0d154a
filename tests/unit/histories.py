"""Results with folders, made by hand for the tests of the history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from servemark.history.index import add
from servemark.report.directory import result_text
from servemark.result import Result, Statistic

from .test_reports import STEP, latency, result

FIRST_DAY = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def measured(day: int, *, p50_ms: float = 20.0, rate_per_s: float = 48.77, **changes) -> Result:
    """A valid result of that day: ``latency resnet-18`` with this p50 and rate; `changes` are of the result."""
    step = replace(
        STEP,
        response_ms=latency(p50_ms / 20.0),
        throughput_per_s=Statistic(rate_per_s, (rate_per_s * 0.97, rate_per_s * 1.03)),
    )
    started = FIRST_DAY + timedelta(days=day)
    return replace(result(step), id=f"{started:%Y%m%dT%H%M%S.%fZ}-latency", started_at=started.isoformat(), **changes)


def write(folder: Path, what: Result) -> Path:
    """`what` in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(result_text(what), encoding="utf-8")
    return folder


def remembered(folder: Path, what: Result) -> Path:
    """`what` in `folder`, and in the history."""
    add(what, write(folder, what))
    return folder
