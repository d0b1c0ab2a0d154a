"""How requests arrive: how many users or at which rate, for how long, and what every random draw begins with."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

from servemark.errors import UsageError
from servemark.options.kinds import Rate, Seconds, Share, Switch, Text, Whole
from servemark.options.table import OptionGroup, option, refuse
from servemark.units import ns_from_s
from servemark.workload.load import DEFAULT_MAX_CONNECTIONS, MOST_USERS_OF_ALL, Arrivals, ClosedLoad, Load, Until
from servemark.workload.open_loop import MOST_CONNECTIONS, arrivals_of, check_open_loop, open_load
from servemark.workload.trace import read_lengths
from servemark.workload.trace_lengths import Lengths

DEFAULT_WARMUP_S = 2.0
#: How much less exact p99 may be than p50 and the rate.
_OF_P99 = 2.5
MOST_TRIALS = 100


@dataclass(frozen=True)
class LoadOptions(OptionGroup):
    """How requests arrive. None leaves it to the benchmark.

    Attributes:
        threads: users.
        loops: requests a user, exactly; or `duration_s`; or neither: 10 to 60 s, until the figures are exact.
        precision_share: how exact p50, rate and, to 2.5 times as much, p99 are to be; None asks of the headline alone.
        max_duration_s: how long a run whose length adapts may last, None for 600 s.
        warmup_s: None is 2 s, or nothing with `loops` or a trace.
        rate: of an open loop: requests a second, a ramp or steps (``"100..2000/60s"``).
        arrival: how they arrive: None is constant; ``"poisson"``, ``"gamma:CV"``, ``"trace:FILE"``, of a table
            ``"trace:FILE:COLUMN"``.
        max_connections: of an open loop at once; None is 10,000.
        ramp_s: over which users start.
        think_s: between a user's requests.
        timeout_s: a request that takes longer has failed.
        trials: how often all of it is measured.
        fresh_server: start the server again for each trial.
        seed: what every random draw begins with; of each trial after the first one more.
    """

    threads: int | None = option(
        "-t",
        "--threads",
        kind=Whole(1, MOST_USERS_OF_ALL),
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
        of_searches=False,
    )
    duration_s: float | None = option(
        "--duration",
        kind=Seconds(above_zero=True),
        metavar="S",
        heading="load",
        help="measure for S seconds (default: 10 to 60, until p50 or the rate is exact to 2%% and p99 has an interval; "
        "in a search each probe, 15)",
        of_suites=True,
    )
    precision_share: float | None = option(
        "--precision",
        kind=Share(),
        metavar="P",
        heading="load",
        help="measure until p50 and the rate are exact to P, and p99 to 2.5 P (default: 2%%, of the headline alone); "
        "in a search how near its answer is to be (default: 5%%)",
        of_suites=True,
    )
    max_duration_s: float | None = option(
        "--max-duration",
        kind=Seconds(above_zero=True),
        metavar="S",
        heading="load",
        help="how long 400 requests to a slow model may take (default: 600)",
        of_suites=True,
        of_searches=False,
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
        offers=("constant", "poisson", "gamma:", "trace:"),
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
    trials: int = option(
        "--trials",
        kind=Whole(1, MOST_TRIALS),
        default=1,
        metavar="N",
        heading="load",
        help="measure N times, and what that differs by; comparisons need 5 (default: 1)",
        of_suites=True,
        of_searches=False,
    )
    fresh_server: bool = option(
        "--fresh-server",
        kind=Switch(),
        default=False,
        heading="load",
        help="start the server again for each trial, since starts differ",
        of_suites=True,
    )
    seed: int = option(
        "--seed", kind=Whole(0), default=0, metavar="N", heading="load", help="seed of every random draw"
    )

    @property
    def is_open(self) -> bool:
        """Whether requests arrive whatever becomes of them."""
        return self.rate is not None or (self.arrival or "").startswith("trace")

    @property
    def finds_warm_up(self) -> bool:
        """Whether nobody says how long the warm-up is, of a load that stays the same."""
        changes = self.arrivals is not None and (len(self.arrivals.profile) != 1 or self.arrivals.length_s is not None)
        return self.loops is None and self.warmup_s is None and not changes

    @cached_property
    def arrivals(self) -> Arrivals | None:
        """When requests arrive in an open loop; None is a closed one. The file of a trace is read when first asked for.

        Raises:
            UsageError: it cannot be read.
        """
        return arrivals_of(self.rate, self.arrival)

    @property
    def most_requests(self) -> int | None:
        """How many requests a run of one point sends at most; None where nobody can say it before."""
        if self.loops is None:
            return None
        return self.loops if self.is_open else self.loops * self.threads if self.threads else None

    def lengths(self) -> tuple[Lengths, ...] | None:
        """How long the prompts and answers of the trace were, as far as it is sent; None where nothing says it.

        Raises:
            UsageError: a line of it does not say it.
        """
        if self.arrivals is None or self.arrivals.trace is None or self.arrival is None:
            return None
        times_ns, until_s = self.arrivals.times_ns, None
        if self.duration_s is not None:
            until_s = self.duration_s + (self.warmup_s or 0.0)
        sent = len(times_ns) if until_s is None else bisect_left(times_ns, ns_from_s(until_s))
        return read_lengths(self.arrival.partition(":")[2], max(min(sent, self.loops or sent), 1))

    def check(self) -> None:
        """Refuse what contradicts itself, or names no load; the file of a trace is not read yet."""
        if self.loops is not None and self.duration_s is not None:
            raise refuse("--loops", "--duration", "one says how many requests, the other how long")
        for name, value in (("--precision", self.precision_share), ("--max-duration", self.max_duration_s)):
            # Of a search the one is how near it is to come, the other how long each of its probes is.
            is_of_a_search = name == "--precision" and self.fixed_length == "--duration"
            if value is not None and self.fixed_length and not is_of_a_search:
                raise refuse(name, self.fixed_length, "that says how long it is")
        if self.precision_share == 0:
            raise UsageError("--precision 0% is never reached", next_step="give a share above 0%")
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

    @property
    def fixed_length(self) -> str:
        """What says how long it is; empty where its length adapts."""
        if self.loops is not None or self.duration_s is not None:
            return "--loops" if self.loops is not None else "--duration"
        if (self.arrival or "").startswith("trace"):
            return "--arrival trace"
        return f"--rate {self.rate}" if "/" in (self.rate or "").removesuffix("/s") else ""

    def _adapted(self, until: Until) -> Until:
        """`until` with what is asked of precision and length."""
        longest_s = until.longest_s if self.max_duration_s is None else self.max_duration_s
        share = self.precision_share
        return replace(
            until,
            longest_s=longest_s,
            max_s=min(until.max_s, longest_s),
            min_s=min(until.min_s, longest_s),
            precision=until.precision if share is None else share,
            p99_precision=None if share is None else _OF_P99 * share,
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
            until=self._adapted(until),
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
            until=self._adapted(until) if timed and self.duration_s is None else None,
            warmup_s=warmup_s,
            ramp_s=self.ramp_s,
            think_s=self.think_s,
        )
