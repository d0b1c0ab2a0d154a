"""What the tally of records is asked, and times of a run, in which it is."""

from __future__ import annotations

from dataclasses import dataclass

from servemark.units import NS_PER_S


@dataclass(frozen=True)
class Window:
    """A time of a run, in nanoseconds from its origin.

    Of the measured time: successes scheduled in it make the latencies, successes that end in it the rate.
    """

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / NS_PER_S


NO_TIME = Window(0, 0)


@dataclass(frozen=True)
class TallyQuestion:
    """What the tally is asked, see its stub: the question with the steps by number.

    `limits` are of each step name those that its requests are to keep at once, by latency in nanoseconds.
    """

    places: tuple[int, ...]
    window: Window
    batches: int
    pause: Window
    accounted: Window
    stages: tuple[Window, ...]
    begins: tuple[bool, ...]
    ends: tuple[bool, ...]
    users: bool
    limits: tuple[tuple[tuple[str, int], ...], ...] = ()
