"""The driver of several generators: whom it refuses, and what it makes of what they say."""

from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from servemark import _loadgen
from servemark.engines import EngineRun, GeneratorRun, Job, Sharing
from servemark.engines.native.sending import build, started
from servemark.engines.native.spread import Counts, GeneratorFacts, Order, crew, processes
from servemark.engines.native.spread.clocks import Offset
from servemark.engines.native.spread.crew import Paces, _Crew, parts_of
from servemark.engines.native.spread.joined import Part, joined, with_connections
from servemark.engines.native.spread.mustered import check_alike, check_reachable
from servemark.errors import ClusterLostError, GeneratorLostError, SetupError, UsageError
from servemark.event_files import gaps_path, read_gaps, write_gaps
from servemark.interrupts import held_back
from servemark.machine.processes import boot_id
from servemark.records import open_records, row_dtype, write_records
from servemark.units import NS_PER_S
from servemark.version import version
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import EngineShare
from servemark.workload.load import Arrivals, ClosedLoad, OpenLoad, RateSegment
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step

from .test_certificate import IDLE
from .test_events import HISTOGRAM

FACTS = GeneratorFacts("here", 1, version(), build(), "3.12", boot_id(), 1, ("127.0.0.1", 1))


@dataclass
class Known:
    """A generator of which only this is known."""

    facts: GeneratorFacts
    records: Path = Path("r.bin")


def _crew(*changes: dict[str, Any]) -> list[Any]:
    return [Known(replace(FACTS, **one)) for one in changes]


def _plan(ip: str, max_connections: int = 100, unix_socket: str | None = None):
    load = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=1, max_connections=max_connections)
    plan = Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), load),))
    addresses = {"inference": Address("server", ip, 80, unix_socket=unix_socket)}
    return compile_plan(plan, addresses, timeout_s=1, connect_timeout_s=1, seed=0)


def test_generators_of_another_version_or_build_are_refused_by_the_names_of_their_machines():
    check_alike(_crew({}, {"host": "there", "python": "3.13"}))
    said = f"the same servemark, {version()}, build {build()}: b has 0.9, build {build()}; c has {version()}, build 456"
    with pytest.raises(SetupError, match=re.escape(said)):
        check_alike(_crew({}, {"host": "c", "build": "456"}, {"host": "b", "version": "0.9"}))


@pytest.mark.parametrize("address", [{"ip": "127.0.0.1"}, {"ip": "::1"}, {"ip": "10.0.0.1", "unix_socket": "/s"}])
def test_a_server_that_only_this_machine_reaches_is_refused_to_others(address):
    check_reachable(_crew({}, {}), _plan(**address), is_ours=False)
    elsewhere = _crew({}, {"host": "far", "boot": "other"})
    refusal = r"^generators on far cannot reach http://server: that address is each machine's own; "
    with pytest.raises(UsageError, match=refusal + "name the server by an address"):
        check_reachable(elsewhere, _plan(**address), is_ours=False)
    with pytest.raises(
        UsageError, match=refusal + r"a server that .* serve --listen ADDRESS, and name it with --server$"
    ):
        check_reachable(elsewhere, _plan(**address), is_ours=True)


def test_a_server_that_all_reach_is_refused_to_nobody():
    check_reachable(_crew({}, {"host": "far", "boot": "other"}), _plan("10.0.0.1"), is_ours=False)


@dataclass
class Unready(Known):
    """One that cannot be made ready, or can where `error` is None."""

    error: Exception | None = None

    def arm(self, order: Order) -> Future[None]:
        armed: Future[None] = Future()
        if self.error:
            armed.set_exception(self.error)
        else:
            armed.set_result(None)
        return armed


@pytest.mark.parametrize(
    ("boot", "said"), [(boot_id(), "9 users need more"), ("other", r"generator 2 of 2 \(far\): 9 users need more")]
)
def test_what_another_machine_lacks_is_said_with_its_name(boot, said):
    lack = UsageError("9 users need more", next_step="lower -t")
    job: Any = SimpleNamespace(compiled=_plan("10.0.0.1"), server_pid=None, most_records=0, condensing=None)
    generators: list[Any] = [Unready(FACTS), Unready(replace(FACTS, host="far", boot=boot), error=lack)]
    crew = _Crew(job, generators, b"", None, None)
    with pytest.raises(UsageError, match=rf"^{said}; lower -t$"):
        crew.arm()


class Loading(Known):
    """One that has loaded its tokenizer once its driver has looked for its signs three times, of which it gives none.

    As `signs` it says for how long it has been silent.
    """

    def __init__(self, facts: GeneratorFacts, silence_s: float) -> None:
        super().__init__(facts)
        self._silence_s, self._looks = silence_s, 0
        self._armed: Future[None] = Future()

    def arm(self, order: Order) -> Future[None]:
        return self._armed

    def silent_s(self, _place: int) -> float:
        self._looks += 1
        if self._looks == 3:
            self._armed.set_result(None)
        return self._silence_s

    def hear(self, place: int) -> None:
        self._silence_s = 0.0


def _loading(silence_s: float, tokenizer: Path | None) -> tuple[_Crew, Loading]:
    one: Any = Loading(FACTS, silence_s)
    plan = replace(_plan("10.0.0.1"), tokenizer=tokenizer)
    job: Any = SimpleNamespace(compiled=plan, server_pid=None, most_records=0, condensing=None)
    return _Crew(job, [one], b"", 1.0, one), one


def test_who_loads_a_tokenizer_gives_no_sign_and_is_not_lost():
    crew, one = _loading(20.0, Path("tokenizer.json"))
    crew.arm()
    assert one.silent_s(0) == 0.0, "that it is ready is a sign"
    assert crew._silent() == []


@pytest.mark.parametrize(
    ("silence_s", "tokenizer", "said"), [(61.0, Path("tokenizer.json"), "for 60 s"), (2.0, None, "for 1 s")]
)
def test_silence_is_a_loss_before_the_run_too(silence_s, tokenizer, said):
    crew, _ = _loading(silence_s, tokenizer)
    with pytest.raises(GeneratorLostError, match=rf"was lost before the run began: it has given no sign {said}$"):
        crew.arm()


def test_each_is_told_who_takes_the_ports_of_its_machine_too():
    """Containers of one machine have ports of their own."""
    places = [("a", 1), ("b", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1)]
    job: Any = SimpleNamespace(compiled=_plan("10.0.0.1"), server_pid=None, most_records=0, condensing=None)
    generators = _crew(*({"boot": boot, "network": network} for boot, network in places))
    orders = _Crew(job, generators, b"", None, None)._orders()
    assert [order.plan.beside for order in orders] == [(2, 5), (4,), (0, 5), (), (1,), (0, 2)]


@pytest.mark.parametrize(("lack", "users"), [("ports to one address", 9), ("file descriptors", 5)])
def test_users_who_are_too_many_are_those_who_share_what_is_lacking(lack: str, users: int):
    """Ports are all generators' of a machine, descriptors each one's."""

    def start(*_: Any) -> Any:
        raise _loadgen.ShortageError(lack, 99, 7)

    plan = _plan("10.0.0.1")
    closed = (replace(plan.groups[0], users=9),)
    with pytest.raises(UsageError, match=f"^{users} users need at least 99 {lack}, and there are 7; lower -t"):
        started(replace(plan, groups=closed, share=EngineShare(1, 2), beside=(0,)), Path("r.bin"), start)


class Refusing:
    """Where no generator can be started, as is found when nobody wants one any more."""

    silence_s = None

    @contextmanager
    def muster(self, *_: Any, **__: Any) -> Iterator[Any]:
        os.kill(os.getpid(), signal.SIGINT)
        raise SetupError("there are too few places")
        yield

    def close(self) -> None:
        """Nothing is there."""


def _job(tmp_path: Path) -> Any:
    addresses = {"inference": Address("127.0.0.1", "127.0.0.1", 1)}
    return SimpleNamespace(
        compiled=_plan("127.0.0.1"),
        addresses=addresses,
        server_cpu_s=lambda: None,
        record_paths=[tmp_path / "1.bin", tmp_path / "2.bin"],
    )


def test_an_interruption_is_none_of_the_errors_of_those_who_cannot_be_started(tmp_path):
    with pytest.raises(KeyboardInterrupt), held_back():
        crew.execute(_job(tmp_path), Refusing())


def test_an_interruption_ends_processes_that_have_not_come_up(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_SCRIPT", "import sys; sys.stdin = open(int(sys.argv[1]), 'rb'); sys.stdin.read()")

    def interrupted() -> None:
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            crew.execute(_job(tmp_path), processes.Processes())

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.Process().children()


class Handing:
    """A lock that has `then` happen as soon as it is let go of for the first time."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def __enter__(self) -> None:
        """Nobody else has it."""

    def __exit__(self, *_: object) -> None:
        then, self._then = self._then, None
        if then:
            then()


def test_what_is_asked_of_one_that_goes_at_that_moment_is_answered_once(tmp_path):
    def gone() -> Any:
        raise EOFError

    def unheard(_: object) -> None:
        raise BrokenPipeError

    one: Any = processes.GeneratorProcess(tmp_path / "r.bin", b"")
    one._channel = SimpleNamespace(receive=gone, send=unheard)
    one._process = SimpleNamespace(pid=7, returncode=1, wait=lambda _: 1)
    one._complaint = io.BytesIO(b"it is out of memory")
    one._lock = Handing(one._hear)
    error = one.progress().exception(timeout=0)
    assert str(error) == "its process 7 ended with status 1: it is out of memory"


@dataclass
class Sending(Known):
    """One that sends, until its cluster is gone; `heard` is what it is told."""

    heard: list[Any] = field(default_factory=list)
    asked_every_s = 1.0
    lead_s = 0.0

    def stop(self, drain_s: float) -> Future[None]:
        self.heard.append(drain_s)
        return Future()

    def progress(self) -> Future[Counts]:
        return Future()


@dataclass
class Beginning(Known):
    """One that notes how long before the start it was told of it."""

    lead_s: float = 0.0
    told_s: list[float] = field(default_factory=list)
    asked_every_s = 1.0

    def progress(self) -> Future[Counts]:
        return Future()

    def begin_at(self, monotonic_ns: int) -> Future[None]:
        self.told_s.append((monotonic_ns - crew.time.monotonic_ns()) / NS_PER_S)
        return Future()

    def outcome(self) -> Future[EngineRun]:
        return Future()


@pytest.mark.parametrize(
    ("takes_s", "lead_s", "least_s"), [(0.0, 0.0, 1.0), (0.0, 3.0, 3.0), (0.1, 0.0, 2.0), (9.0, 0.0, 5.0)]
)
def test_a_start_is_told_the_longer_before_the_longer_one_takes_to_answer(monkeypatch, takes_s, lead_s, least_s):
    """On the clock of the driver, which stands still but for the answers that are waited for."""
    clock_s = [100.0]

    def wait(asked: list[Future[Any]], timeout: float) -> None:
        clock_s[0] += min(timeout, takes_s)

    monkeypatch.setattr(crew, "wait", wait)

    def now_ns() -> int:
        return round(clock_s[0] * NS_PER_S)

    clock = SimpleNamespace(monotonic=lambda: clock_s[0], monotonic_ns=now_ns, time_ns=now_ns)
    monkeypatch.setattr(crew, "time", clock)
    monkeypatch.setattr(crew, "measure_offset", lambda *_: Offset(0, 1))
    generators: list[Any] = [Beginning(FACTS), Beginning(FACTS, lead_s=lead_s)]
    _Crew(SimpleNamespace(), generators, b"", None, None).begin()
    assert [one.told_s for one in generators] == [[pytest.approx(least_s)]] * 2


def test_a_cluster_that_is_gone_ends_the_run_and_none_of_its_generators_is_blamed():
    watch: Any = SimpleNamespace(
        plan=Plan(()), watch=lambda *_: None, enough=lambda _: False, compiled=None, record_paths=[]
    )
    generators: list[Any] = [Sending(FACTS), Sending(FACTS), Sending(FACTS)]
    crew = _Crew(watch, generators, b"", None, None)
    crew._outcomes = [Future(), Future(), Future()]
    crew._outcomes[0].set_result(None)
    for one in crew._outcomes[1:]:
        one.set_exception(ClusterLostError("the connection to the Ray cluster is lost", cause="Broken pipe"))
    crew.await_end()
    assert crew.stop_reason == "0.0 s into the run: the connection to the Ray cluster is lost: Broken pipe"
    assert sorted(crew._lost) == sorted(crew._gone) == [1, 2]
    assert [one.heard for one in generators] == [[1.0], [1.0], [1.0]], "all are told to stop"


@dataclass
class Asked(Known):
    """One that may be asked for its counts every `asked_every_s`, and answers at once if it `answers`."""

    asked_every_s: float = 0.5
    answers: bool = True
    asked: list[Future[Counts]] = field(default_factory=list)
    asked_at_s: list[float] = field(default_factory=list)

    def progress(self) -> Future[Counts]:
        self.asked.append(Future())
        self.asked_at_s.append(crew.time.monotonic())
        if self.answers:
            self.asked[-1].set_result(Counts(succeeded=len(self.asked)))
        return self.asked[-1]


def test_each_is_asked_for_its_counts_as_often_as_may_be_and_not_again_before_it_has_answered(monkeypatch):
    generators: list[Any] = [Asked(FACTS), Asked(FACTS, asked_every_s=1.0), Asked(FACTS, answers=False)]
    driver = _Crew(SimpleNamespace(), generators, b"", None, None)
    for eighths in range(21):
        now_s = 100 + eighths / 8
        monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=lambda at_s=now_s: at_s))
        if now_s == 101.75:
            generators[2].asked[0].set_result(Counts(succeeded=9))
        driver._ask_progress()
    assert generators[0].asked_at_s == [100.0, 100.5, 101.0, 101.5, 102.0, 102.5]
    assert generators[1].asked_at_s == [100.0, 101.0, 102.0]
    assert generators[2].asked_at_s == [100.0, 101.75]
    assert [one.succeeded for one in driver._counts] == [5, 3, 9]


class Hanging(Sending):
    """One that hears everything and answers nothing."""

    asked_every_s = 0.0


def _hanging(monkeypatch: pytest.MonkeyPatch) -> tuple[_Crew, list[int]]:
    """A crew of two, of whom the second hangs, and how often it was looked; no look takes any time."""
    looks: list[int] = []
    job: Any = SimpleNamespace(
        plan=Plan(()), watch=lambda *_: looks.append(1), enough=lambda _: False, compiled=None, record_paths=[]
    )
    monkeypatch.setattr(crew, "wait", lambda *_, **__: SimpleNamespace(not_done={1}))
    of_two = _Crew(job, [Sending(FACTS), Hanging(FACTS)], b"", None, None)
    of_two._outcomes = [Future(), Future()]
    of_two._outcomes[0].set_result(_told(1.0))
    return of_two, looks


def test_one_that_answers_nothing_any_more_is_lost(monkeypatch):
    of_two, looks = _hanging(monkeypatch)
    of_two.await_end()
    assert of_two._lost[1].endswith("it has answered nothing for 30 s")
    assert len(looks) == pytest.approx(300, abs=3), "ten looks a second"
    assert of_two.stop_reason.startswith("generator 2 of 2 (here) was lost")


@pytest.mark.parametrize(("interrupts", "within_s"), [(1, 5), (2, 1)])
def test_after_an_interruption_one_that_answers_nothing_is_waited_for_the_less(monkeypatch, interrupts, within_s):
    of_two, looks = _hanging(monkeypatch)
    of_two.hear(interrupts)
    of_two.await_end()
    assert of_two._lost[1].endswith(f"it has answered nothing for {within_s} s")
    assert (of_two.is_interrupted, of_two.stop_reason) == (True, None), "the loss is told, and did not end the run"
    assert len(looks) == pytest.approx(10 * within_s, abs=3)


def test_after_a_second_interruption_one_that_cannot_write_is_waited_for_a_bounded_time(monkeypatch):
    """It answers, and never tells what it has sent."""
    of_two, looks = _hanging(monkeypatch)
    monkeypatch.setattr(Hanging, "progress", lambda _: _answered(Counts()))
    clock = SimpleNamespace(monotonic=lambda: 0.1 * len(looks), monotonic_ns=lambda: 0)
    monkeypatch.setattr(crew, "time", clock)
    of_two.hear(2)
    of_two.await_end()
    assert of_two._lost[1].endswith("it did not say what it had sent")
    assert len(looks) == pytest.approx(50, abs=3)


def test_after_a_second_interruption_one_that_does_not_become_ready_is_waited_for_a_bounded_time(monkeypatch):
    of_two, _ = _hanging(monkeypatch)
    looks: list[int] = []
    monkeypatch.setattr(crew, "wait", lambda *_, **__: looks.append(1) or SimpleNamespace(not_done={1}))
    monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=lambda: 0.1 * len(looks)))
    monkeypatch.setattr(of_two, "_orders", lambda: [None, None])
    monkeypatch.setattr(of_two, "_job", SimpleNamespace(compiled=SimpleNamespace(tokenizer="")))
    monkeypatch.setattr(Sending, "arm", lambda *_: Future(), raising=False)
    of_two.hear(2)
    with pytest.raises(KeyboardInterrupt):
        of_two.arm()
    assert len(looks) == pytest.approx(50, abs=3)


def _answered(value: Any) -> Future[Any]:
    answer: Future[Any] = Future()
    answer.set_result(value)
    return answer


def _done(*done: int, after_s: float = 1.0) -> list[Counts]:
    return [Counts(elapsed_ns=round(after_s * NS_PER_S), succeeded=one - 1, failed=1) for one in done]


@pytest.mark.parametrize(
    ("interrupts", "stop_reason"), [(0, "0.0 s into the run: the Ray cluster is gone: Broken pipe"), (1, None)]
)
def test_a_loss_after_an_interruption_did_not_end_the_run(interrupts, stop_reason):
    job: Any = SimpleNamespace(plan=Plan(()), watch=lambda *_: None, enough=lambda _: False, compiled=None)
    of_two = _Crew(job, [Sending(FACTS), Sending(FACTS)], b"", None, None)
    of_two._outcomes = [Future(), Future()]
    for one in of_two._outcomes:
        one.set_exception(ClusterLostError("the Ray cluster is gone", cause="Broken pipe"))
    of_two.hear(interrupts)
    of_two.await_end()
    assert (of_two.is_interrupted, of_two.stop_reason, sorted(of_two._lost)) == (True, stop_reason, [0, 1])


def test_one_that_has_done_much_less_than_the_others_is_slow():
    assert Paces([1, 1, 1]).slow_one(_done(1000, 1000, 750)) == (2, "750 requests done in 1 s, where its part is 917")
    assert Paces([1, 1, 1]).slow_one(_done(1000, 1000, 900)) is None
    assert Paces([1, 1, 1]).slow_one(_done(100, 100, 0)) is None, "of so few nothing is said"
    assert Paces([1, 1, 1]).slow_one(_done(120, 120, 95)) is None, "nor of what chance does"
    assert Paces([1, 1]).slow_one([Counts(), Counts()]) is None


def test_one_that_becomes_slow_late_is_named_within_seconds():
    paces, found = Paces([1, 1]), {}
    for second in range(1, 121):
        counts = _done(1000 * second, 1000 * second - 400 * max(0, second - 100), after_s=second)
        found[second] = paces.slow_one(counts)
    assert next(second for second, slow in found.items() if slow) in range(101, 108)
    assert found[119] == (1, "5,400 requests done in 9 s, where its part is 7,200")


def test_one_that_has_fewer_users_is_slow_only_by_its_own_part():
    parts = Paces([2, 1])
    assert parts.slow_one(_done(14_000, 7_000, after_s=7.0)) is None
    assert parts.slow_one(_done(9_000, 7_000, after_s=7.0)) == (
        0,
        "9,000 requests done in 7 s, where its part is 10,667",
    )


@pytest.mark.parametrize(("users", "parts"), [((3,), [2, 1]), ((3, 2), [3, 2]), ((4,), [2, 2]), ((), [1, 1])])
def test_users_are_dealt_out_over_all_groups_and_arrivals_evenly(users, parts):
    scenario = Scenario((Step("predict", (Request("GET", "/"),)),))
    closed = Plan(tuple(Group(scenario, ClosedLoad(users=count, duration_s=1.0)) for count in users))
    assert parts_of(closed, 2) == parts
    load = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=1)
    assert parts_of(Plan((*closed.groups, Group(scenario, load))), 2) == [1, 1]


def test_who_told_its_counts_earlier_than_the_others_is_not_slow():
    assert Paces([1, 1]).slow_one([*_done(5000, after_s=5.0), *_done(4000, after_s=4.0)]) is None


def test_counts_of_several_are_their_sums():
    one = Counts(elapsed_ns=5, scheduled=4, succeeded=2, failed=1, in_flight=1, measured_succeeded=2)
    assert Counts.of_all([one, one], 9) == Counts(9, 8, 4, 2, 2, 4)


def test_where_one_lacked_descriptors_the_connections_of_all_are_told():
    one = GeneratorRun(records=Path("r"), scheduled=1, cpu_s=0.1, machine=IDLE)
    assert with_connections((one, one), _plan("10.0.0.1")) == (one, one)
    told = with_connections((replace(one, reduced_connections=20), one, one), _plan("10.0.0.1", 101))
    assert [generator.reduced_connections for generator in told] == [20, 34, 33]


def _told(ended_s: float) -> EngineRun:
    """What a generator tells of a run that ended then."""
    one = GeneratorRun(records=Path("r"), scheduled=1, cpu_s=0.1, machine=IDLE)
    ended_ns = round(ended_s * NS_PER_S)
    return EngineRun(
        generators=(one,),
        scheduling_ended_ns=ended_ns,
        ended_ns=ended_ns + 5,
        interrupted=True,
        stop_reason=None,
        examples={},
    )


@pytest.mark.parametrize(
    ("told_s", "lost_s", "ended_s"),
    [
        ([None, None], [2.5, 3.125], (3.125, 3.125)),
        ([None, None], [0.5, 9.0], (4.0, 9.0)),  # the load was to last for 4 s, and the rest is a wait for answers
        ([None, None], [0.0, 0.0], (0.0, 0.0)),
        ([2.0, None], [0.0, 3.0], (2.0, 2.0 + 5e-9)),
    ],
    ids=["while it was sent", "when all was sent", "before it began", "but one"],
)
def test_when_a_run_ended_is_told_by_those_who_are_there_or_else_by_when_the_last_was_lost(
    tmp_path, make_records, told_s, lost_s, ended_s
):
    load = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=3, warmup_s=1)
    plan = Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), load),))
    job: Any = SimpleNamespace(plan=plan, compiled=_plan("10.0.0.1"))
    parts = [
        Part(
            generator=Known(FACTS, records=make_records(3).path),
            outcome=None if told is None else _told(told),
            counts=Counts(),
            before=Offset(0, 1),
            after=None,
            lost="" if told else "it is gone",
            lost_ns=round(lost * NS_PER_S),
        )
        for told, lost in zip(told_s, lost_s, strict=True)
    ]
    machine: Any = SimpleNamespace(use=lambda: IDLE)
    run = joined(job, parts, machine, interrupted=True, stop_reason="lost")
    assert (run.scheduling_ended_ns, run.ended_ns) == tuple(round(seconds * NS_PER_S) for seconds in ended_s)


@pytest.mark.parametrize(
    ("told_s", "stops_s", "interrupted", "ended_s", "late_s"),
    [
        ([4.0, 4.3], 4.0, False, 4.0, [0.0, 0.3]),
        ([4.1, 4.3], 4.0, False, 4.1, [0.0, 0.2]),  # nobody heard in time
        ([3.0, 4.3, 4.0], 4.0, False, 4.0, [0.0, 0.3, 0.0]),  # one had sent all of its own before
        ([3.0, 4.0], None, False, 4.0, [0.0, 0.0]),  # nobody was stopped, and one had more to send
        ([3.0, 3.5], None, True, 3.0, [0.0, 0.5]),
    ],
    ids=["one heard late", "all heard late", "one had ended", "each ended by itself", "interrupted"],
)
def test_a_run_that_was_stopped_ends_with_the_first_who_stopped_and_who_went_on_is_told(
    tmp_path, make_records, told_s, stops_s, interrupted, ended_s, late_s
):
    load = ClosedLoad(users=4, duration_s=9.0)
    plan = Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), load),))
    job: Any = SimpleNamespace(plan=plan, compiled=_plan("10.0.0.1"))
    parts = [
        Part(
            generator=Known(FACTS, records=make_records(3).path),
            outcome=replace(_told(told), interrupted=interrupted),
            counts=Counts(),
            before=Offset(0, 1),
            after=None,
        )
        for told in told_s
    ]
    machine: Any = SimpleNamespace(use=lambda: IDLE)
    stops_ns = None if stops_s is None else round(stops_s * NS_PER_S)
    run = joined(job, parts, machine, interrupted=interrupted, stop_reason=None, stops_ns=stops_ns)
    assert run.scheduling_ended_ns == round(ended_s * NS_PER_S)
    assert [one.stopped_late_ns / NS_PER_S for one in run.generators] == pytest.approx(late_s, abs=1e-6)


def test_files_of_records_have_the_numbers_of_their_generators():
    job = SimpleNamespace(record_path=Path("records/latency-2.bin"), spread=Sharing(3))
    assert [path.name for path in Job.record_paths.fget(job)] == [
        "latency-2.bin",
        "latency-2.g2.bin",
        "latency-2.g3.bin",
    ]


@pytest.mark.parametrize("boot", [boot_id(), "other"], ids=["the driver's machine", "another"])
def test_each_is_held_back_by_the_quota_of_its_own_container(boot):
    load = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=3)
    job: Any = SimpleNamespace(plan=Plan((Group(Scenario(()), load),)), compiled=_plan("10.0.0.1"))
    parts = []
    for throttled_s in (None, 4.0):
        told = _told(4.0)
        (one,) = told.generators
        machine = replace(IDLE, throttled_s=throttled_s, throttled_times=40 if throttled_s else 0)
        outcome = replace(told, generators=(replace(one, machine=machine),))
        parts.append(Part(Known(replace(FACTS, boot=boot)), outcome, Counts(), Offset(0, 1), None))
    drivers: Any = SimpleNamespace(use=lambda: IDLE)
    run = joined(job, parts, drivers, interrupted=False, stop_reason=None)
    assert [one.machine.throttled_s for one in run.generators] == [None, 4.0]
    assert [one.machine.throttled_times for one in run.generators] == [0, 40]
    assert len({one.machine.own_cpu_s for one in run.generators}) == 1, "of the machine that of all counts"


def test_all_began_when_the_clock_of_the_driver_says(tmp_path):
    """Those of their machines may be set to anything."""
    load = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=3)
    job: Any = SimpleNamespace(plan=Plan((Group(Scenario(()), load),)), compiled=_plan("10.0.0.1"))
    rows, parts = np.zeros(3, dtype=row_dtype()), []
    rows["seq"] = range(3)
    for number, started_unix_ns in enumerate((1_700_000_000 * NS_PER_S, 1_600_000_000 * NS_PER_S, 0)):
        path = tmp_path / f"{number}.bin"
        write_records(path, [rows], steps=["prédire"], started_unix_ns=started_unix_ns, warmup_ns=5)
        write_gaps(path, {"predict": (HISTOGRAM,)}, started_unix_ns=started_unix_ns, length_ns=9)
        parts.append(Part(Known(FACTS, records=path), _told(4.0), Counts(), Offset(0, 1), None))
    drivers: Any = SimpleNamespace(use=lambda: IDLE)
    began_ns = 1_750_000_000 * NS_PER_S
    run = joined(job, parts, drivers, interrupted=False, stop_reason=None, began_unix_ns=began_ns)
    for one in run.generators:
        file = open_records(one.records)
        assert (file.started_unix_ns, file.warmup_ns, file["seq"].tolist()) == (began_ns, 5, [0, 1, 2])
        assert file.step_names == ("prédire",)
        log = gaps_path(one.records)
        assert "#[StartTime: 1750000000.000 (seconds since epoch)]" in log.read_text().splitlines()
        assert read_gaps(log) == {"predict": (HISTOGRAM,)}
