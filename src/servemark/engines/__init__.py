"""Engines: what sends a plan's requests and records what happened. `native` is the Rust load generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from servemark.result import ErrorExample


class ProgressReport(Protocol):
    """Counts of a run so far."""

    elapsed_ns: int
    scheduled: int
    succeeded: int
    failed: int
    in_flight: int
    measured_succeeded: int


#: Looks at a run's progress, at most 10 times a second; an answer other than None ends the run, and is its reason.
Watch = Callable[[ProgressReport], str | None]


@dataclass(frozen=True)
class EngineRun:
    """What an engine says of a run that it has finished.

    Attributes:
        scheduled: requests that were scheduled; as many records should be in the file.
        scheduling_ended_ns: when scheduling ended: the duration, an earlier stop, or the last end.
        interrupted: it was cut short, by Ctrl-C or by `stop_reason`.
        stop_reason: what the watch answered to end it, else None.
        generator_cpu_s: CPU time of the generator's threads.
        examples: the first failures of each step, by the step's number.
    """

    scheduled: int
    scheduling_ended_ns: int
    interrupted: bool
    stop_reason: str | None
    generator_cpu_s: float
    examples: dict[int, tuple[ErrorExample, ...]]
