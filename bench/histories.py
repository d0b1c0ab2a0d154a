"""The change points of histories, proven by simulation: how often they are found where there are none, and where."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from judging import Finding
from numpy.typing import NDArray

from bench.kept import Kept
from bench.proof import Section
from servemark.stats.change_points import LEVEL, change_points

FloatArray = NDArray[np.float64]
#: Of this history a place, and how far from it a change may be found.
_PLACE, _NEAR = 0.75, 2
#: So many histories are a try.
_A_TRY = 200
#: What is true in so many of a thousand tries is within its bounds.
_SURE = 3.1
#: Shifts, in standard deviations, with the share of histories in which they have to be found, by the number of values.
_SHIFTS = {(20, 3.0): 0.9, (40, 3.0): 0.95, (100, 3.0): 0.99, (40, 2.0): 0.75, (100, 2.0): 0.9}


def prove_histories(histories: int, kept: Kept) -> Iterator[Section]:
    """False alarms in histories without a change, and changes that are found in others; so many of each, seeded."""
    quiet = dict(_without_change())
    yield Section(
        "Histories in which nothing changed",
        f"`change_points`, {histories:,} seeded histories each",
        [_alarms(what, make, histories, kept) for what, make in quiet.items()],
    )
    found = [_found(n, sigma, least, histories, kept) for (n, sigma), least in _SHIFTS.items()]
    yield Section(
        f"Histories whose last quarter is shifted, found within {_NEAR} places",
        f"`change_points`, {histories:,} seeded histories each, normal",
        [*found, _came_and_went(histories, kept)],
    )


def _without_change() -> Iterator[tuple[str, Callable[[np.random.Generator], FloatArray]]]:
    for n in (8, 12, 20, 50, 200):
        yield f"normal, {n} values", lambda rng, n=n: rng.normal(size=n)  # type: ignore[misc]
    yield "lognormal of sigma 1, 50 values", lambda rng: rng.lognormal(0.0, 1.0, 50)
    yield "Cauchy, 50 values", lambda rng: rng.standard_cauchy(50)
    yield "rounded to few values, 50 values", lambda rng: np.round(rng.normal(size=50))
    for where, place in (("anywhere", None), ("first", 0), ("last", -1), ("last but two", -3)):
        yield (
            f"normal with one spike of 1,000 sigma, {where}, 50 values",
            lambda rng, place=place: _spiked(rng, place),  # type: ignore[misc]
        )


def _spiked(rng: np.random.Generator, place: int | None) -> FloatArray:
    values: FloatArray = rng.normal(size=50)
    values[int(rng.integers(50)) if place is None else place] += 1000.0
    return values


def _alarms(what: str, make: Callable[[np.random.Generator], FloatArray], histories: int, kept: Kept) -> Finding:
    alarms = _number_of(
        f"alarms, {what}",
        histories,
        kept,
        lambda seed: bool(change_points(make(np.random.default_rng(seed)), seed)),
    )
    most = LEVEL + _reach(LEVEL, histories)
    return Finding(f"a change is found: {what}", alarms / histories, LEVEL, 0.0, most, "of histories")


def _found(n: int, sigma: float, least: float, histories: int, kept: Kept) -> Finding:
    place = int(n * _PLACE)

    def is_found(seed: int) -> bool:
        values = np.random.default_rng(seed).normal(size=n)
        values[place:] += sigma
        return any(abs(point.at - place) <= _NEAR for point in change_points(values, seed))

    hits = _number_of(f"shift of {sigma:g}, {n} values", histories, kept, is_found)
    what = f"a shift of {sigma:g} sigma is found, {n} values"
    return Finding(what, hits / histories, 1.0, least - _reach(least, histories), 1.0, "of histories")


def _came_and_went(histories: int, kept: Kept) -> Finding:
    least = 0.9

    def are_found(seed: int) -> bool:
        values = np.random.default_rng(seed).normal(size=60)
        values[30:42] += 3.0
        places = [point.at for point in change_points(values, seed)]
        return len(places) == 2 and abs(places[0] - 30) <= _NEAR and abs(places[1] - 42) <= _NEAR

    hits = _number_of("came and went", histories, kept, are_found)
    what = "a shift of 3 sigma that goes again after 12 of 60 values is two changes"
    return Finding(what, hits / histories, 1.0, least - _reach(least, histories), 1.0, "of histories")


def _number_of(what: str, histories: int, kept: Kept, holds: Callable[[int], bool]) -> int:
    """Of how many of the first seeds, `histories` of them, it holds."""
    number = 0
    for first in range(0, histories, _A_TRY):
        seeds = range(first, min(first + _A_TRY, histories))
        name = f"histories, {what}, seeds {seeds[0]} to {seeds[-1]}"
        number += kept.tried(name, partial(_holding, holds, seeds))
    return number


def _holding(holds: Callable[[int], bool], seeds: range) -> int:
    return sum(map(holds, seeds))


def _reach(share: float, tries: int) -> float:
    return _SURE * math.sqrt(share * (1 - share) / tries)
