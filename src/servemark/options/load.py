"""How requests arrive: how many users or at which rate, for how long, and what every random draw begins with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from servemark.options.kinds import Rate, Seconds, Text, Whole
from servemark.options.table import OptionGroup, option, refuse
from servemark.workload.load import DEFAULT_MAX_CONNECTIONS, MOST_USERS, Arrivals, ClosedLoad, Load, Until
from servemark.workload.open_loop import MOST_CONNECTIONS, arrivals_of, check_open_loop, open_load

DEFAULT_WARMUP_S = 2.0


@dataclass(frozen=True)
class LoadOptions(OptionGroup):
    """How requests arrive. None leaves it to the benchmark.

    Attributes:
        threads: users.
        loops: requests a user, exactly; or `duration_s`; or neither: until 400 successes, 10 to 60 s.
        warmup_s: None is 2 s, or nothing with `loops` or a trace.
        rate: of an open loop: requests a second, a ramp or steps (``"100..2000/60s"``).
        arrival: how they arrive: None is constant; ``"poisson"``, ``"gamma:CV"``, ``"trace:FILE"``, of a table
            ``"trace:FILE:COLUMN"``.
        max_connections: of an open loop at once; None is 10,000.
        ramp_s: over which users start.
        think_s: between a user's requests.
        timeout_s: a request that takes longer has failed.
    """

    threads: int | None = option(
        "-t",
        "--threads",
        kind=Whole(1, MOST_USERS),
        metavar="N",
        help="users that send at once (default: the benchmark's)",
        of_suites=True,
    )
    loops: int | None = option(
        "-l",
        "--loops",
        kind=Whole(1),
        metavar="N",
        help="requests a user, exactly; all of them are measured",
        of_suites=True,
    )
    duration_s: float | None = option(
        "--duration",
        kind=Seconds(above_zero=True),
        metavar="S",
        heading="load",
        help="measure for S seconds (default: until 400 successes and at least 10 s, at most 60 s)",
        of_suites=True,
    )
    warmup_s: float | None = option(
        "--warmup",
        kind=Seconds(),
        metavar="S",
        heading="load",
        help="load before the measured time (default: 2)",
        of_suites=True,
    )
    rate: str | None = option(
        "--rate",
        kind=Rate(),
        metavar="R",
        heading="load",
        help="open loop: R requests a second, whatever becomes of them; a ramp 100..2000/60s, steps 100,200,400/20s",
        of_suites=True,
    )
    arrival: str | None = option(
        "--arrival",
        kind=Text(),
        metavar="A",
        heading="load",
        help="how they arrive: constant (default), poisson, gamma:CV, or trace:FILE[:COLUMN[:UNIT]], recorded times",
        of_suites=True,
    )
    max_connections: int | None = option(
        "--max-connections",
        kind=Whole(1, MOST_CONNECTIONS),
        metavar="N",
        heading="load",
        help=f"connections of an open loop at once (default: {DEFAULT_MAX_CONNECTIONS:,})",
        of_suites=True,
    )
    ramp_s: float = option(
        "--ramp", kind=Seconds(), default=0.0, metavar="S", heading="load", help="start users over S", of_suites=True
    )
    think_s: float = option(
        "--think",
        kind=Seconds(),
        default=0.0,
        metavar="S",
        heading="load",
        help="pause between a user's requests",
        of_suites=True,
    )
    timeout_s: float = option(
        "--timeout",
        kind=Seconds(above_zero=True),
        default=120.0,
        metavar="S",
        heading="load",
        help="limit on a request (default: 120)",
        of_suites=True,
    )
    seed: int = option(
        "--seed", kind=Whole(0), default=0, metavar="N", heading="load", help="seed of every random draw"
    )

    @property
    def is_open(self) -> bool:
        """Whether requests arrive whatever becomes of them."""
        return self.rate is not None or (self.arrival or "").startswith("trace")

    @cached_property
    def arrivals(self) -> Arrivals | None:
        """When requests arrive in an open loop; None is a closed one. The file of a trace is read when first asked for.

        Raises:
            UsageError: it cannot be read.
        """
        return arrivals_of(self.rate, self.arrival)

    def check(self) -> None:
        """Refuse what contradicts itself, or names no load; the file of a trace is not read yet."""
        if self.loops is not None and self.duration_s is not None:
            raise refuse("--loops", "--duration", "one says how many requests, the other how long")
        if self.loops is not None and self.warmup_s:
            raise refuse("--loops", "--warmup", "with --loops every request is measured")
        check_open_loop(
            rate=self.rate,
            arrival=self.arrival,
            max_connections=self.max_connections,
            threads=self.threads,
            loops=self.loops,
            duration_s=self.duration_s,
            ramp_s=self.ramp_s,
            think_s=self.think_s,
        )

    def of(self, users: int, until: Until, max_connections: int | None = None) -> Load:
        """The open loop that is asked for, else a closed one of `users`; its length is that asked for, or adapts.

        `max_connections` are those of an open loop, instead of those that are asked for.
        """
        if self.arrivals is None:
            return self.closed(users, until)
        return open_load(
            self.arrivals,
            requests=self.loops,
            duration_s=self.duration_s,
            until=until,
            warmup_s=self.warmup_s,
            usual_warmup_s=DEFAULT_WARMUP_S,
            max_connections=max_connections or self.max_connections,
        )

    def closed(self, users: int, until: Until, usual_warmup_s: float = DEFAULT_WARMUP_S) -> ClosedLoad:
        """A closed loop of `users`, of the length that is asked for, else of an adapting one."""
        timed = self.loops is None
        warmup_s = self.warmup_s if self.warmup_s is not None else usual_warmup_s if timed else 0.0
        return ClosedLoad(
            users=users,
            loops=self.loops,
            duration_s=self.duration_s,
            until=until if timed and self.duration_s is None else None,
            warmup_s=warmup_s,
            ramp_s=self.ramp_s,
            think_s=self.think_s,
        )
