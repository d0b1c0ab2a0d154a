"""At which load the share of requests that miss a limit passes what is allowed: its place, with a 90% interval.

The share rises with the load, so that an isotonic fit of everything that was seen says between which loads it is. Near
there its logarithm is close to a straight line in the load (of M/M/1 it is one, and of other queues the tail is
exponential, too): a logistic regression over what was seen near by says where, and how sure that is. Where nothing near
by does, since a miss or two at a load that was seen for a moment led the isotonic fit there, the regression over all
says where to look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from servemark.stats.distributions import student_quantile
from servemark.stats.isotonic import rising

#: To either side of an interval of 90%.
_SHARE = 0.95
#: What was seen at loads nearer to the crossing than this, as the logarithm of their ratio, is taken for a straight
#: line, and counts the less the further it is.
_REACH = -math.log(0.8)
#: From this part of the isotonic fit's place on, it is taken for one to learn where to look.
_ROUGHLY = 0.4
#: Within the isotonic fit's bracket, but for so much of its ends, is what the regression says.
_BESIDE = 0.1
#: What is known of the slope before anything was seen: how much less than the first it is, is normal, with the second
#: for its standard deviation. In logits by the part of the load it is 3.4 (p90 of M/M/4 at 0.7) to 12.4 (p99 of M/D/1).
_SLOPE, _SLOPE_DEVIATION = 6.0, 2.0
#: Of what is allowed, missed requests that each observation begins with, so that none has a logarithm of nothing.
_BEGUN_WITH = 0.25
_MOST_STEPS = 50
_WEIGHT_OF_ALL = 1e9


@dataclass(frozen=True)
class Observation:
    """What one run saw: at `load`, of `n` independent requests the share that missed; of one that falls behind, all."""

    load: float
    share: float
    n: float
    falls_behind: bool = False


@dataclass(frozen=True)
class Crossing:
    """The load, and its 90% interval; None where too little was seen near it."""

    load: float
    ci90: tuple[float, float] | None


def crossing_of(observations: Sequence[Observation], allowed: float) -> Crossing | None:
    """The load at which the share passes `allowed`; None where it was not seen on both sides of that."""
    bracket = _bracket(observations, allowed)
    if bracket is None:
        return None
    low, high, between = bracket
    seen = [one for one in observations if not one.falls_behind and one.n > 0 and one.load > 0]
    found = _around(seen, between, allowed)
    if found is not None and not low * (1 - _BESIDE) <= found.load <= high * (1 + _BESIDE):
        found = None
    if found is None or found.ci90 is None:
        wide = [one for one in seen if one.load >= _ROUGHLY * between]
        roughly = _regression(wide, between, allowed, [1.0] * len(wide))
        other = _around(seen, roughly.load, allowed) if roughly else None
        if roughly and other and _is_near(other.load, roughly.load):
            return other
    return found or Crossing(between, None)


def _around(seen: Sequence[Observation], centre: float, allowed: float) -> Crossing | None:
    """The crossing by what was seen near `centre`, the nearer the more; None where that does not tell."""
    near = [one for one in seen if _is_near(one.load, centre)]
    weights = [1 - (math.log(one.load / centre) / _REACH) ** 2 for one in near]
    return _regression(near, centre, allowed, weights)


def _is_near(load: float, centre: float) -> bool:
    return abs(math.log(load / centre)) < _REACH


def _bracket(observations: Sequence[Observation], allowed: float) -> tuple[float, float, float] | None:
    """The loads to either side, by the isotonic fit, and between them the place by the logarithms of their shares.

    Where that has the least load beyond it, since few requests were seen at such, by what was seen at each load alone.
    """
    loads = sorted({one.load for one in observations})
    shares, weights = [], []
    for load in loads:
        here = [one for one in observations if one.load == load]
        n = sum(one.n for one in here)
        behind = any(one.falls_behind for one in here)
        shares.append(1.0 if behind else sum(one.share * one.n for one in here) / n if n else 0.0)
        weights.append(_WEIGHT_OF_ALL if behind else max(n, 1.0))
    fitted = rising(shares, weights)
    place = next((place for place, share in enumerate(fitted) if share > allowed), None)
    if place == 0:
        fitted = shares
        place = max((place for place, share in enumerate(shares, 1) if share <= allowed), default=0)
    if not place or place == len(loads):
        return None
    least = min(0.5 / weights[place - 1], allowed / 2)
    below, above = math.log(max(fitted[place - 1], least)), math.log(fitted[place])
    part = (math.log(allowed) - below) / (above - below)
    low, high = loads[place - 1], loads[place]
    return low, high, low + part * (high - low)


def _regression(
    near: Sequence[Observation], centre: float, allowed: float, weights: Sequence[float]
) -> Crossing | None:
    """The crossing by a binomial regression of the logit on the load; None where the share rises past it at no load.

    Newton's method, each observation with a quarter of a miss more, at the share that is allowed, and by its weight
    (Loader, Local Regression and Likelihood, 1999, chapter 4). A slope that is less than is known of slopes is drawn
    towards that (Gelman et al., Annals of Applied Statistics 2, 2008). Where observations differ by more than their
    numbers explain, the interval is that much wider, by Student's t (McCullagh and Nelder, Generalized Linear Models,
    1989, section 4.5).
    """
    if len({one.load for one in near}) < 2:
        return None
    xs = [one.load / centre - 1 for one in near]
    ns = [one.n + _BEGUN_WITH / allowed for one in near]
    missed = [one.share * one.n + _BEGUN_WITH for one in near]
    wanted = math.log(allowed / (1 - allowed))
    a, b = wanted, _SLOPE
    for _ in range(_MOST_STEPS):
        shares = [1 / (1 + math.exp(-max(-30.0, min(30.0, a + b * x)))) for x in xs]
        informations = [n * share * (1 - share) for n, share in zip(ns, shares, strict=True)]
        off = [seen - n * share for seen, n, share in zip(missed, ns, shares, strict=True)]
        known = 1 / _SLOPE_DEVIATION**2 if b < _SLOPE else 0.0
        s0, s1, s2 = _moments(xs, [w * i for w, i in zip(weights, informations, strict=True)])
        s2 += known
        determinant = s0 * s2 - s1 * s1
        if determinant <= 1e-12 * s0 * s0:
            return None
        g0, g1, _ = _moments(xs, [w * o for w, o in zip(weights, off, strict=True)])
        g1 += known * (_SLOPE - b)
        step_a, step_b = (s2 * g0 - s1 * g1) / determinant, (s0 * g1 - s1 * g0) / determinant
        a, b = a + max(-2.0, min(2.0, step_a)), b + max(-10.0, min(10.0, step_b))
        if abs(step_a) + abs(step_b) < 1e-9:
            break
    if b <= 0:
        return None
    degrees = sum(weights) - 2
    pearson = sum(w * o * o / i for w, o, i in zip(weights, off, informations, strict=True) if i > 0)
    wider = max(1.0, pearson / degrees) if degrees >= 1 else 1.0
    # What observations weigh is in their variance by its square: (A^-1 B A^-1), with A of the weights and B of these.
    t0, t1, t2 = _moments(xs, [w * w * i for w, i in zip(weights, informations, strict=True)])
    t2 += known
    p0, p1, p2 = s2 / determinant, -s1 / determinant, s0 / determinant
    v_a = wider * (p0 * p0 * t0 + 2 * p0 * p1 * t1 + p1 * p1 * t2)
    v_b = wider * (p1 * p1 * t0 + 2 * p1 * p2 * t1 + p2 * p2 * t2)
    v_ab = wider * (p0 * p1 * t0 + (p0 * p2 + p1 * p1) * t1 + p1 * p2 * t2)
    root = (wanted - a) / b
    if root <= -1:
        return None
    reach = student_quantile(_SHARE, max(degrees, 0.0) + 1)  # of the slope something was known
    between = _interval(a - wanted, b, (v_a, v_ab, v_b), reach)
    ci90 = (max(0.0, centre * (1 + between[0])), centre * (1 + between[1])) if between else None
    return Crossing(centre * (1 + root), ci90)


def _interval(a: float, b: float, covariance: tuple[float, float, float], reach: float) -> tuple[float, float] | None:
    """The x at which a + b x is no more than `reach` standard errors off 0; None where they are no interval.

    Source: Fieller, Some Problems in Interval Estimation (JRSS B 16, 1954):
    (a + b x)^2 <= reach^2 (v_a + 2 v_ab x + v_b x^2).
    """
    v_a, v_ab, v_b = (reach**2 * one for one in covariance)
    p, q, r = b * b - v_b, a * b - v_ab, a * a - v_a
    inside = q * q - p * r
    return ((-q - math.sqrt(inside)) / p, (-q + math.sqrt(inside)) / p) if p > 0 and inside >= 0 else None


def _moments(xs: Sequence[float], weights: Sequence[float]) -> tuple[float, float, float]:
    """The sums of the weights, and of these by x and by its square."""
    return (
        sum(weights),
        sum(w * x for w, x in zip(weights, xs, strict=True)),
        sum(w * x * x for w, x in zip(weights, xs, strict=True)),
    )
