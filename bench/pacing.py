"""How exactly a tool keeps a constant rate, as the receiver sees it.

Arrival k should come at ``offset + k / rate``. Of the arrivals the first second is dropped, a second and a half is
used, and `offset` is the one that serves the tool best: the median of ``arrival - k / rate``. The deviation of an
arrival is its distance from its place. A request that is left out moves all that follow: that is a deviation too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.receiver import receiver
from bench.running import Bench, hogs
from bench.tools import Call, Tool
from servemark.errors import SetupError

CONNECTIONS = 64
RATES_PER_S = (1_000, 5_000)
HOGS = 2
DROPPED_S = 1.0
WINDOW_S = 1.5
#: A tool that sends fewer of the requests asked for cannot hold the rate; it is not run again.
LEAST_HELD = 0.95
#: By so much later than its first request a tool may have sent for the whole window.
_MARGIN_S = 0.2
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Fit:
    """Deviations from the grid, in microseconds, and the rate that really came."""

    p50_us: float
    p99_us: float
    rate_per_s: float


@dataclass(frozen=True)
class Pacing:
    """Of one run: the fit of its arrivals, and microseconds of processor time a request (None: not enough seen)."""

    fit: Fit
    cpu_us: float | None


def fit_grid(arrivals_ns: NDArray[np.int64], rate_per_s: float) -> Fit:
    """See the top of this file. `arrivals_ns` is in order.

    Raises:
        ValueError: there are fewer than two after the dropped second.
    """
    start_ns = int(arrivals_ns[0]) + round(DROPPED_S * _NS_PER_S) if len(arrivals_ns) else 0
    used = arrivals_ns[(arrivals_ns >= start_ns) & (arrivals_ns < start_ns + round(WINDOW_S * _NS_PER_S))]
    if len(used) < 2:
        raise ValueError("too few arrivals")
    places = (used - used[0]).astype(np.float64) - np.arange(len(used)) * (_NS_PER_S / rate_per_s)
    deviations_us = np.sort(np.abs(places - np.median(places))) / 1000
    return Fit(
        p50_us=_nearest_rank(deviations_us, 0.5),
        p99_us=_nearest_rank(deviations_us, 0.99),
        rate_per_s=len(used) / WINDOW_S,
    )


def _nearest_rank(ordered: NDArray[np.float64], share: float) -> float:
    return float(ordered[max(int(np.ceil(share * len(ordered))) - 1, 0)])


def measure(bench: Bench, tool: Tool, rate_per_s: int, *, beside_hogs: bool) -> Pacing:
    """One run of `tool` at `rate_per_s`, alone or beside two processes that only compute.

    Raises:
        SetupError: it sent too little to say anything.
    """
    seconds = round(DROPPED_S + WINDOW_S) + 1
    with receiver(bench) as server, hogs(HOGS if beside_hogs else 0):
        call = Call(server.url, CONNECTIONS, seconds, bench.body, rate_per_s)
        with bench.start(tool, call) as process:
            if not server.await_first(process):
                raise SetupError(f"{tool.name} does not send", cause=process.complaint)
            time.sleep(DROPPED_S)
            first = time.time_ns(), process.cpu_s()
            time.sleep(WINDOW_S - _MARGIN_S)
            last = time.time_ns(), process.cpu_s()
            time.sleep(2 * _MARGIN_S)
        arrivals_ns = server.finish()
    try:
        fit = fit_grid(arrivals_ns, rate_per_s)
    except ValueError as error:
        raise SetupError(f"{tool.name} at {rate_per_s:,}/s", cause=f"{error}: {process.complaint}") from error
    requests = int(np.count_nonzero((arrivals_ns >= first[0]) & (arrivals_ns < last[0])))
    cpu_s = last[1] - first[1]
    return Pacing(fit, cpu_s / requests * 1e6 if requests and cpu_s > 0 else None)
