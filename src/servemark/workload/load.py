"""Loads: how requests arrive.

Closed loop (``ClosedLoad``): `users` virtual users, each sending its next request when the last one's response is
complete and the think time is over. It ends after `loops` scenarios a user, or when `duration_s` has passed, whichever
is set; exactly one is.
"""

from __future__ import annotations

from dataclasses import dataclass

from servemark.errors import UsageError


@dataclass(frozen=True)
class Until:
    """When to stop a run whose length adapts: at `successes`, but not before `min_s` nor after `max_s`.

    Both times count from the end of the warm-up; successes are those of requests scheduled after it.
    """

    successes: int = 400
    min_s: float = 10.0
    max_s: float = 60.0


@dataclass(frozen=True)
class ClosedLoad:
    """A closed loop.

    Attributes:
        users: virtual users, each with one connection; at least 1.
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
        if sum(limit is not None for limit in (self.loops, self.duration_s, self.until)) != 1:
            raise UsageError("a load ends after loops, a duration, or a number of successes: give exactly one")
        if self.loops is not None and self.warmup_s:
            raise UsageError("a load of an exact number of loops has no warm-up: all of them are measured")

    @property
    def longest_s(self) -> float | None:
        """The time, warm-up included, after which nothing new is sent; None when loops end it."""
        if self.loops is not None:
            return None
        measured_s = self.duration_s if self.until is None else self.until.max_s
        assert measured_s is not None
        return self.warmup_s + measured_s
