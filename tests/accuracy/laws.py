"""Laws that measured times must follow: queueing theory, stalls, and the distributions of arrivals. Pure functions.

Times are nanoseconds (integers, computed exactly) where they are those of requests, and any unit where a formula holds
in every unit. Nothing here knows of servemark: what is judged shares no code with what judges it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


def nearest_rank(values: NDArray[np.int64] | Floats, q: float) -> float:
    """The smallest value with at least a share `q` of all at or below it."""
    rank = max(1, math.ceil(round(len(values) * q, 6)))
    return float(np.sort(values)[rank - 1])


# Queues.


def departures(arrivals: Times, services: Times) -> Times:
    """When one server, first come, first served, has served each request.

    departure = max(arrival, departure before) + service (Lindley, 1952), as a running maximum:
    d(n) = S(n) + max over k <= n of (a(k) - S(k-1)), where S(n) is the sum of the services up to n.
    """
    served = np.cumsum(services)
    return served + np.maximum.accumulate(arrivals - (served - services))


def mm1_mean(rate: float, service: float) -> float:
    """Mean response of M/M/1: it is exponential, with rate mu - lambda (Kleinrock, Queueing Systems I, 3.2)."""
    return 1 / (1 / service - rate)


def md1_mean(rate: float, service: float) -> float:
    """Mean response of M/D/1: service + rho / (1 - rho) * service / 2 (Pollaczek and Khinchine)."""
    load = rate * service
    return service + load / (1 - load) * service / 2


# Stalls.


def held_back(ready: int, stall: tuple[int, int]) -> int:
    """When an answer that is ready at `ready` leaves a server that answers nothing from the one time to the other."""
    begin, end = stall
    return end if begin <= ready < end else ready


def pool_times(schedule: Times, service: int, connections: int, stall: tuple[int, int]) -> tuple[Times, Times]:
    """When each request gets its connection, and when it is answered: `connections` of them, first come, first served.

    The server needs `service` for every request, whatever else it does, and answers nothing during `stall`.
    """
    free = [int(schedule[0])] * connections
    ready, ended = np.empty_like(schedule), np.empty_like(schedule)
    for index, scheduled in enumerate(schedule.tolist()):
        ready[index] = max(scheduled, heapq.heappop(free))
        ended[index] = held_back(int(ready[index]) + service, stall)
        heapq.heappush(free, int(ended[index]))
    return ready, ended


def open_loop_responses(schedule: Times, service: int, connections: int, stall: tuple[int, int]) -> Times:
    """The truth: what each request took from when it was scheduled."""
    return pool_times(schedule, service, connections, stall)[1] - schedule


def closed_loop_responses(schedule: Times, service: int, connections: int, stall: tuple[int, int]) -> Times:
    """What a generator says that sends at the same rate, waits for a free connection, and counts from there.

    That omits the waiting (Tene, "How not to measure latency", 2013).
    """
    ready, ended = pool_times(schedule, service, connections, stall)
    return ended - ready


# Distributions of arrivals.

#: Share of the time in which a law that holds is doubted.
DOUBT = 1e-3


def ks_distance(values: Floats, distribution: Callable[[Floats], Floats], rounding: float = 0.0) -> float:
    """The largest difference between the distribution function of `values` and the one given (Kolmogorov).

    Values that are known to within `rounding` only are taken where they are nearest to what is expected.
    """
    n = len(values)
    ordered = np.sort(values)
    lowest, highest = distribution(np.maximum(ordered - rounding, 0)), distribution(ordered + rounding)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - highest).max(), (lowest - steps[:-1]).max()))


def ks_limit(n: int, doubt: float = DOUBT) -> float:
    """The distance that a sample of `n` exceeds with probability `doubt`: the first term of Kolmogorov's series.

    2 exp(-2 n d^2) = doubt; for n above 100 and a doubt below 5% it is right to 1%.
    """
    return math.sqrt(-math.log(doubt / 2) / (2 * n))


def exponential_share(values: Floats) -> Floats:
    """The distribution function of the exponential distribution with mean 1."""
    return 1 - np.exp(-values)


def gamma_share(cv: float) -> Callable[[Floats], Floats]:
    """The distribution function of the gamma distribution with mean 1 and the coefficient of variation `cv`.

    Its shape is a = 1 / cv^2. P(a, x) = x^a e^-x / Gamma(a + 1) * sum over n of x^n / ((a+1)...(a+n)): Abramowitz and
    Stegun, 6.5.29. The series converges everywhere; a thousand terms do for x up to 500.
    """
    shape = 1 / cv**2

    def share(values: Floats) -> Floats:
        x = values * shape
        term = np.ones_like(x)
        total = np.ones_like(x)
        for n in range(1, 1000):
            term = term * x / (shape + n)
            total += term
            if (term < 1e-15 * total).all():
                break
        with np.errstate(divide="ignore"):
            return np.minimum(np.exp(shape * np.log(x) - x - math.lgamma(shape + 1)) * total, 1.0)

    return share


def expected_arrivals(profile: Sequence[tuple[float, float, float]], times_s: Floats) -> Floats:
    """How many arrivals a rate promises up to each time: its integral.

    `profile` holds, for each part, the rates at its two ends and its duration in seconds (inf for the last).
    """
    total = np.zeros_like(times_s)
    begin = 0.0
    for from_per_s, to_per_s, duration_s in profile:
        inside = np.clip(times_s - begin, 0, duration_s)
        slope = 0.0 if math.isinf(duration_s) else (to_per_s - from_per_s) / duration_s
        total += from_per_s * inside + slope * inside**2 / 2
        begin += duration_s
    return total


# Spread.


def t_quantile(freedom: int, confidence: float) -> float:
    """How many standard errors a two-sided interval of `confidence` reaches, by Student's distribution.

    Its density is summed over u = t / sqrt(freedom + t^2), which is bounded: (1 - u^2)^(freedom/2 - 1).
    """
    u = np.linspace(0, 1, 200_001)[:-1]
    density = (1 - u**2) ** (freedom / 2 - 1)
    share = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    share /= (
        math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2)) / (u[1] - u[0])
    )
    at = float(np.interp(confidence, share, u))
    return at * math.sqrt(freedom / (1 - at**2))


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """The interval of the mean of independent values."""
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = t_quantile(len(values) - 1, confidence) * spread
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach
