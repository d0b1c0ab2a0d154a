"""Several generators that are processes of this machine send what one would, and what ends one ends the run."""

from __future__ import annotations

import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from loadgen_servers import OK, answering, begin_soon, plan_for, serving

from servemark.assessment.condensing import condensing_of
from servemark.certificate.records import check_schedule
from servemark.engines import EngineRun, Job, Sharing, Watch
from servemark.engines.native import answers
from servemark.engines.native.engine import NativeEngine
from servemark.engines.native.spread import ClockFault, Counts, Order, RemoteGenerator, crew
from servemark.engines.native.spread.agent import Agent
from servemark.engines.native.spread.clocks import TOKEN_BYTES, ClockAnswers
from servemark.engines.native.spread.processes import GeneratorProcess, Processes
from servemark.errors import RecordingError, SetupError, UsageError
from servemark.records import open_records, rows_of
from servemark.stats.condensed import condensed_of
from servemark.stats.evidence import Process, Question, Window
from servemark.stats.gather import gather
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.load import Arrivals, ClosedLoad, Load, OpenLoad, RateSegment
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, ApiName, Request, Scenario, Step

from ..processes import wait_until
from .heard import ALONE_S, LOST_S, waits

pytestmark = pytest.mark.seconds

#: What a request is, whoever sends it and however long it takes.
WHOSE = ["seq", "user", "scheduled", "step", "group", "input"]
POISSON = Arrivals("poisson", profile=(RateSegment(400.0, 400.0),))
TOKEN = b"t" * TOKEN_BYTES


def job_of(port: int, load: Load, folder: Path, generators: int, watch: Watch = lambda *_: None) -> Job:
    """A run of `load`, whose requests draw from ten and tell their numbers."""
    requests = tuple(Request("GET", f"/{USER_MARK}/{SEQ_MARK}/{number}", numbered=True) for number in range(10))
    plan = Plan((Group(Scenario((Step("request", requests),)), load),))
    addresses: dict[ApiName, Address] = {"inference": Address("127.0.0.1", "127.0.0.1", port)}
    folder.mkdir(exist_ok=True)
    return Job(
        plan=plan,
        compiled=compile_plan(plan, addresses, timeout_s=30, connect_timeout_s=10, seed=7),
        addresses=addresses,
        record_path=folder / "run.bin",
        folder=folder,
        server_pid=None,
        server_cpu_s=lambda: None,
        watch=watch,
        spread=Sharing(generators),
    )


def rows_sent(run: EngineRun) -> Any:
    """The records of all generators in the order of their numbers, each of which is there once."""
    rows = np.sort(np.array(rows_of([open_records(one.records) for one in run.generators])), order="seq")
    assert len(np.unique(rows["seq"])) == len(rows)
    return rows


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server that answers at once."""
    with serving(answering(OK)) as server:
        yield server.port


class Tampered:
    """Processes, each of which `tamper` has in its hands before it is used."""

    silence_s = None

    def __init__(self, tamper: Callable[[int, GeneratorProcess], RemoteGenerator]) -> None:
        self._tamper = tamper

    @contextmanager
    def muster(
        self, records: Sequence[Path], token: bytes, *, server_here: bool
    ) -> Iterator[Sequence[RemoteGenerator]]:
        with Processes().muster(records, token, server_here=server_here) as generators:
            self.pids = [one.facts.pid for one in generators]
            yield [self._tamper(place, one) for place, one in enumerate(generators)]
        assert not any(map(psutil.pid_exists, self.pids)), "none is left running"

    def close(self) -> None:
        pass


class Altered:
    """A generator whose order `alter` changes."""

    def __init__(self, one: GeneratorProcess, alter: Callable[[Order], Order]) -> None:
        self._one, self._alter = one, alter

    def arm(self, order: Order) -> Any:
        return self._one.arm(self._alter(order))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._one, name)


def test_four_send_the_schedule_of_one_bit_for_bit(port: int, tmp_path: Path) -> None:
    load = OpenLoad(POISSON, requests=400)
    alone = NativeEngine().execute(job_of(port, load, tmp_path / "one", 1))
    run = NativeEngine().execute(job_of(port, load, tmp_path / "four", 4))
    assert [one.records.name for one in run.generators] == ["run.bin", "run.g2.bin", "run.g3.bin", "run.g4.bin"]
    rows = rows_sent(run)
    assert (rows[WHOSE] == rows_sent(alone)[WHOSE]).all()
    assert set(rows["kind"]) == {0}
    for place, one in enumerate(run.generators):
        assert set(open_records(one.records)["seq"] % 4) == {place}
        assert one.clock is not None
        assert (one.clock.apart_ns, one.scheduled, one.lost) == (0, 100, ""), "processes of one machine have one clock"
        assert one.counts is not None
        assert one.counts.loopback_p50_ns is not None
    assert (run.interrupted, run.stop_reason, run.scheduled) == (False, None, 400)


def test_users_of_a_closed_loop_are_those_of_one_with_their_warm_up(port: int, tmp_path: Path) -> None:
    """Each draws what it would have drawn alone, for as long as it sends."""
    load = ClosedLoad(users=5, duration_s=0.6, warmup_s=0.2, think_s=0.02)
    rows = rows_sent(NativeEngine().execute(job_of(port, load, tmp_path / "three", 3)))
    alone = rows_sent(NativeEngine().execute(job_of(port, load, tmp_path / "one", 1)))
    for user in range(5):
        own, others = [of["input"][of["user"] == user].tolist() for of in (rows, alone)]
        least = min(len(own), len(others))
        assert own[:least] == others[:least]
        assert least > 5
    assert rows["scheduled"].max() < 0.8 * NS_PER_S
    warm_up = open_records(tmp_path / "three" / "run.g2.bin").flags["warmup"]
    assert ((rows["flags"] & warm_up != 0) == (rows["scheduled"] < 0.2 * NS_PER_S)).all()


def test_users_of_an_exact_closed_loop_send_what_they_would_alone_each_from_its_generator(
    port: int, tmp_path: Path
) -> None:
    load = ClosedLoad(users=5, loops=12)
    alone = rows_sent(NativeEngine().execute(job_of(port, load, tmp_path / "one", 1)))
    run = NativeEngine().execute(job_of(port, load, tmp_path / "four", 4))
    rows = rows_sent(run)
    for user in range(5):
        own, others = [of[of["user"] == user] for of in (rows, alone)]
        assert own["input"].tolist() == others["input"].tolist()
        assert own["step"].tolist() == others["step"].tolist() == [0] * 12
    for place, one in enumerate(run.generators):
        assert set(open_records(one.records)["user"]) == {user for user in range(5) if user % 4 == place}


def test_the_slowest_is_named(port: int, tmp_path: Path) -> None:
    told: set[str] = set()

    class Slow:
        """The second tells a tenth of what it did."""

        def __init__(self, place: int, one: GeneratorProcess) -> None:
            self._place, self._one = place, one

        def progress(self) -> Any:
            found = self._one.progress().result(30)
            of = 10 if self._place == 1 else 1
            told: Future[Counts] = Future()
            told.set_result(replace(found, succeeded=found.succeeded // of, failed=found.failed // of))
            return told

        def __getattr__(self, name: str) -> Any:
            return getattr(self._one, name)

    def watch(_progress: Any, words: str) -> None:
        told.add(words)

    job = job_of(
        port, OpenLoad(replace(POISSON, profile=(RateSegment(800.0, 800.0),)), duration_s=2.5), tmp_path, 2, watch
    )
    crew.execute(job, Tampered(Slow))
    assert any(
        re.match(r"^generator 2 of 2 \(\S+\) is slow: [\d,]+ requests done in \d s, where its part is [\d,]+$", one)
        for one in told
    )


class Once:
    """A watch that does something once, that long after the start; `at_s` is when it did."""

    def __init__(self, after_s: float, act: Callable[[], None]) -> None:
        self._after_s = after_s
        self._act = act
        self.at_s: list[float] = []

    def __call__(self, progress: Any, _words: str) -> None:
        if progress.elapsed_ns > self._after_s * NS_PER_S and not self.at_s:
            self.at_s.append(progress.elapsed_ns / NS_PER_S)
            self._act()


def test_one_that_is_killed_ends_the_run_for_all_and_what_was_recorded_is_kept(port: int, tmp_path: Path) -> None:
    placement = Tampered(lambda _, one: one)
    watch = Once(0.6, lambda: os.kill(placement.pids[1], signal.SIGKILL))
    with waits() as waited:
        run = crew.execute(job_of(port, OpenLoad(POISSON, duration_s=20.0), tmp_path, 3, watch), placement)
    # By its own records: when the others sent the last request that they began.
    last_ns = max(open_records(run.generators[place].records)["sent"].max() for place in (0, 2))
    assert last_ns / NS_PER_S - watch.at_s[0] < LOST_S + waited.noise_s
    reason = (
        r"^generator 2 of 3 \(\S+\) was lost \d+\.\d s into the run: its process \d+ was ended by signal 9 \(SIGKILL\)"
    )
    assert run.stop_reason is not None
    assert re.search(reason, run.stop_reason)
    assert run.interrupted
    assert [bool(one.lost) for one in run.generators] == [False, True, False]
    assert run.generators[1].counts is None
    assert all(len(open_records(one.records)) > 20 for one in run.generators)
    for one in (run.generators[0], run.generators[2]):
        assert len(open_records(one.records)) == one.scheduled


def test_a_second_interruption_does_not_wait_for_one_that_does_not_run(port: int, tmp_path: Path) -> None:
    placement = Tampered(lambda _, one: one)

    def stop() -> None:
        os.kill(placement.pids[1], signal.SIGSTOP)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    watch = Once(0.3, stop)
    run = crew.execute(job_of(port, OpenLoad(POISSON, duration_s=600.0), tmp_path, 2, watch), placement)
    assert watch.at_s
    assert run.interrupted
    assert "it has answered nothing for 1 s" in run.generators[1].lost
    assert run.generators[0].lost == ""
    assert len(open_records(run.generators[0].records)) == run.generators[0].scheduled


def test_of_one_that_is_killed_what_was_condensed_and_what_stood_in_its_file_counts(port: int, tmp_path: Path) -> None:
    placement = Tampered(lambda _, one: one)
    watch = Once(1.2, lambda: os.kill(placement.pids[1], signal.SIGKILL))
    load = ClosedLoad(users=4, duration_s=20.0)
    job = job_of(port, load, tmp_path, 2, watch)
    job = replace(job, most_records=50, condensing=condensing_of(load, job.compiled))
    run = crew.execute(job, placement)
    assert [bool(one.lost) for one in run.generators] == [False, True]
    files = [open_records(one.records) for one in run.generators]
    assert condensed_of([files[0]]).records == run.generators[0].scheduled
    assert condensed_of(files).records > run.generators[0].scheduled


def test_nothing_that_a_generator_starts_keeps_its_channel_open_when_it_is_gone(tmp_path: Path) -> None:
    with GeneratorProcess(tmp_path / "run.bin", TOKEN) as one:
        one.await_facts()
        descriptors = Path(f"/proc/{one.pid}/fd")
        sockets = [found.name for found in descriptors.iterdir() if str(found.readlink()).startswith("socket:")]
        assert len(sockets) > 1, "the channel, and its clock's"
        for name in sockets:
            (flags,) = re.findall(r"^flags:\s*(\d+)$", (descriptors.parent / "fdinfo" / name).read_text(), re.MULTILINE)
            assert int(flags, 8) & os.O_CLOEXEC


def test_one_that_is_lost_before_the_run_begins_is_an_error(port: int, tmp_path: Path) -> None:
    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        if place == 1:
            os.kill(one.pid, signal.SIGKILL)
        return one

    with pytest.raises(SetupError, match=r"^generator 2 of 2 \(\S+\) was lost before the run began: its process"):
        crew.execute(job_of(port, OpenLoad(POISSON, requests=10), tmp_path, 2), Tampered(tamper))


def test_one_that_goes_when_it_has_told_its_outcome_is_no_loss(port: int, tmp_path: Path) -> None:
    class Leaving:
        def __init__(self, one: GeneratorProcess) -> None:
            self._one = one

        def outcome(self) -> Any:
            told = self._one.outcome()
            told.add_done_callback(lambda _: os.kill(self._one.pid, signal.SIGKILL))
            return told

        def __getattr__(self, name: str) -> Any:
            return getattr(self._one, name)

    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        return Leaving(one) if place == 1 else one

    run = crew.execute(job_of(port, OpenLoad(POISSON, requests=40), tmp_path, 2), Tampered(tamper))
    assert (run.stop_reason, run.interrupted, len(rows_sent(run))) == (None, False, 40)


def test_one_whose_disk_is_full_ends_the_run_and_says_so(port: int, tmp_path: Path) -> None:
    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        if place == 1:
            resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
        return one

    run = crew.execute(job_of(port, OpenLoad(POISSON, duration_s=20.0), tmp_path, 2), Tampered(tamper))
    assert run.stop_reason is not None
    assert "generator 2 of 2" in run.stop_reason
    assert f"cannot write records to {tmp_path}/run.g2.bin: File too large" in run.stop_reason
    assert run.ended_ns < 10 * NS_PER_S
    assert [len(open_records(one.records)) > 20 for one in run.generators] == [True, True]


def test_where_a_record_file_cannot_be_made_nothing_begins(port: int, tmp_path: Path) -> None:
    (tmp_path / "run.g2.bin").mkdir()
    with pytest.raises(RecordingError, match=r"cannot write records to \S+run\.g2\.bin: Is a directory"):
        NativeEngine().execute(job_of(port, OpenLoad(POISSON, requests=10), tmp_path, 2))


@pytest.mark.parametrize(
    ("fault", "apart_ms"),
    [(ClockFault(skew_ns=50 * NS_PER_MS), (0, 5)), (ClockFault(step_ns=50 * NS_PER_MS), (45, 60))],
    ids=["skewed", "stepped"],
)
def test_a_skewed_clock_is_allowed_for_and_a_stepped_one_is_found(
    port: int, tmp_path: Path, fault: ClockFault, apart_ms: tuple[int, int]
) -> None:
    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        return Altered(one, lambda order: replace(order, fault=fault)) if place == 1 else one

    run = crew.execute(job_of(port, OpenLoad(POISSON, requests=40), tmp_path, 2), Tampered(tamper))
    one, other = (generator.clock for generator in run.generators)
    assert one is not None
    assert other is not None
    assert one.apart_ns == 0
    assert apart_ms[0] * NS_PER_MS <= other.apart_ns <= apart_ms[1] * NS_PER_MS
    # Where it began is told by its own wall clock, which is that of the other.
    starts = [open_records(generator.records).started_unix_ns for generator in run.generators]
    assert abs(starts[0] - starts[1]) < 20 * NS_PER_MS
    assert len(rows_sent(run)) == 40


def test_one_that_hears_late_that_it_is_enough_has_a_schedule_of_its_own_until_it_stopped(
    port: int, tmp_path: Path
) -> None:
    class Late:
        def __init__(self, one: GeneratorProcess) -> None:
            self._one = one

        def stop_at(self, elapsed_ns: int) -> Any:
            return self._one.stop_at(elapsed_ns + 300 * NS_PER_MS)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._one, name)

    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        return Late(one) if place == 1 else one

    job = job_of(port, OpenLoad(POISSON, duration_s=60.0), tmp_path, 2)
    job = replace(job, enough=lambda progress: progress.elapsed_ns > 0.5 * NS_PER_S)
    run = crew.execute(job, Tampered(tamper))
    assert (run.interrupted, run.stop_reason) == (False, None)
    late_ns = [one.stopped_late_ns for one in run.generators]
    assert min(late_ns) == 0, "the run ends with the first"
    (group,) = job.compiled.groups
    assert group.arrivals
    process = Process(
        arrivals=group.arrivals,
        seed=job.compiled.seed,
        group=0,
        first_step=0,
        repeats=False,
        ended_ns=tuple(run.scheduling_ended_ns + one_ns for one_ns in late_ns),
    )
    files = [open_records(one.records) for one in run.generators]
    question = Question(window=Window(0, run.scheduling_ended_ns), processes={"request": process})
    account = gather(files, question).arrivals["request"]
    assert account.due_of == [len(file) for file in files]
    assert (account.made, account.more, account.wrong) == (account.due, 0, 0)
    assert check_schedule({"request": account}, interrupted=False).passed


def test_one_that_is_told_too_late_to_begin_ends_the_run(port: int, tmp_path: Path) -> None:
    class Late:
        def __init__(self, one: GeneratorProcess) -> None:
            self._one = one

        def begin_at(self, monotonic_ns: int) -> Any:
            return self._one.begin_at(monotonic_ns - NS_PER_S)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._one, name)

    def tamper(place: int, one: GeneratorProcess) -> RemoteGenerator:
        return Late(one) if place == 1 else one

    run = crew.execute(job_of(port, OpenLoad(POISSON, duration_s=20.0), tmp_path, 2), Tampered(tamper))
    assert run.ended_ns < 10 * NS_PER_S
    assert "could not begin with the others: a run cannot begin in the past" in run.generators[1].lost
    assert len(open_records(run.generators[1].records)) == 0


def test_an_agent_that_is_stopped_before_it_is_armed_sends_nothing(port: int, tmp_path: Path) -> None:
    agent = Agent(TOKEN)
    agent.stop(0.0)
    agent.arm(Order(plan_for(port, users=2, loops=5), tmp_path / "r.bin"))
    run = agent.outcome()
    agent.close()
    assert (run.interrupted, run.scheduled, len(open_records(tmp_path / "r.bin"))) == (True, 0, 0)


def test_an_agent_does_not_mind_its_driver_while_it_loads_a_tokenizer(tmp_path: Path, monkeypatch: Any) -> None:
    """No other thread runs meanwhile: it could hear nothing."""
    minding: list[str] = []

    def load(path: Path, *_: int) -> Any:
        minding.extend(one.name for one in threading.enumerate() if one.name == "driver")
        raise UsageError(f"{path} is no tokenizer")

    monkeypatch.setattr(answers, "_loaded", load)
    agent = Agent(TOKEN)
    plan = replace(plan_for(1, users=2, loops=5), tokenizer=tmp_path / "tokenizer.json")
    with pytest.raises(UsageError, match="is no tokenizer"):
        agent.arm(Order(plan, tmp_path / "r.bin", silence_s=ALONE_S))
    agent.close()
    assert minding == []


def test_an_agent_without_a_sign_of_its_driver_ends_by_itself(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_alone = threading.Event()
    monkeypatch.setattr(ClockAnswers, "silent_s", 0.0)  # the driver is there until something was sent
    agent = Agent(TOKEN, alone=is_alone.set)
    agent.arm(Order(plan_for(port, users=2, loops=0, duration_s=60), tmp_path / "r.bin", silence_s=ALONE_S))
    begins_ns = begin_soon(agent.begin_at)
    wait_until(lambda: agent.progress().succeeded)
    with waits() as waited:
        agent._clock.hear()
        heard_ns = time.monotonic_ns()
        monkeypatch.undo()
        assert is_alone.wait(30)
    assert agent._armed().wait(30)
    wait_until(lambda: len(open_records(tmp_path / "r.bin")) == agent.progress().scheduled)
    last_ns = int(open_records(tmp_path / "r.bin")["sent"].max())
    assert (begins_ns + last_ns - heard_ns) / NS_PER_S < ALONE_S + waited.noise_s
    assert agent.progress().in_flight == 0
