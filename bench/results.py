"""What was measured, run by run, and the bars that it is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.bars import Bar
from bench.cost import CONNECTIONS, Cost
from bench.edges import EXIT_REQUESTS, exit_limit_s
from bench.memory import Memory
from bench.pacing import Pacing
from bench.receiver import OwnError
from bench.running import median
from bench.token_figures import Told as TokensTold
from bench.tools import FLOOR, OURS
from bench.truth import Told

MANY_CONNECTIONS = 4_000
#: What a request with so many may cost of one with few.
MANY_LIMIT = 1.3
#: What a request may take longer than the floor's, at the highest rate.
HIGHEST_RATE_LIMIT = 1.1
#: Against which costs are promised to be lower.
DEARER = ("oha", "hey", "vegeta", "k6", "ab", "fortio", "locust", "jmeter")
#: p50 and p99 of the deviation from the grid, at most, in us; alone and beside hogs.
PACING_LIMITS_US = {False: (10.0, 100.0), True: (20.0, 200.0)}
START_LIMIT_S = 0.4
GROWTH_LIMIT_MIB, EXIT_GROWTH_LIMIT_MIB = 64.0, 128.0
#: What is reported of the stall may differ from the truth by this share: the server stalls when it gets to it.
_TRUTH_SHARE = 0.02

Setting = tuple[int, bool]


@dataclass
class Results:
    """All runs so far.

    Costs are by tool and connections, pacing by tool and (rate, beside hogs), what is told of tokens by tool and way.
    """

    costs: dict[tuple[str, int], list[Cost]] = field(default_factory=dict)
    pacing: dict[tuple[str, Setting], list[Pacing]] = field(default_factory=dict)
    truth: dict[str, list[Told]] = field(default_factory=dict)
    tokens: dict[tuple[str, str], TokensTold] = field(default_factory=dict)
    memory: list[Memory] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    exits_s: list[float] = field(default_factory=list)
    own_error: OwnError | None = None
    problems: list[str] = field(default_factory=list)
    summary_lines: list[str] = field(default_factory=list)

    def cpu_us(self, tool: str, connections: int = CONNECTIONS) -> float | None:
        """Median cost of a request; None where there is none."""
        runs = self.costs.get((tool, connections))
        return median(run.cpu_us for run in runs) if runs else None

    def rate_per_s(self, tool: str) -> float | None:
        """Median rate in the closed loop; None where there is none."""
        runs = self.costs.get((tool, CONNECTIONS))
        return median(run.rate_per_s for run in runs) if runs else None


def bars(results: Results, true_p99_ms: float, figures: Mapping[str, float]) -> Sequence[Bar]:
    """Every bar for which there are figures."""
    return [*_cost_bars(results, figures), *_pacing_bars(results), *_other_bars(results, true_p99_ms)]


def _cost_bars(results: Results, figures: Mapping[str, float]) -> Iterator[Bar]:
    ours_us = results.cpu_us(OURS)
    if ours_us is None:
        return
    for peer, limit in (("wrk", 1.0), (FLOOR, 1.15)):
        peer_us = results.cpu_us(peer)
        if peer_us:
            yield _ratio(f"CPU a request, of {peer}'s", ours_us / peer_us, limit, figures)
    for peer in DEARER:
        peer_us = results.cpu_us(peer)
        if peer_us:
            yield Bar(f"CPU a request, of {peer}'s", ours_us / peer_us, 1.0, "x", fails=False)
    ours_per_s, wrk_per_s = results.rate_per_s(OURS), results.rate_per_s("wrk")
    if ours_per_s and wrk_per_s:
        yield _ratio("time a request at the highest rate, of wrk's", wrk_per_s / ours_per_s, 1.0, figures)
    floor_per_s = results.rate_per_s(FLOOR)
    if ours_per_s and floor_per_s:
        # Where it cannot be held against wrk, this tells whether that is the engine's: a generator that is cheap waits
        # for the server more often, which has to wake it.
        value = floor_per_s / ours_per_s
        yield _ratio("time a request at the highest rate, of the floor's", value, HIGHEST_RATE_LIMIT, figures)
    many_us = results.cpu_us(OURS, MANY_CONNECTIONS)
    if many_us:
        many = f"CPU a request with {MANY_CONNECTIONS:,} connections"
        # The kernel's part grows by itself: what can regress here is told by the floor.
        yield Bar(f"{many}, of that with {CONNECTIONS}", many_us / ours_us, MANY_LIMIT, "x", fails=False)
        floor_us = results.cpu_us(FLOOR, MANY_CONNECTIONS)
        if floor_us:
            yield _ratio(f"{many}, of the floor's with as many", many_us / floor_us, MANY_LIMIT, figures)


def _ratio(name: str, value: float, limit: float, figures: Mapping[str, float]) -> Bar:
    return Bar(name, value, limit, "x", figures.get(name))


def _pacing_bars(results: Results) -> Iterator[Bar]:
    for (tool, (rate_per_s, beside_hogs)), runs in results.pacing.items():
        if tool != OURS:
            continue
        where = "beside two hogs" if beside_hogs else "idle"
        p50_us, p99_us = PACING_LIMITS_US[beside_hogs]
        name = f"pacing at {rate_per_s:,}/s, {where}"
        yield Bar(f"{name}, p50", median(run.fit.p50_us for run in runs), p50_us, "us")
        yield Bar(f"{name}, p99", median(run.fit.p99_us for run in runs), p99_us, "us")


def _other_bars(results: Results, true_p99_ms: float) -> Iterator[Bar]:
    told = results.truth.get(OURS)
    if told:
        off = median(abs(run.reported_ms / true_p99_ms - 1) for run in told)
        yield Bar("p99 through a stall, off the truth", off, _TRUTH_SHARE, "")
    if results.memory:
        growth_mib = max(memory.growth_mib for memory in results.memory)
        requests = results.memory[0].requests
        yield Bar(f"memory gained over {requests:,} requests", growth_mib, GROWTH_LIMIT_MIB, "MiB")
        end_mib = max(memory.end_growth_mib for memory in results.memory)
        yield Bar(f"memory gained until the exit, {requests:,} records", end_mib, EXIT_GROWTH_LIMIT_MIB, "MiB")
        exit_s, limit_s = max(memory.exit_s for memory in results.memory), exit_limit_s(requests)
        yield Bar(f"last response to exit, {requests:,} records", exit_s, limit_s, "s")
    if results.exits_s:
        limit_s = exit_limit_s(EXIT_REQUESTS)
        yield Bar(f"last response to exit, {EXIT_REQUESTS:,} records", median(results.exits_s), limit_s, "s")
    if results.starts_s:
        yield Bar("process start to first request, --mms", median(results.starts_s), START_LIMIT_S, "s")
