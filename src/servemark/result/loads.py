"""The load of a run as its result has it: what was asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What a run says of its `receive_clock`: the kernel's, the reader's that was asked for, or that of another engine.
KERNEL_CLOCK, USER_CLOCK, OWN_CLOCK = "kernel", "user", "engine's own"
#: Where the kernel was asked, and most answers of a step have no time of arrival.
UNSTAMPED_CLOCK = "user, the kernel had none for most answers of a step, as where these end with their connection"


@dataclass(frozen=True)
class AdaptiveLength:
    """A length that adapts: see ``workload.load.Until``."""

    successes: int
    min_s: float
    max_s: float
    longest_s: float | None = None
    precision: float | None = None
    p99_precision: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """What is told of the sending of any load.

    Attributes:
        generator_threads: how many there were.
        realtime: of their priority: off, rr 1, dropped after 3.2 s, refused: ...
        keep_awake: the CPUs that were kept from halting: off, not needed (they wake in time), 2 CPUs, refused: ...
        receive_clock: whose time of arrival answers have; what is older than that has the generator's own.
    """

    generator_threads: int = 1
    realtime: str = "off"
    keep_awake: str = "off"
    receive_clock: str = KERNEL_CLOCK


@dataclass(frozen=True, kw_only=True)
class ClosedLoadResult(_Sent):
    """Users that each wait for an answer before they send again."""

    kind: Literal["closed"] = "closed"
    users: int
    loops: int | None
    duration_s: float | None
    until: AdaptiveLength | None
    warmup_s: float
    ramp_s: float
    think_s: float

    @property
    def exact(self) -> int | None:
        """How many scenarios each user performs, where that is exact."""
        return self.loops


@dataclass(frozen=True)
class RateSegmentResult:
    """A part of a rate's profile; `duration_s` None is without end."""

    from_per_s: float
    to_per_s: float
    duration_s: float | None


@dataclass(frozen=True)
class TraceResult:
    """The source of recorded times; `length_s` is from the first to the last, as they are replayed.

    `column` is, of a table, the heading, the key or the number of the column that the times are in, `unit` what they
    are in there.
    """

    file: str | None
    sha256: str | None
    times: int
    length_s: float
    column: str | None = None
    unit: str = "s"


@dataclass(frozen=True, kw_only=True)
class OpenLoadResult(_Sent):
    """Requests that arrive by a schedule, whatever becomes of them.

    Attributes:
        cv: coefficient of variation of the times between arrivals; None for a trace.
        profile: the rate over time, after the warm-up, which is at its first rate; empty for a trace.
        requests: arrivals in all, where that is exact.
        max_connections: at once; fewer than were requested where file descriptors were lacking.
        offered_per_s: arrivals scheduled in the measured time, over it.
    """

    kind: Literal["open"] = "open"
    process: Literal["constant", "poisson", "gamma", "trace"]
    cv: float | None
    profile: tuple[RateSegmentResult, ...]
    trace: TraceResult | None
    requests: int | None
    duration_s: float | None
    until: AdaptiveLength | None
    warmup_s: float
    max_connections: int
    requested_connections: int
    offered_per_s: float | None

    @property
    def exact(self) -> int | None:
        """How many arrivals there are in all, where that is exact."""
        return self.requests


LoadResult = ClosedLoadResult | OpenLoadResult
