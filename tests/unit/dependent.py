"""Series of dependent values whose mean and quantiles are known, for the statistics to be judged by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from servemark.result import Outcome
from servemark.stats.dependence import effective_quantiles
from servemark.stats.evidence import Shares
from servemark.stats.intervals import mean_interval
from servemark.stats.percentiles import REPORTED, interval_ranks, rank
from servemark.stats.slo import judge_share

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A process: its values one after the other, when they happen, and what is true of them.

    Attributes:
        draw: of a generator and a number, so many times in seconds and values.
        mean: of the values.
        quantiles: of the values, by share.
        autocorrelation: the integrated autocorrelation time of the values, in values.
    """

    draw: Callable[[np.random.Generator, int], tuple[FloatArray, FloatArray]]
    mean: float
    quantiles: Mapping[float, float]
    autocorrelation: float


def _evenly(n: int) -> FloatArray:
    """So many times, 10 ms apart."""
    return np.asarray(np.arange(n) * 0.01, dtype=np.float64)


def independent() -> Law:
    """Exponential ones above 1."""
    quantiles = {q: 1 - math.log(1 - q) for q in (0.5, 0.9, 0.99)}
    return Law(lambda rng, n: (_evenly(n), 1 + rng.exponential(size=n)), 2.0, quantiles, 1.0)


def autoregressive(correlation: float) -> Law:
    """Normal ones about 10, each of which depends so much on the one before it."""

    def draw(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
        noise = rng.normal(size=n) * math.sqrt(1 - correlation**2)
        noise[0] = rng.normal()
        values = np.fromiter(accumulate(noise, lambda before, new: correlation * before + new), float, n)
        return _evenly(n), 10 + 2 * values

    quantiles = {0.5: 10.0, 0.9: 10 + 2 * 1.2815516, 0.99: 10 + 2 * 2.3263479}
    return Law(draw, 10.0, quantiles, (1 + correlation) / (1 - correlation))


def queue(utilisation: float, served_per_s: float = 100.0) -> Law:
    """Sojourn times of an M/M/1 queue in its steady state, in seconds (Kleinrock, Queueing Systems, 1975).

    Their integrated autocorrelation time is by Daley, The Serial Correlation Coefficients of Waiting Times in a
    Stationary Single Server Queue (J. Austral. Math. Soc. 8, 1968), nearly: it is that of the waiting times.
    """
    left_per_s = served_per_s * (1 - utilisation)

    def draw(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
        gaps, services = rng.exponential(1 / (utilisation * served_per_s), n), rng.exponential(1 / served_per_s, n)
        steps = np.concatenate(([0.0], services[:-1] - gaps[1:]))
        # The first finds what any finds: nothing, or an exponential wait.
        first = rng.exponential(1 / left_per_s) if rng.random() < utilisation else 0.0
        walk = np.cumsum(steps)
        waits = np.maximum(first + walk, walk - np.minimum.accumulate(walk))
        return np.cumsum(gaps), waits + services

    quantiles = {q: -math.log(1 - q) / left_per_s for q in (0.5, 0.9, 0.99)}
    rho = utilisation
    autocorrelation = (2 + 5 * rho - 4 * rho**2 + rho**3) / ((2 - rho) * (1 - rho) ** 2)
    return Law(draw, 1 / left_per_s, quantiles, autocorrelation)


def bursts() -> Law:
    """A server that answers in 10 ms and something, and now and then for ten requests in 30 ms and something.

    Each fiftieth request begins a burst, on the mean; where two meet it goes on.
    """
    often, length, slower = 0.02, 10, 20.0
    fast = (1 - often) ** length  # 0.817: p50 is of the fast ones, p90 and p99 of the slow, nearly

    def draw(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
        begins = (rng.random(n + length - 1) < often).astype(float)
        is_slow = np.convolve(begins, np.ones(length), mode="valid") > 0.5
        return _evenly(n), 10 + rng.exponential(size=n) + slower * is_slow

    quantiles = {0.5: 10 - math.log(1 - 0.5 / fast)}
    quantiles |= {q: 30 - math.log((1 - q) / (1 - fast)) for q in (0.9, 0.99)}
    return Law(draw, 11 + slower * (1 - fast), quantiles, float(length))


def by_batch(times_s: FloatArray, most: int = 2000) -> tuple[NDArray[np.intp], int]:
    """The number of the batch of equal time that each falls into, and how many there are."""
    batches = min(most, len(times_s))
    share = (times_s - times_s[0]) / (times_s[-1] - times_s[0]) * (1 - 1e-12)
    return (share * batches).astype(np.intp), batches


def covered(law: Law, n: int, tries: int, seed: int) -> dict[str, tuple[int, int]]:
    """Of how many intervals that were shown how many hold the truth: (held, shown) by statistic."""
    found = {name: [0, 0] for name in ("mean", *(f"p{q * 100:g}" for q in law.quantiles))}
    for number in range(tries):
        times_s, values = law.draw(np.random.default_rng((seed, number)), n)
        batch, batches = by_batch(times_s)
        counts = np.bincount(batch, minlength=batches).astype(float)
        ci95 = mean_interval(
            np.asarray(np.bincount(batch, values, minlength=batches), dtype=np.float64),
            counts,
            float(values.std(ddof=1)),
        ).ci95
        found["mean"][0] += ci95 is not None and ci95[0] <= law.mean <= ci95[1]
        found["mean"][1] += ci95 is not None
        ordered = np.sort(values)
        above = {
            q: np.bincount(batch, values > ordered[rank(n, q) - 1], minlength=batches).astype(float)
            for q in law.quantiles
        }
        worth = effective_quantiles(above, counts)
        for q, truth in law.quantiles.items():
            pair = interval_ranks(n, q, worth[q])
            found[f"p{q * 100:g}"][0] += pair is not None and ordered[pair[0] - 1] <= truth <= ordered[pair[1] - 1]
            found[f"p{q * 100:g}"][1] += pair is not None
    return {name: (held, shown) for name, (held, shown) in found.items()}


def judged(law: Law, n: int, *, least: float, limit: float, tries: int, seed: int, trials: int = 1) -> Counter[Outcome]:
    """How often it is met that at least the share `least` is below `limit`, missed or undecided, by `n` values.

    These are of so many `trials`, each by itself.
    """
    found: Counter[Outcome] = Counter()
    for number in range(tries):
        rng = np.random.default_rng((seed, number))
        missed, above = [], []
        for _ in range(trials):
            times_s, values = law.draw(rng, n // trials)
            batch, batches = by_batch(times_s)
            counts = np.bincount(batch, minlength=batches).astype(float)
            ordered = np.sort(values)
            limits = {q: ordered[rank(len(values), q) - 1] for q in REPORTED.values()}

            def beyond(
                is_beyond: NDArray[np.bool_], batch: NDArray[np.intp] = batch, of: FloatArray = counts
            ) -> Shares:
                return Shares(np.bincount(batch, is_beyond, minlength=len(of)).astype(float), of)

            missed.append(beyond(values >= limit))
            above.append({q: beyond(values > of_quantile) for q, of_quantile in limits.items()})
        found[judge_share(missed, least, above).outcome] += 1
    return found
