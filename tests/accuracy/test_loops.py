"""Loads at a server of 5 ms: what servemark reports is what the oracle recorded, whatever else the machine computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hogs import OFTEN_BUSY, Hogs, hogging
from judging import MS, assert_all, failed, judge_causes, judge_counts
from loops import Loop, Reach, judge_times, run_loop
from measuring import Conditions, Sample, spoiled

from ..processes import await_end, runs
from ..validity import skip_where_too_busy

pytestmark = pytest.mark.slow

RUN_S = 2.0
#: What holds on a machine of two cores that is not quiet; `make prove` judges by less.
REACH = Reach(0.05, 0.25)
CONDITIONS = {"idle": Conditions(keep_awake=False), "beside hogs": Conditions(OFTEN_BUSY, keep_awake=False)}


@pytest.fixture(scope="module", params=[(users, name) for users in (1, 8, 32, 100) for name in CONDITIONS], ids=str)
def closed(request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A closed loop, which is valid."""
    users, name = request.param
    folder = tmp_path_factory.mktemp("loop")
    sample = run_loop(program, folder, Loop(users), seed=1, run_s=RUN_S, conditions=CONDITIONS[name])
    skip_where_too_busy(sample.faults)
    return sample


def test_the_service_is_what_the_oracle_recorded(closed: Sample) -> None:
    assert_all([*judge_times(closed, "service", REACH), *judge_causes([closed]), *judge_counts([closed])])


def a_ms_longer(rows: Any) -> None:
    rows["end"] += MS


def sent_a_ms_later(rows: Any) -> None:
    """As a generator that notes when it sent after it was preempted."""
    rows["sent"] += MS


def noted_when_it_got_a_cpu(rows: Any) -> None:
    """As a generator that was kept from running for 20 ms, for three answers in a hundred."""
    rows["end"][::33] += 20 * MS


@pytest.mark.parametrize("spoil", [a_ms_longer, sent_a_ms_later, noted_when_it_got_a_cpu])
def test_wrong_times_are_found_out(closed: Sample, spoil: Any) -> None:
    assert failed(judge_times(spoiled(closed, spoil), "service", REACH))


def test_another_answer_of_the_oracles_is_found_out(closed: Sample) -> None:
    later = replace(closed, log=closed.log.copy())
    later.log["departed"] = later.log["departed"] + MS
    assert failed(judge_times(later, "service", REACH))


@pytest.mark.parametrize("name", CONDITIONS)
def test_an_open_loop_is_right_or_says_that_it_was_late(program: Path, tmp_path: Path, name: str) -> None:
    sample = run_loop(program, tmp_path, Loop(0, 200.0), seed=1, run_s=RUN_S, conditions=CONDITIONS[name])
    assert_all([*judge_times(sample, "service", REACH), *judge_causes([sample]), *judge_counts([sample])])
    # What the generator's lag moves by less than half of the interval is no reason to call a run INVALID.
    wrong = failed(judge_times(sample, "response", replace(REACH, of_interval=0.5)))
    assert not (wrong and sample.certificate.valid), f"{wrong} in a run that is called valid"
    assert failed(judge_times(spoiled(sample, a_ms_longer), "service", REACH))


def test_hogs_end_with_their_block_and_with_their_starter() -> None:
    with hogging(Hogs(2)) as pids:
        assert all(map(runs, pids))
    assert not any(map(runs, pids))
    code = "import hogs, time\nwith hogs.hogging(hogs.Hogs(2)) as pids: print(*pids, flush=True), time.sleep(60)"
    folder = Path(__file__).parent
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pids = tuple(map(int, starter.stdout.readline().split()))
        assert len(pids) == 2
        assert all(map(runs, pids))
        os.kill(starter.pid, signal.SIGKILL)
    await_end(*pids)
