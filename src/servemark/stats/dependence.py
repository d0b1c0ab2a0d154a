"""How far requests of one run that follow each other are alike, and so how many independent ones they are worth.

The run is cut into batches of equal time. Of each the *residual* is what its values add up to beyond what as many
average ones would: their sum is 0, and the variance of such a sum, autocorrelation and all, is that of the mean, the
rate or the share in question. A run of `times` integrated autocorrelation times is worth as many independent values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from servemark.stats.distributions import NORMAL_REACH, student_quantile

FloatArray = NDArray[np.float64]

#: A run of fewer integrated autocorrelation times than this has no interval: what these are cannot be told from it.
LEAST_TIMES = 100
#: And where what is rare comes in groups, no fewer than this.
LEAST_GROUPS = 8
#: How many groups of values beyond a quantile tell their own dependence; of fewer it is not believed that they depend
#: less on each other than those beyond the quantile before it.
_TELLING = 12
#: The window of lags reaches over so many integrated autocorrelation times.
_REACH = 5.0
_TWO_SIDED = 0.975


@dataclass(frozen=True)
class Dependence:
    """The variance of a sum of residuals.

    Attributes:
        variance: of the sum.
        autocorrelation: the integrated autocorrelation time, in batches.
        degrees_of_freedom: of the variance, which is itself an estimate.
    """

    variance: float
    autocorrelation: float
    degrees_of_freedom: float

    @property
    def t(self) -> float:
        """How many standard errors a 95% interval reaches to either side."""
        return _student(float(f"{max(self.degrees_of_freedom, 1.0):.3g}"))


@cache
def _student(degrees_of_freedom: float) -> float:
    """The quantile that a 95% interval needs, once for each of the degrees that differ in three digits."""
    return student_quantile(_TWO_SIDED, degrees_of_freedom)


@dataclass(frozen=True)
class Effective:
    """What a number of values is worth, for the share of those above a threshold.

    Attributes:
        times: how many integrated autocorrelation times they are: as many independent values they are worth.
        n: of how many independent values an interval may be made: less, for `times` is an estimate.
        groups: in how many groups those on the rarer side of the threshold came; infinite where they came alone.
    """

    times: float
    n: float
    groups: float = math.inf

    @classmethod
    def of_independent(cls, n: int) -> Effective:
        """What `n` values are worth if each is independent of the others; however few they are."""
        return cls(max(n, LEAST_TIMES), n)

    @property
    def cautious_n(self) -> float:
        """The number that they are worth, where the groups may be too few to know the largest of them.

        Runs of a queue in which no long ones happened take what they saw for alike. By simulation (``make prove``): a
        third of the standard error more at nine groups.
        """
        return self.n / (1 + 3 / self.groups) ** 2

    def most_times(self, share: float) -> float:
        """How many times at most those beyond a rarer threshold are believed to be, which are so large a `share`.

        No more than these, wholly while that is worth 12 independent ones by these, and the less the more it is worth:
        what is rarer may well come in shorter groups.
        """
        return self.times * max(self.times * share / _TELLING, 1.0)

    def limited_to(self, times: float, values: float, share: float) -> Effective:
        """The same of at most so many `times`, where `share` of the `values` are on the rarer side of the threshold."""
        if times >= self.times:
            return self
        return Effective(times, self.n * times / self.times, _groups(times, values, share))


def autocovariances(values: FloatArray) -> FloatArray:
    """Autocovariances of `values`, whose mean is 0, of every lag from 0, with n in the denominator."""
    n = len(values)
    spectrum = np.fft.rfft(values, 2 * n)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:n] / n, dtype=np.float64)


def dependence(residuals: FloatArray) -> Dependence:
    """The variance of the sum of `residuals`, shape (batches,), which sum up to 0.

    Autocorrelations are summed up to the first lag that is 5 times their sum (Sokal, Monte Carlo Methods in Statistical
    Mechanics, 1997, section 3); the variance is scaled up by what subtracting the mean takes from it, and has as many
    degrees of freedom as there are windows of lags in the run (Madras and Sokal, J. Stat. Phys. 50, 1988).
    """
    batches = len(residuals)
    covariances = autocovariances(residuals)
    if batches < 3 or covariances[0] <= 0:
        return Dependence(0.0, 1.0, max(batches - 1.0, 1.0))
    times = 2 * np.cumsum(covariances / covariances[0]) - 1
    window = int(np.argmax(np.arange(batches) >= _REACH * times))
    lags = 2 * window + 1
    autocorrelation = float(times[window]) / max(1 - lags / batches, 0.5)
    variance = float(covariances[0]) * max(autocorrelation, 0.0) * batches
    return Dependence(variance, autocorrelation, batches / lags)


def effective_share(above: FloatArray, counts: FloatArray) -> Effective:
    """What `counts` values, by batch, of which some are `above` a threshold, are worth for the share of those.

    Never more than there are: that neighbours make up for each other may be chance. Where none or all are above it
    nothing depends on anything.
    """
    n = float(counts.sum())
    share = float(above.sum()) / n if n else 0.0
    independent = n * share * (1 - share)
    if independent <= 0:
        return Effective(n, n)
    found = dependence(above - share * counts)
    times = n / max(found.variance / independent, 1.0)
    return Effective(times, times * (NORMAL_REACH / found.t) ** 2, _groups(times, n, share))


def _groups(times: float, n: float, share: float) -> float:
    """In how many groups those on the rarer side of a threshold came, if `n` values are worth `times`."""
    in_groups = 1 - times / n
    return times * min(share, 1 - share) / in_groups if in_groups > 0 else math.inf


def effective_quantiles(above: Mapping[float, FloatArray], counts: FloatArray) -> dict[float, Effective]:
    """What `counts` values, by batch, are worth for each quantile from the median on, `above` which some of them are.

    Of a rare value's dependence a run shows little, and least where it was lucky: those of an M/M/1 queue at 0.5 that
    saw 20 responses above their p99, and saw them apart, would have it in 88% of their intervals. So what lies beyond
    a quantile is taken to depend on itself at least as much as what lies beyond the one before it, of which there is
    more to be seen (``most_times``).
    """
    found: dict[float, Effective] = {}
    before: Effective | None = None
    n = float(counts.sum())
    for q in sorted(above):
        worth = effective_share(above[q], counts)
        share = float(above[q].sum()) / n if n else 0.0
        if before and share:
            worth = worth.limited_to(before.most_times(share), n, share)
        found[q] = before = worth
    return found
