"""The schedule of an open loop, against its definition in fractions and a second implementation of its draws."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from servemark import _loadgen
from servemark.workload.engine_plan import EngineArrivals, EngineRateSegment

_PER_NS = Fraction(1, 10**18)  # a billionth of an arrival a second, in arrivals a nanosecond
_MASK = 2**64 - 1

rates = st.one_of(st.floats(0, 1e9), st.floats(0, 10), st.integers(1, 5000).map(float))
segments = st.builds(EngineRateSegment, rates, rates, st.integers(1, 10**14))


def _times(arrivals: EngineArrivals, seed: int, first: int, count: int) -> list[int]:
    return np.frombuffer(_loadgen.schedule(arrivals, seed, first, count), dtype="<i8").tolist()


def _cumulated(profile: list[EngineRateSegment], t_ns: int) -> Fraction:
    """Arrivals by `t_ns`: the area under the rates."""
    total, begin_ns = Fraction(0), 0
    for segment in profile:
        start, end = round(segment.from_per_s * 1e9), round(segment.to_per_s * 1e9)
        within_ns = min(max(t_ns - begin_ns, 0), segment.duration_ns)
        total += (start * within_ns + Fraction((end - start) * within_ns**2, 2 * segment.duration_ns)) * _PER_NS
        begin_ns += segment.duration_ns
    return total


@given(profile=st.lists(segments, min_size=1, max_size=4), share=st.floats(0, 1))
def test_each_arrival_is_due_in_the_nanosecond_in_which_it_has_cumulated(
    profile: list[EngineRateSegment], share: float
) -> None:
    length_ns = sum(segment.duration_ns for segment in profile)
    whole = _cumulated(profile, length_ns)
    arrivals = EngineArrivals("constant", 1.0, tuple(profile), (), 0, 1, 0)
    if not any(round(rate * 1e9) for segment in profile for rate in (segment.from_per_s, segment.to_per_s)):
        return
    last = math.ceil(whole) - 1
    for number in {0, int(last * share), last}:
        (t_ns,) = _times(arrivals, 0, number, 1)
        assert 0 <= t_ns < length_ns
        assert _cumulated(profile, t_ns) <= number < _cumulated(profile, t_ns + 1)
    assert _times(arrivals, 0, last + 1, 1) == []


def _splitmix64(state: int) -> int:
    mixed = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def test_a_poisson_process_is_what_it_is_said_to_be() -> None:
    seed, stream, rate_per_s = 11, 5, 700
    key = _splitmix64(_splitmix64(seed ^ int.from_bytes(b"arrivals", "big")) ^ stream)
    gaps = (round(-math.log(((_splitmix64(_splitmix64(key ^ i)) >> 11) + 0.5) * 2.0**-53) * 2**32) for i in range(5000))
    expected = [Fraction(total * 10**9, rate_per_s << 32) // 1 for total in itertools.accumulate(gaps)]
    profile = (EngineRateSegment(rate_per_s, rate_per_s, 0),)
    found = _times(EngineArrivals("poisson", 1.0, profile, (), 0, 1, stream), seed, 0, 5000)
    # This logarithm may be another in its last place, which moves all that follow by less than a nanosecond.
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1
