"""Distributions that intervals are made of: the binomial's tail by the beta, and Student's t; with real parameters.

Importing scipy for these two would take a second of every run.
"""

from __future__ import annotations

import math

#: How many standard errors a 95% interval reaches to either side, where these are known.
NORMAL_REACH = 1.959964
#: Terms of the continued fraction: it needs some ``sqrt(max(a, b))`` of them.
_MOST_TERMS = 100_000
_SMALL = 1e-300
_ENOUGH = 1e-13


def beta_cdf(x: float, a: float, b: float) -> float:
    """P(X <= x) of a beta distribution: the regularized incomplete beta function.

    Source: DLMF 8.17.22, the continued fraction, by the modified Lentz method (Thompson and Barnett 1986); on the side
    of the mean where it converges fast.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    value, numerator, denominator = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        m, is_odd = divmod(term, 2)
        if is_odd:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / (1 + step * denominator or _SMALL)
        numerator = 1 + step / numerator or _SMALL
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < _ENOUGH:
            break
    return value


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x of which ``beta_cdf(x, a, b)`` is `share`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_cdf(t: float, degrees_of_freedom: float) -> float:
    """P(T <= t) of Student's distribution."""
    tail = beta_cdf(degrees_of_freedom / (degrees_of_freedom + t * t), degrees_of_freedom / 2, 0.5) / 2
    return 1 - tail if t > 0 else tail


def student_quantile(share: float, degrees_of_freedom: float) -> float:
    """The t of which ``student_cdf`` is `share`, at least a half."""
    tail = beta_quantile(2 * (1 - share), degrees_of_freedom / 2, 0.5)
    return math.sqrt(degrees_of_freedom * (1 - tail) / tail)


def share_interval(successes: float, n: float, tail: float) -> tuple[float, float]:
    """The bounds of a share of which `successes` of `n` were seen, each of which may be wrong with chance `tail`.

    `n` may be an effective one, and no whole number. Source: Clopper and Pearson, The Use of Confidence or Fiducial
    Limits (Biometrika 26, 1934), by the beta distribution.
    """
    failures = n - successes
    low = 0.0 if successes <= 0 else beta_quantile(tail, successes, failures + 1)
    high = 1.0 if failures <= 0 else beta_quantile(1 - tail, successes + 1, failures)
    return low, high
