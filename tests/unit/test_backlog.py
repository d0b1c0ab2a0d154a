"""A server that falls behind an open loop is told early, and one that has a long queue for a while is not."""

from __future__ import annotations

from types import SimpleNamespace

from servemark.runner.backlog import BacklogWatch
from servemark.units import NS_PER_S


def _at(seconds: float, in_flight: int, rate: float = 100.0) -> SimpleNamespace:
    return SimpleNamespace(elapsed_ns=int(seconds * NS_PER_S), in_flight=in_flight, scheduled=int(rate * seconds))


def _first_s(waiting, most_s: float = 30.0) -> float | None:
    watch = BacklogWatch(100.0, limit_s=0.1, warmup_s=2.0)
    for tenth in range(int(10 * most_s)):
        if watch(_at(tenth / 10, waiting(tenth / 10))):
            return tenth / 10
    assert not watch.falls_behind
    return None


def test_what_waits_grows_and_grows() -> None:
    assert 6.0 <= _first_s(lambda at_s: int(40 * at_s)) <= 7.0


def test_a_pause_that_ends_is_no_falling_behind() -> None:
    assert _first_s(lambda at_s: int(200 - 100 * (at_s - 7)) if 7 <= at_s < 9 else 2) is None


def test_a_long_queue_that_stays_is_none() -> None:
    assert _first_s(lambda at_s: 25 + int(at_s) % 3) is None
