"""Several generators, each a process with a share of one plan, send together what one would have sent."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generator_process import send_together
from loadgen_servers import MS, OK, S, answering, begin, plan_for, run_plan, serving
from test_loadgen_open_loop import PROCESSES, schedule

from servemark import _loadgen
from servemark.records import open_records
from servemark.stats.evidence import Process, Question, Window
from servemark.stats.gather import gather
from servemark.workload.engine_plan import EngineArrivals, EngineGroup, EnginePlan, EngineShare

pytestmark = pytest.mark.seconds

#: What a request is, whoever sends it and however long it takes.
_WHOSE = ["seq", "user", "scheduled", "step", "group", "input"]
_LEAD_NS = 200 * MS


def shares(plan: EnginePlan, generators: int) -> list[EnginePlan]:
    """The plan of each of several generators."""
    return [dataclasses.replace(plan, share=EngineShare(index, generators)) for index in range(generators)]


def sent_together(plan: EnginePlan, folder: Path, generators: int = 2) -> tuple[list[Path], list[dict[str, Any]]]:
    """Where the records of the shares are, sent by as many processes, and what these say."""
    paths = [folder / f"share-{index}.bin" for index in range(generators)]
    return paths, send_together(shares(plan, generators), paths, _LEAD_NS)


def joined(paths: list[Path]) -> Any:
    """The records of all shares in the order of their numbers, each of which is there once."""
    rows = np.sort(np.concatenate([np.array(open_records(path).memmap()) for path in paths]), order="seq")
    assert len(np.unique(rows["seq"])) == len(rows)
    return rows


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("arrivals", PROCESSES, ids=[arrivals.process for arrivals in PROCESSES])
def test_two_processes_send_one_schedule_exactly(tmp_path: Path, arrivals: EngineArrivals, threads: int) -> None:
    wires = tuple(b"GET /%d HTTP/1.1\r\nHost: test\r\n\r\n" % number for number in range(10))
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, arrivals=arrivals, threads=threads, seed=7, wires=wires)
        paths, counts = sent_together(plan, tmp_path)
        alone = run_plan(plan, tmp_path / "alone")
    rows = joined(paths)
    assert set(rows["kind"]) == {0}
    assert (rows["scheduled"] == schedule(arrivals, 7, 0, 1000)).all()
    assert (rows[_WHOSE] == alone.rows[_WHOSE]).all()
    for index, path in enumerate(paths):
        own = open_records(path)
        assert set(own["seq"] % 2) == set(own["user"] % 2) == {index}
        assert (np.sort(own["seq"]) == np.arange(index, 400, 2)).all()
    assert [count["records"] for count in counts] == [count["sent"] for count in counts] == [200, 200]
    # Each reads the wall clock itself, which takes far less than a second.
    assert abs(counts[0]["started_unix_ns"] - counts[1]["started_unix_ns"]) < S
    # The evidence is of all files together: every arrival of the process was begun, by somebody.
    ended_ns = int(rows["end"].max())
    process = Process(arrivals=arrivals, seed=7, group=0, first_step=0, repeats=False, ended_ns=(ended_ns,))
    evidence = gather(
        [open_records(path) for path in paths], Question(window=Window(0, ended_ns), processes={"all": process})
    )
    (account,) = evidence.arrivals.values()
    assert (account.due, account.made, account.more, account.wrong) == (400, 400, 0, 0)
    assert evidence.steps[0].measured == 400


def test_users_belong_to_generators_by_number(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        plan = plan_for(server.port, users=7, loops=5, threads=2, ramp_s=0.05)
        # A second group: users are numbered over all of them.
        more = EngineGroup(steps=(0,), users=4, loops=3, duration_ns=0, ramp_ns=0, think_ns=0)
        plan = dataclasses.replace(plan, groups=(*plan.groups, more))
        paths, _ = sent_together(plan, tmp_path, generators=3)
    rows = joined(paths)
    numbers, loops = np.unique(rows["user"], return_counts=True)
    assert dict(zip(numbers.tolist(), loops.tolist(), strict=True)) == {
        **dict.fromkeys(range(7), 5),
        **dict.fromkeys(range(7, 11), 3),
    }
    first = {int(user): int(rows["scheduled"][rows["user"] == user].min()) for user in range(7)}
    assert first == {user: 50 * MS * user // 7 for user in range(7)}
    for index, path in enumerate(paths):
        assert set(open_records(path)["user"] % 3) == {index}


def test_a_generator_without_a_user_has_nothing_to_send(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        ran = run_plan(shares(plan_for(server.port, users=1, loops=3), 2)[1], tmp_path / "r")
    assert len(ran.rows) == 0
    assert ran.outcome.scheduling_ended_ns == 0


def test_a_background_needs_somebody_in_the_same_share(tmp_path: Path) -> None:
    plan = plan_for(1, users=1, loops=3)
    background = EngineGroup(steps=(0,), users=2, loops=0, duration_ns=0, ramp_ns=0, think_ns=0, background=True)
    plan = dataclasses.replace(plan, groups=(*plan.groups, background))
    with pytest.raises(ValueError, match="in the background of nothing, or of nobody in this share"):
        _loadgen.arm(shares(plan, 2)[1], str(tmp_path / "r"))


class TestArmedRuns:
    """A run that is told when to begin."""

    def test_it_sends_nothing_before(self, tmp_path: Path) -> None:
        with serving(answering(OK)) as server:
            run = _loadgen.arm(plan_for(server.port, users=2, loops=1), str(tmp_path / "r"))
            assert run.wait_ready(60)
            assert not run.wait(0.3)
            assert (run.progress().scheduled, run.progress().elapsed_ns) == (0, 0)
            begin_ns = begin(run)
            assert run.wait(60)
            outcome = run.finish()
        assert time.monotonic_ns() >= begin_ns
        rows = open_records(tmp_path / "r").memmap()
        assert rows["scheduled"].tolist() == [0, 0]
        assert (rows["sent"] >= 0).all()
        assert outcome.records == 2

    def test_when_it_cannot_begin_is_said(self, tmp_path: Path) -> None:
        with serving(answering(OK)) as server:
            run = _loadgen.arm(plan_for(server.port, loops=1), str(tmp_path / "r"))
            assert run.wait_ready(60)
            with pytest.raises(ValueError, match="cannot begin in the past"):
                run.begin_at(time.monotonic_ns() - S)
            begin(run)
            with pytest.raises(ValueError, match="has begun already"):
                run.begin_at(time.monotonic_ns() + S)
            assert run.wait(60)
            run.finish()

    def test_who_is_never_told_ends_when_it_is_stopped(self, tmp_path: Path) -> None:
        with serving(answering(OK)) as server:
            run = _loadgen.arm(plan_for(server.port, loops=1, threads=2, users=2), str(tmp_path / "r"))
            assert run.wait_ready(60)
            run.stop(0.0)
            assert run.wait(60)
            outcome = run.finish()
        assert (outcome.records, outcome.sent) == (0, 0)
        assert outcome.interrupted

    def test_one_that_is_forgotten_goes_away(self, tmp_path: Path) -> None:
        with serving(answering(OK)) as server:
            run = _loadgen.arm(plan_for(server.port, loops=1), str(tmp_path / "r"))
            del run  # would hang if its threads went on waiting
        assert len(open_records(tmp_path / "r")) == 0


def test_a_share_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no share 2 of 2"):
        _loadgen.arm(dataclasses.replace(plan_for(1, loops=1), share=EngineShare(2, 2)), str(tmp_path / "r"))
