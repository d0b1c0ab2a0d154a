"""servemark: measure how fast a model server really is, and prove that the numbers are right.

The public names are below; everything else may change. They are loaded when first used, so that ``import servemark``
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servemark.errors import (
        ClusterLostError,
        DoesNotFitError,
        GeneratorLostError,
        InputRefusedError,
        ManagementError,
        ModelError,
        OutputError,
        RecordingError,
        ServemarkError,
        ServerDiedError,
        ServerError,
        ServerStartError,
        SetupError,
        UnexpectedError,
        UnreachableError,
        UsageError,
    )
    from servemark.records import RecordFile, open_events, open_records
    from servemark.report.in_python import Result
    from servemark.result import (
        BenchmarkResult,
        Certificate,
        Check,
        ErrorExample,
        EventSummary,
        Failure,
        GapSummary,
        LatencySummary,
        RunResult,
        Skipped,
        Spread,
        Statistic,
        StepSummary,
        Verdict,
    )
    from servemark.runner import run

_HOME = {
    "servemark.errors": (
        "ClusterLostError",
        "DoesNotFitError",
        "GeneratorLostError",
        "InputRefusedError",
        "ManagementError",
        "ModelError",
        "OutputError",
        "RecordingError",
        "ServemarkError",
        "ServerDiedError",
        "ServerError",
        "ServerStartError",
        "SetupError",
        "UnexpectedError",
        "UnreachableError",
        "UsageError",
    ),
    "servemark.records": ("RecordFile", "open_events", "open_records"),
    "servemark.report.in_python": ("Result",),
    "servemark.result": (
        "BenchmarkResult",
        "Certificate",
        "Check",
        "ErrorExample",
        "EventSummary",
        "Failure",
        "GapSummary",
        "LatencySummary",
        "RunResult",
        "Skipped",
        "Spread",
        "Statistic",
        "StepSummary",
        "Verdict",
    ),
    "servemark.runner": ("run",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BenchmarkResult",
    "Certificate",
    "Check",
    "ClusterLostError",
    "DoesNotFitError",
    "ErrorExample",
    "EventSummary",
    "Failure",
    "GapSummary",
    "GeneratorLostError",
    "InputRefusedError",
    "LatencySummary",
    "ManagementError",
    "ModelError",
    "OutputError",
    "RecordFile",
    "RecordingError",
    "Result",
    "RunResult",
    "ServemarkError",
    "ServerDiedError",
    "ServerError",
    "ServerStartError",
    "SetupError",
    "Skipped",
    "Spread",
    "Statistic",
    "StepSummary",
    "UnexpectedError",
    "UnreachableError",
    "UsageError",
    "Verdict",
    "open_events",
    "open_records",
    "run",
]


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'servemark' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
