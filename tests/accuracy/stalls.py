"""A server that stalls for a second under a steady rate: what the loop that is open must see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from measuring import Sample, measure

from servemark.workload.load import Arrivals, OpenLoad, RateSegment


@dataclass(frozen=True)
class Stall:
    """A server of `service_ms` that answers nothing for `lasting_s`, `after_s` from the first request on.

    It begins between two answers of 200 requests a second: which one it first holds back is no matter of microseconds.
    """

    connections: int
    service_ms: float = 5.0
    after_s: float = 3.0025
    lasting_s: float = 1.0

    @property
    def law(self) -> tuple[str, ...]:
        """The oracle's options."""
        return ("--constant-ms", str(self.service_ms), "--stall", f"{self.after_s}:{self.lasting_s}")


def run_stall(program: Path, folder: Path, stall: Stall, *, rate_per_s: float, requests: int) -> Sample:
    """One run at a constant rate."""
    arrivals = Arrivals("constant", profile=(RateSegment(rate_per_s, rate_per_s),))
    load = OpenLoad(arrivals, requests=requests, max_connections=stall.connections)
    return measure(program, folder, stall.law, load, seed=1)
