"""How throughput grows with concurrency: the Universal Scalability Law, and when it must not be fitted.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): lambda is the throughput of one user, sigma the share of work
that has to be done one after the other, kappa the cost of users having to agree with each other. Source: Gunther,
Guerrilla Capacity Planning (2007), chapter 4. N/X(N) is linear in (1, N-1, N(N-1)), so the fit is least squares, of
relative errors, with coefficients that must not be negative, and with sigma at most 1: a server that does one thing
after the other is the law's limit, whose throughput is the same for any number of users.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from servemark.result import Scalability

#: Three parameters and a degree of freedom to see whether they fit.
LEAST_POINTS = 4
#: A fit that explains less of the throughput's variance than this explains nothing,
_LEAST_R2 = 0.9
#: unless it is hardly off anywhere: where throughput does not change there is no variance to explain but noise.
_MOST_OFF_SHARE = 0.05
#: A law that is off by no more than this, on root mean square, is not made finer: so far apart are two runs of a point.
_NOISE_SHARE = 0.01

#: From the free parameters of a law to (1, sigma, kappa) / lambda, fewest first. These are the faces of what is
#: allowed, 0 <= sigma <= 1 and 0 <= kappa, and its inside: the best point of all is the best point of one of them.
_LAWS = tuple(
    np.array(columns, dtype=np.float64).T
    for columns in (
        [[1, 1, 0]],  # serial: the same for any number of users
        [[1, 0, 0]],  # in proportion to them
        [[1, 0, 0], [0, 1, 0]],  # it flattens
        [[1, 0, 0], [0, 0, 1]],
        [[1, 1, 0], [0, 0, 1]],  # it falls from the first user on
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )
)

FloatArray = NDArray[np.float64]


def fit_scalability(users: FloatArray, throughput_per_s: FloatArray) -> Scalability | str:
    """The law of these points, or why there is none: in words, for people."""
    if len(np.unique(users)) < LEAST_POINTS:
        return f"a fit needs at least {LEAST_POINTS} different numbers of threads, not {len(np.unique(users))}"
    if not (throughput_per_s > 0).all():
        return "there is no throughput at some number of threads"
    terms = np.column_stack((np.ones_like(users), users - 1, users * (users - 1)))
    coefficients = _best_coefficients(terms, users / throughput_per_s)
    off = users / (terms @ coefficients) - throughput_per_s
    off_share = float((np.abs(off) / throughput_per_s).max())
    spread = float(((throughput_per_s - throughput_per_s.mean()) ** 2).sum())
    r2 = max(1 - float((off**2).sum()) / spread, 0.0) if spread else 1.0
    if r2 < _LEAST_R2 and off_share > _MOST_OFF_SHARE:
        found = f"R2 {r2:.2f}, off by up to {off_share:.0%}"
        needed = f"at least {_LEAST_R2} is needed, or at most {_MOST_OFF_SHARE:.0%}"
        return f"the points do not follow the law ({found}; {needed})"
    sigma, kappa = float(coefficients[1] / coefficients[0]), float(coefficients[2] / coefficients[0])
    return Scalability(
        lambda_per_s=1 / float(coefficients[0]),
        sigma=sigma,
        kappa=kappa,
        r2=r2,
        off_share=off_share,
        peak_users=max(1.0, math.sqrt((1 - sigma) / kappa)) if kappa > 0 else None,
        least_users=float(users.min()),
        most_users=float(users.max()),
    )


def _best_coefficients(terms: FloatArray, target: FloatArray) -> FloatArray:
    """The coefficients of the simplest law that is hardly off, else the best of those that are allowed."""
    relative = terms / target[:, np.newaxis]
    best, least = np.zeros(3), math.inf
    for law in _LAWS:
        coefficients: FloatArray = law @ np.linalg.lstsq(relative @ law, np.ones_like(target), rcond=None)[0]
        if (coefficients < 0).any() or not 0 < coefficients[0] >= coefficients[1]:
            continue
        off = math.sqrt(float(((relative @ coefficients - 1) ** 2).mean()))
        if off < least:
            best, least = coefficients, off
        if off <= _NOISE_SHARE:
            break
    return best


def pareto_front(gains: FloatArray, costs: FloatArray) -> list[int]:
    """Indices of the points that no other beats: none has as much gain at less cost, or more gain at the same cost."""

    def is_beaten(index: int) -> bool:
        no_worse = (gains >= gains[index]) & (costs <= costs[index])
        better = (gains > gains[index]) | (costs < costs[index])
        return bool((no_worse & better).any())

    return [index for index in range(len(gains)) if not is_beaten(index)]
