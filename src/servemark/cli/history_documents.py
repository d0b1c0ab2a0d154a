"""What ``servemark history --json`` prints, as JSON values."""

from __future__ import annotations

from typing import Any

from servemark.history.index import Indexed
from servemark.history.measurements import STATISTICS, Measurement
from servemark.history.trends import Series
from servemark.report.history import verdict_of
from servemark.result import to_json

_NAMES = {"rate": "throughput_per_s", "p50": "p50_ms", "p99": "p99_ms"}


def document(result: Indexed) -> dict[str, Any]:
    """A result, with what it measured."""
    return {
        **_reference(result),
        "partial": result.partial,
        "baselines": list(result.baselines),
        "measurements": list(map(_measurement, result.measurements)),
    }


def series_document(series: Series, statistic: str) -> dict[str, Any]:
    """A series of a statistic, in milliseconds or a second, and where it changed."""
    return {
        "benchmark": series.benchmark,
        "model": series.model or None,
        "point": series.point or None,
        "setup": series.setup,
        "machine": series.machine,
        "results": [
            {**_reference(member.result), _NAMES[statistic]: to_json(member.figure)} for member in series.members
        ],
        "changes": [
            {
                "number": series.members[change.at].result.number,
                "started_at": series.members[change.at].result.started_at,
                "before": change.before,
                "after": change.after,
                "p": change.p,
                "verdict": verdict_of(change, statistic),
                "differs": {name: list(pair) for name, pair in change.differs.items()},
            }
            for change in series.changes
        ],
    }


def _reference(result: Indexed) -> dict[str, Any]:
    return {
        "number": result.number,
        "id": result.id,
        "folder": str(result.folder),
        "gone": result.is_gone,
        "started_at": result.started_at,
    }


def _measurement(one: Measurement) -> dict[str, Any]:
    return {
        "benchmark": one.benchmark,
        "model": one.model or None,
        "point": one.point or None,
        "setup": one.setup,
        "machine": one.machine,
        "valid": one.valid,
        "partial": one.partial,
        **{_NAMES[name]: to_json(getattr(one, name)) for name in STATISTICS},
    }
