"""Loads: how requests arrive.

Closed loop (``ClosedLoad``): `users` virtual users, each sending its next request when the last one's response is
complete and the think time is over. It ends after `loops` scenarios a user, or when `duration_s` has passed, whichever
is set; exactly one is.

Open loop (``OpenLoad``): requests arrive by a schedule that knows nothing of the responses: a pure function of the
arrival process, the rate and the seed. A server that falls behind is sent no less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from servemark.errors import UsageError
from servemark.units import NS_PER_S

#: When a run is looked at whose length adapts, as multiples of its least time.
_LOOKS = (1.0, 1.5, 2.2, 3.3, 5.0)


@dataclass(frozen=True)
class Until:
    """When to stop a run whose length adapts.

    Not before `min_s`, and with `precision` not before the headline's figure is that exact (as a share of it, to either
    side) and its p99 has an interval, which is looked at at a few times only; after `max_s` with `successes`, exact or
    not; and after `longest_s` in any case. Without a precision, at `successes`.

    All times count from the end of the warm-up; successes are those of the headline's requests scheduled after it, of
    which the statistics are: see ``plan.headline_step``. `p99_precision` is asked of p99 too, where it is not None.
    """

    successes: int = 400
    min_s: float = 10.0
    max_s: float = 60.0
    longest_s: float = 600.0
    precision: float | None = None
    p99_precision: float | None = None

    @property
    def looks_s(self) -> tuple[float, ...]:
        """When it is looked at, from the end of the warm-up."""
        return tuple(
            dict.fromkeys(min(self.min_s * factor, self.max_s) for factor in (*_LOOKS, self.max_s / self.min_s))
        )


#: How long a run lasts of which nothing else is said.
ADAPTIVE = Until(precision=0.02)
#: Users of one generator: each has a file descriptor, and Linux gives a process no more (``fs.nr_open``).
MOST_USERS = 2**20
#: And of all generators: records have no more bits for the number of a user.
MOST_USERS_OF_ALL = 2**32 - 1


@dataclass(frozen=True)
class ClosedLoad:
    """A closed loop.

    Attributes:
        users: virtual users, each with one connection; from 1 to ``MOST_USERS`` for each generator, and no more than
            the machine can hold.
        loops: scenarios that each user performs; all of them are in the statistics, there is no warm-up.
        duration_s: the measured time, after the warm-up; alternatively
        until: a length that adapts.
        warmup_s: load before the measured time; its records are kept, marked, and in no statistic.
        ramp_s: time over which the users start, evenly.
        think_s: pause of a user between a response and its next request.
    """

    users: int
    loops: int | None = None
    duration_s: float | None = None
    until: Until | None = None
    warmup_s: float = 0.0
    ramp_s: float = 0.0
    think_s: float = 0.0

    def __post_init__(self) -> None:
        if self.users < 1:
            raise UsageError(f"a load needs at least 1 user, not {self.users}")
        if self.users > MOST_USERS_OF_ALL:
            raise UsageError(f"{self.users} users are more than the {MOST_USERS_OF_ALL} that can be told apart")
        if sum(limit is not None for limit in (self.loops, self.duration_s, self.until)) != 1:
            raise UsageError("a load ends after loops, a duration, or a number of successes: give exactly one")
        if self.loops is not None and self.warmup_s:
            raise UsageError("a load of an exact number of loops has no warm-up: all of them are measured")

    @property
    def scenarios(self) -> int | None:
        """How many scenarios are performed in all, if that is exact."""
        return None if self.loops is None else self.loops * self.users

    @property
    def most_in_flight(self) -> int:
        """How many requests are under way at once, at most."""
        return self.users

    @property
    def longest_s(self) -> float | None:
        """The time, warm-up included, after which nothing new is sent; None when loops end it."""
        return None if self.loops is not None else _end_s(self)


#: How the times between arrivals are drawn. gamma: with a coefficient of variation. trace: recorded times.
ProcessName = Literal["constant", "poisson", "gamma", "trace"]
#: Connections that an open loop may have at once to one address, unless it is told.
DEFAULT_MAX_CONNECTIONS = 10_000


@dataclass(frozen=True)
class RateSegment:
    """A part of a rate's profile: from `from_per_s` straight to `to_per_s`; `duration_s` None goes on without end."""

    from_per_s: float
    to_per_s: float
    duration_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.from_per_s, self.to_per_s) < 0 or max(self.from_per_s, self.to_per_s) == 0:
            raise UsageError(f"a rate must be above 0, not {self.from_per_s:g} to {self.to_per_s:g}")
        if self.duration_s is None and self.from_per_s != self.to_per_s:
            raise UsageError("a rate that changes needs a time in which it does")


@dataclass(frozen=True)
class TraceOrigin:
    """The source of a trace's times: the file, its SHA-256, of a table the column, and what unit they have."""

    file: str
    sha256: str
    column: str | None = None
    unit: str = "s"

    @property
    def name(self) -> str:
        """What is written behind ``trace:`` for it."""
        if self.column is None and self.unit == "s":
            return self.file
        return ":".join([self.file, self.column or "", *([] if self.unit == "s" else [self.unit])])


@dataclass(frozen=True)
class Arrivals:
    """When requests arrive, whatever becomes of them.

    Attributes:
        process: how the times between them are drawn, at the rate of `profile`.
        cv: coefficient of variation of those times, for gamma; poisson has 1, constant 0.
        profile: the rate over time; of several segments all but the last have an end. Empty for a trace.
        times_ns: the times of a trace, rising from 0.
        trace: where they are from, if that is a file.
    """

    process: ProcessName = "constant"
    cv: float = 1.0
    profile: tuple[RateSegment, ...] = ()
    times_ns: tuple[int, ...] = ()
    trace: TraceOrigin | None = None

    @property
    def length_s(self) -> float | None:
        """After which nothing arrives any more; None when it goes on without end."""
        if self.process == "trace":
            return self.times_ns[-1] / NS_PER_S
        lengths = [segment.duration_s for segment in self.profile]
        return None if None in lengths else sum(length for length in lengths if length is not None)


@dataclass(frozen=True)
class OpenLoad:
    """An open loop: each arrival begins the scenario once, as a user of its own.

    Attributes:
        arrivals: when.
        requests: arrivals in all, exactly; all of them are in the statistics, there is no warm-up.
        duration_s: the measured time, after the warm-up; alternatively
        until: a length that adapts.
        warmup_s: load at the first rate before the measured time, kept, marked, and in no statistic.
        max_connections: to one address at once; what finds them all busy waits in the client (`client_queue`).
    """

    arrivals: Arrivals
    requests: int | None = None
    duration_s: float | None = None
    until: Until | None = None
    warmup_s: float = 0.0
    max_connections: int = DEFAULT_MAX_CONNECTIONS

    def __post_init__(self) -> None:
        if self.max_connections < 1:
            raise UsageError(f"a load needs at least 1 connection, not {self.max_connections}")
        if sum(limit is not None for limit in (self.requests, self.duration_s, self.until)) != 1:
            raise UsageError("a load ends after requests, a duration, or a number of successes: give exactly one")
        if self.requests is not None and self.warmup_s:
            raise UsageError("a load of an exact number of requests has no warm-up: all of them are measured")

    @property
    def scenarios(self) -> int | None:
        """How many scenarios are performed in all, if that is exact."""
        return self.requests

    @property
    def most_in_flight(self) -> int:
        """How many requests are under way at once, at most: each has a connection."""
        return self.max_connections

    @property
    def longest_s(self) -> float | None:
        """The time, warm-up included, after which nothing new is sent; None when a number of requests ends it."""
        return None if self.requests is not None else _end_s(self)


#: How requests arrive.
Load: TypeAlias = ClosedLoad | OpenLoad


def _end_s(load: Load) -> float:
    """The time, warm-up included, after which nothing new is sent, of a load that a time ends."""
    measured_s = load.duration_s if load.until is None else load.until.longest_s
    assert measured_s is not None
    return load.warmup_s + measured_s
