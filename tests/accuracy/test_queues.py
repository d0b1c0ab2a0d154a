"""The response of one queue: what servemark reports, what the oracle recorded, and what theory says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judging import (
    assert_all,
    failed,
    judge_causes,
    judge_counts,
    judge_oracle,
    judge_queue,
    judge_response,
    judge_schedule,
    judge_theory,
)
from measuring import Sample, spoiled
from queues import MOST_LATE_MS, Queue, run_queue

from ..validity import TOO_BUSY, skip_where_too_busy

pytestmark = pytest.mark.slow

MS = 1_000_000
RUNS, RUN_S = 10, 0.8
QUEUES = [Queue(service, utilisation) for service in "DM" for utilisation in (0.5, 0.8)]


@pytest.fixture(scope="module", params=QUEUES, ids=str)
def measured(
    request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Queue, list[Sample]]:
    """Ten runs of a queue, each of them valid, with an oracle that was on time."""
    queue = request.param
    samples = run_queue(program, tmp_path_factory.mktemp("runs"), queue, runs=RUNS, run_s=RUN_S)
    retries = sum(sample.tries - 1 for sample in samples)
    print(f"{queue}: {retries} runs were done again")
    for sample in samples:
        skip_where_too_busy(sample.faults)
        if not sample.is_judged_on_time(MOST_LATE_MS):
            pytest.skip(TOO_BUSY)
    return queue, samples


def test_the_oracle_kept_to_its_law_and_was_on_time(measured: tuple[Queue, list[Sample]]) -> None:
    assert_all(judge_oracle(measured[1]))


def test_reported_percentiles_are_those_that_the_oracle_recorded(measured: tuple[Queue, list[Sample]]) -> None:
    samples = measured[1]
    assert_all([*judge_response(samples), *judge_causes(samples)])


def test_reported_percentiles_are_those_of_the_schedule(measured: tuple[Queue, list[Sample]]) -> None:
    assert_all(judge_queue(measured[1]))


def test_theory_agrees_with_the_spread_of_the_runs(measured: tuple[Queue, list[Sample]]) -> None:
    queue, samples = measured
    assert_all(judge_theory(samples, queue.mean_ms, queue.percentiles_ms(RUN_S)))


def test_every_request_is_accounted_for_on_both_sides(measured: tuple[Queue, list[Sample]]) -> None:
    assert_all([*judge_schedule(measured[1]), *judge_counts(measured[1])])


def spoil_all(samples: Sequence[Sample], spoil: Any) -> list[Sample]:
    return [spoiled(sample, spoil) for sample in samples]


def a_ms_longer(rows: Any) -> None:
    rows["end"] += MS


def a_ms_from_the_schedule(rows: Any) -> None:
    rows["scheduled"] += MS


def without_its_slowest(rows: Any) -> None:
    """As a generator that loses what takes long: three in a hundred are not among the successes."""
    response = rows["end"] - rows["scheduled"]
    rows["kind"][response > np.quantile(response, 0.97)] = 1


@pytest.mark.parametrize("spoil", [a_ms_longer, a_ms_from_the_schedule, without_its_slowest])
def test_wrong_times_are_found_out(measured: tuple[Queue, list[Sample]], spoil: Any) -> None:
    samples = spoil_all(measured[1], spoil)
    assert failed(judge_response(samples))
    assert failed(judge_queue(samples))


def test_another_law_is_found_out(measured: tuple[Queue, list[Sample]]) -> None:
    queue, samples = measured
    other = replace(queue, utilisation=1.3 - queue.utilisation)
    assert failed(judge_theory(samples, other.mean_ms, other.percentiles_ms(RUN_S)))
    slower = [replace(sample, log=sample.log.copy()) for sample in samples]
    for sample in slower:
        sample.log["service"] = sample.log["service"] * 11 // 10
    assert failed(judge_queue(slower))
    assert failed(judge_oracle(slower))
