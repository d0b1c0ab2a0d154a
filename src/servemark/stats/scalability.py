"""How throughput grows with concurrency: the Universal Scalability Law, and when it must not be fitted.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): lambda is the throughput of one user, sigma the share of work
that has to be done one after the other, kappa the cost of users having to agree with each other. Source: Gunther,
Guerrilla Capacity Planning (2007), chapter 4. N/X(N) is linear in (1, N-1, N(N-1)), so the fit is least squares with
coefficients that must not be negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Three parameters and a degree of freedom to see whether they fit.
LEAST_POINTS = 4
#: A fit that explains less of the throughput's variance than this explains nothing.
_LEAST_R2 = 0.9

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Scalability:
    """A fitted law. `peak_users` is where throughput is greatest; None when it only flattens."""

    lambda_per_s: float
    sigma: float
    kappa: float
    r2: float
    peak_users: float | None


def fit_scalability(users: FloatArray, throughput_per_s: FloatArray) -> Scalability | str:
    """The law of these points, or why there is none: in words, for people."""
    if len(np.unique(users)) < LEAST_POINTS:
        return f"a fit needs at least {LEAST_POINTS} different numbers of threads, not {len(np.unique(users))}"
    if not (throughput_per_s > 0).all():
        return "there is no throughput at some number of threads"
    terms = np.column_stack((np.ones_like(users), users - 1, users * (users - 1)))
    coefficients = _non_negative_least_squares(terms, users / throughput_per_s)
    fitted = users / np.maximum(terms @ coefficients, 1e-300)
    spread = float(((throughput_per_s - throughput_per_s.mean()) ** 2).sum())
    r2 = 1 - float(((throughput_per_s - fitted) ** 2).sum()) / spread if spread else 1.0
    if coefficients[0] <= 0 or r2 < _LEAST_R2:
        return f"the points do not follow the law (R2 {r2:.2f}, at least {_LEAST_R2} is needed)"
    sigma, kappa = float(coefficients[1] / coefficients[0]), float(coefficients[2] / coefficients[0])
    peak = math.sqrt((1 - sigma) / kappa) if kappa > 0 and sigma < 1 else None
    return Scalability(1 / float(coefficients[0]), sigma, kappa, r2, peak)


def _non_negative_least_squares(terms: FloatArray, target: FloatArray) -> FloatArray:
    """The best coefficients of which none is negative: every choice of those that are 0 is tried."""
    best, least = np.zeros(3), math.inf
    for kept in ([0, 1, 2], [0, 1], [0, 2], [0]):
        coefficients = np.zeros(3)
        coefficients[kept] = np.linalg.lstsq(terms[:, kept], target, rcond=None)[0]
        error = float(((terms @ coefficients - target) ** 2).sum())
        if (coefficients >= 0).all() and error < least:
            best, least = coefficients, error
    return best


def pareto_front(gains: FloatArray, costs: FloatArray) -> list[int]:
    """Indices of the points that no other beats: none has as much gain at less cost, or more gain at the same cost."""

    def is_beaten(index: int) -> bool:
        no_worse = (gains >= gains[index]) & (costs <= costs[index])
        better = (gains > gains[index]) | (costs < costs[index])
        return bool((no_worse & better).any())

    return [index for index in range(len(gains)) if not is_beaten(index)]
