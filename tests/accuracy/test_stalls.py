"""A stall of a second: the percentiles are the open loop's, whether or not connections run out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import assert_all, failed, judge_causes, judge_counts, judge_schedule, judge_stall
from measuring import Sample, spoiled
from stalls import Stall, run_stall

from ..validity import skip_where_too_busy

pytestmark = pytest.mark.slow

RATE_PER_S, REQUESTS = 200.0, 2400
STALLS = [Stall(connections=16), Stall(connections=1000)]


@pytest.fixture(scope="module")
def runs(program: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """A run of 12 s through each stall, at the same time: 5 ms are much."""

    def run(stall: Stall) -> Sample:
        folder = tmp_path_factory.mktemp(f"stall-{stall.connections}")
        return run_stall(program, folder, stall, rate_per_s=RATE_PER_S, requests=REQUESTS)

    with ThreadPoolExecutor(len(STALLS)) as threads:
        return list(threads.map(run, STALLS))


@pytest.fixture(params=range(len(STALLS)), ids=[f"{stall.connections} connections" for stall in STALLS])
def stalled(request: pytest.FixtureRequest, runs: list[Sample]) -> tuple[Stall, Sample]:
    """A stall, and its run, which is valid."""
    sample = runs[request.param]
    skip_where_too_busy(sample.faults)
    return STALLS[request.param], sample


def test_percentiles_are_the_open_loops_and_never_a_closed_ones(stalled: tuple[Stall, Sample]) -> None:
    stall, sample = stalled
    assert_all([*judge_stall(sample, stall), *judge_causes([sample])])


def test_every_request_is_sent_and_recorded_although_the_server_stalls(stalled: tuple[Stall, Sample]) -> None:
    _, sample = stalled
    assert_all([*judge_counts([sample]), *judge_schedule([sample])])


def test_what_waits_in_the_client_is_told_apart(stalled: tuple[Stall, Sample]) -> None:
    stall, sample = stalled
    queue_ms = (sample.rows["ready"] - sample.rows["scheduled"]) / 1e6
    if stall.connections == 16:
        assert len(np.unique(sample.log["connection"])) == 16
        assert queue_ms.max() > 800
    else:
        assert len(np.unique(sample.log["connection"])) >= 200
        assert queue_ms.max() < 100


def from_sent(rows: Any) -> None:
    """As a generator that counts from when it sent."""
    rows["scheduled"] = rows["ready"] = rows["sent"]


def back_to_back(rows: Any) -> None:
    """As a closed loop of one user: what came due in a stall is sent later, and was never late."""
    stalled = rows["end"] - rows["scheduled"] > 100_000_000
    stalled[np.argmax(stalled)] = False
    rows["end"][stalled] = rows["scheduled"][stalled] + 5_000_000


def ten_ms_longer(rows: Any) -> None:
    rows["end"] += 10_000_000


def test_each_way_to_hide_a_stall_is_found_out(stalled: tuple[Stall, Sample]) -> None:
    stall, sample = stalled
    assert failed(judge_stall(spoiled(sample, back_to_back), stall)) == [
        f"{name} of the response{rest}" for name in ("p99", "p99_9") for rest in ("", ", far from a closed loop's")
    ]
    assert failed(judge_stall(spoiled(sample, ten_ms_longer), stall))
    if stall.connections == 16:
        assert "p99 of the response" in failed(judge_stall(spoiled(sample, from_sent), stall))
