"""What the results of one thing tell together: a series of a statistic over time, and where it changed.

A series is of one benchmark, model, point, setup and machine. What else may differ from one result to the next (the
server's version, Java, the kernel, servemark itself) may be what changed it, and is told with each change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from servemark.history.index import Indexed
from servemark.history.measurements import Measurement
from servemark.result import Statistic, differences

#: Facts of the machine are the series' own.
_OF_THE_SERIES = {"machine", "cpu_model"}


@dataclass(frozen=True)
class Member:
    """A result of a series, and what it measured."""

    result: Indexed
    measured: Measurement
    figure: Statistic

    @property
    def value(self) -> float:
        """The figure's value, which there is."""
        assert self.figure.value is not None
        return self.figure.value


@dataclass(frozen=True)
class Change:
    """A change of a series.

    Attributes:
        at: the place of the first result after it.
        p: the share of permutations in which chance does as much.
        before: the median from the change before it on, and `after` that until the next one.
        differs: what of the environment is not as it was in the result before, by name: then and since. What either of
            them does not tell is left out.
    """

    at: int
    p: float
    before: float
    after: float
    differs: Mapping[str, tuple[str, ...]]

    @property
    def share(self) -> float | None:
        """The change as a share of the median before; None where that is nothing."""
        return (self.after - self.before) / self.before if self.before else None


@dataclass(frozen=True)
class Series:
    """The results of one thing, in the order in which they were begun."""

    benchmark: str
    model: str
    point: str
    setup: str
    machine: str
    members: tuple[Member, ...]
    changes: tuple[Change, ...]


def series_of(results: Iterable[Indexed], statistic: str) -> tuple[Series, ...]:
    """The series of a `statistic` (rate, p50, p99) in `results`, the one of the latest result last.

    Left out is what is INVALID or partial, and what has no such figure.
    """
    found: dict[tuple[str, str, str, str, str], list[Member]] = {}
    for result in sorted(results, key=lambda result: result.started_at):
        for one in result.measurements:
            figure: Statistic = getattr(one, statistic)
            if one.valid and not one.partial and figure.value is not None:
                key = (one.benchmark, one.model, one.point, one.setup, one.machine)
                found.setdefault(key, []).append(Member(result, one, figure))
    whole = [Series(*key, tuple(members), _changes(members)) for key, members in found.items()]
    return tuple(sorted(whole, key=lambda series: series.members[-1].result.started_at))


def _changes(members: list[Member]) -> tuple[Change, ...]:
    import numpy as np

    from servemark.stats.change_points import change_points

    values = np.array([member.value for member in members])
    return tuple(
        Change(
            point.at,
            point.p,
            point.before,
            point.after,
            _told(differences(members[point.at - 1].measured.fingerprint, members[point.at].measured.fingerprint)),
        )
        for point in change_points(values)
    )


def _told(differing: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What differs of that which a series does not share anyhow."""
    return {name: pair for name, pair in differing.items() if name not in _OF_THE_SERIES}
