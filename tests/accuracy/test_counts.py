"""Scheduled = sent = received = recorded, over many requests; `make prove` does it for a million."""

from __future__ import annotations

from pathlib import Path

import pytest
from judging import assert_all, judge_causes, judge_counts, judge_schedule
from measuring import Conditions, measure

from servemark.workload.load import Arrivals, OpenLoad, RateSegment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("generators", "threads"), [(1, 2), (4, 1)])
def test_fifty_thousand_requests_are_scheduled_sent_received_and_recorded(
    program: Path, tmp_path: Path, generators: int, threads: int
) -> None:
    arrivals = Arrivals("poisson", profile=(RateSegment(10_000.0, 10_000.0),))
    load = OpenLoad(arrivals, requests=50_000, max_connections=1000)
    shared = Conditions(generators=generators)
    law = ("--exponential-ms", "3")
    sample = measure(program, tmp_path, law, load, seed=3, threads=threads, conditions=shared, most_tries=1)
    assert_all([*judge_counts([sample]), *judge_schedule([sample]), *judge_causes([sample])])
