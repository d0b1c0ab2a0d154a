"""Schedules: the distribution of the times between arrivals, rates that change, and the same bits in every record."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import laws
import numpy as np
import pytest
from judging import assert_all, equal, failed, judge_causes, judge_counts, judge_distances, judge_schedule
from measuring import compiled_arrivals, measure, pure_schedule, spoiled

from servemark.workload.load import Arrivals, OpenLoad, RateSegment

N = 100_000
FOREVER = RateSegment(500.0, 500.0)


def times(arrivals: Arrivals, seed: int = 1, count: int = N) -> laws.Times:
    """The first `count` arrivals."""
    return pure_schedule(compiled_arrivals(arrivals), seed, count)


def steadily(rate: float) -> Any:
    """What a constant rate promises up to each time."""
    return lambda seconds: seconds * rate


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_arrivals_have_exponential_distances(seed: int) -> None:
    arrivals = times(Arrivals("poisson", profile=(FOREVER,)), seed)
    assert_all(judge_distances("poisson", arrivals, steadily(500), laws.exponential_share))
    assert failed(judge_distances("3% faster", arrivals, steadily(515), laws.exponential_share))
    assert failed(judge_distances("as gamma", arrivals, steadily(500), laws.gamma_share(0.95)))


@pytest.mark.parametrize("cv", [0.25, 0.5, 1.0, 2.0, 3.0])
def test_gamma_arrivals_have_gamma_distances(cv: float) -> None:
    arrivals = times(Arrivals("gamma", cv=cv, profile=(FOREVER,)))
    assert_all(judge_distances(f"gamma of {cv}", arrivals, steadily(500), laws.gamma_share(cv)))
    assert failed(judge_distances("5% wider", arrivals, steadily(500), laws.gamma_share(cv * 1.05)))


def test_distances_that_repeat_are_found_out() -> None:
    arrivals = times(Arrivals("poisson", profile=(FOREVER,)))
    in_pairs = np.cumsum(np.repeat(np.diff(arrivals, prepend=0), 2))
    assert failed(judge_distances("each twice", in_pairs, steadily(500), laws.exponential_share)) == [
        "each twice: correlation of neighbours"
    ]


def test_constant_arrivals_are_a_grid() -> None:
    arrivals = times(Arrivals("constant", profile=(RateSegment(3.0, 3.0),)), count=3001)
    assert np.abs(arrivals - np.arange(3001) * 1e9 / 3).max() <= 1


PROFILES = {
    "ramp": (RateSegment(100.0, 2000.0, 60.0),),
    "ramp down": (RateSegment(2000.0, 0.0, 60.0),),
    "steps": (RateSegment(100.0, 100.0, 20.0), RateSegment(200.0, 200.0, 20.0), RateSegment(400.0, 400.0, 20.0)),
}


@pytest.mark.parametrize("name", PROFILES)
def test_arrivals_follow_the_integrated_rate(name: str) -> None:
    profile = PROFILES[name]
    plain = [(part.from_per_s, part.to_per_s, part.duration_s or math.inf) for part in profile]
    promised = laws.expected_arrivals(plain, np.array([60.0]))[0]

    def integral(seconds: laws.Floats) -> laws.Floats:
        return laws.expected_arrivals(plain, seconds)

    grid = times(Arrivals("constant", profile=profile))
    assert len(grid) == round(promised)
    # The times are whole nanoseconds: at 2,000/s a millionth of the way to the next arrival.
    assert np.abs(integral(grid / 1e9) - np.arange(len(grid))).max() < 1e-5

    drawn = times(Arrivals("poisson", profile=profile))
    assert abs(len(drawn) - promised) < 3.29 * math.sqrt(promised)
    assert_all(judge_distances(name, drawn, integral, laws.exponential_share))
    assert failed(judge_distances("as a constant rate", drawn, steadily(promised / 60), laws.exponential_share))


PROCESSES = {
    "constant": Arrivals("constant", profile=(RateSegment(2000.0, 2000.0),)),
    "poisson": Arrivals("poisson", profile=(RateSegment(2000.0, 2000.0),)),
    "gamma": Arrivals("gamma", cv=2.0, profile=(RateSegment(2000.0, 2000.0),)),
    "ramp": Arrivals("poisson", profile=(RateSegment(1000.0, 4000.0, 1.0),)),
    "trace": Arrivals("trace", times_ns=tuple(index**2 * 1000 for index in range(500))),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", PROCESSES)
def test_what_is_recorded_was_scheduled_by_the_pure_function(
    program: Path, tmp_path: Path, name: str, threads: int
) -> None:
    load = OpenLoad(PROCESSES[name], requests=500)
    sample = measure(program, tmp_path, (), load, seed=11, threads=threads, most_tries=1)
    findings = [*judge_schedule([sample]), *judge_counts([sample]), *judge_causes([sample])]
    thread_of = sample.rows["seq"] % threads
    findings.append(equal("on another thread", int((thread_of != sample.rows["user"] % threads).sum()), 0))
    assert_all(findings)


def test_each_way_of_scheduling_wrongly_is_found_out(program: Path, tmp_path: Path) -> None:
    sample = measure(program, tmp_path, (), OpenLoad(PROCESSES["poisson"], requests=200), seed=5, most_tries=1)
    assert not failed(judge_schedule([sample]))

    def one_later(rows: Any) -> None:
        rows["scheduled"][100] += 1

    def swapped(rows: Any) -> None:
        rows["user"][[3, 4]] = rows["user"][[4, 3]]

    def twice(rows: Any) -> None:
        rows["user"][3] = rows["user"][4]

    for spoil in (one_later, swapped, twice):
        assert failed(judge_schedule([spoiled(sample, spoil)])), spoil.__name__


def test_each_lost_or_invented_request_is_found_out(program: Path, tmp_path: Path) -> None:
    sample = measure(program, tmp_path, (), OpenLoad(PROCESSES["poisson"], requests=200), seed=6, most_tries=1)
    assert not failed(judge_counts([sample]))
    unsent = spoiled(sample, lambda rows: rows["sent"].__setitem__(7, -1))
    assert failed(judge_counts([unsent])) == ["sent"]
    lost = replace(sample, rows=sample.rows[1:])
    assert "recorded" in failed(judge_counts([lost]))
    unheard = replace(sample, log=sample.log[1:])
    assert "received by the oracle" in failed(judge_counts([unheard]))
    early = spoiled(sample, lambda rows: rows["end"].__isub__(20_000_000))
    assert failed(judge_causes([early]))
