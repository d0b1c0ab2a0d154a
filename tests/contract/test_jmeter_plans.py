"""Everything that a plan can say, done by a real Apache JMeter as by the native engine, against one server."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from jmeter_runs import Ran, find_home, run_jmeter, run_native
from jmeter_server import Came, timed_server

from servemark.environments.jmeter import JMeterHome
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step, Until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home() -> JMeterHome:
    return find_home()


JSON = (("Content-Type", "application/json"),)
ONCE = ClosedLoad(users=1, loops=1)


class Models:
    """A server's management: models are registered once, and grow or shrink by one worker each time one looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registered: set[str] = {"noop-3", "old"}
        self._workers = self._wanted = 1
        self._calls = 0

    def __call__(self, came: Came) -> tuple[int, bytes]:
        with self._lock:
            path, _, query = came.path.partition("?")
            return getattr(self, f"_{came.method.lower()}")(
                path, dict(part.split("=") for part in query.split("&") if part)
            )

    def _post(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        name = query["model_name"]
        if name in self._registered:
            return 409, f"{name} is there".encode()
        self._registered.add(name)
        return 200, b"registered"

    def _put(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        self._wanted = int(query["min_worker"])
        self._calls += 1
        return (210, b"partial") if self._calls == 3 else (200, b"scaled")

    def _get(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        self._workers += (self._wanted > self._workers) - (self._wanted < self._workers)
        return 200, b'[{"status": "READY"}]' * self._workers

    def _delete(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        name = path.rpartition("/")[2]
        if name not in self._registered:
            return 404, f"no {name}".encode()
        self._registered.remove(name)
        return 200, b"removed"


def _manage(name: str, method: str, path: str, expect: int | None = 200, until: Until | None = None) -> Step:
    return Step(name, (Request(method, path),), "management", expect, until)


def _predict(name: str) -> Step:
    return Step(f"predict {name}", (Request("POST", f"/predictions/{name}", JSON, f'{{"to": "{name}"}}'.encode()),))


def _all_of_it() -> Plan:
    """Groups 0 to 15 register at once; 16 scales; 17 mixes three models; 18 asks in vain; 19 removes; 20 goes on."""
    registers = [
        Group(
            Scenario((_manage("register", "POST", f"/models?url=noop.mar&model_name=noop-{n}&synchronous=true"),)), ONCE
        )
        for n in range(16)
    ]
    scales = (
        _manage("scale_up", "PUT", "/models/noop?min_worker=4&synchronous=true"),
        _manage("read_up", "GET", "/models/noop", until=Until(b'"READY"', 4, interval_s=0.03)),
        _manage("scale_down", "PUT", "/models/noop?min_worker=1&synchronous=true"),
        _manage("read_down", "GET", "/models/noop", until=Until(b'"READY"', 1, interval_s=0)),
    )
    mix = tuple(map(_predict, ("resnet-18", "squeezenet", "lstm")))
    stuck = Step(
        "stuck", (Request("GET", "/$"),), until=Until(b"a '${never}\\'\xff\n", 1, interval_s=0.01, limit_s=0.001)
    )
    removed = (_manage("remove", "DELETE", "/models/old", None), _manage("remove", "DELETE", "/models/nobody", 404))
    removed += (_manage("remove", "DELETE", "/models/nobody", None),)
    return Plan(
        (
            *registers,
            Group(Scenario(scales), ClosedLoad(users=1, loops=3)),
            Group(Scenario(mix, weights=(3, 2, 1)), ClosedLoad(users=3, loops=50, think_s=0.005)),
            Group(Scenario((stuck, _predict("after"))), ClosedLoad(users=2, loops=2)),
            Group(Scenario(removed), ONCE),
            Group(Scenario((_predict("background"),)), ClosedLoad(users=2, loops=1, think_s=0.01), background=True),
        )
    )


def test_all_that_a_plan_can_say_is_done_alike(home: JMeterHome, tmp_path: Path) -> None:
    plan = _all_of_it()
    ran: dict[str, Ran] = {}
    came: dict[str, Counter[tuple[str, str, bytes]]] = {}
    for engine in ("native", "jmeter"):
        with timed_server() as inference, timed_server(say=Models()) as management:
            where = {"inference": inference.address, "management": management.address}
            if engine == "native":
                ran[engine] = run_native(plan, where, tmp_path, seed=5)
            else:
                ran[engine] = run_jmeter(home, plan, where, tmp_path, seed=5)
            requests = Counter((one.method, one.path, one.body) for one in (*inference.came, *management.came))
            assert requests.total() == len(ran[engine].rows), "each request has a record"
            came[engine] = Counter({one: times for one, times in requests.items() if "background" not in one[1]})
    native, jmeter = ran["native"], ran["jmeter"]
    assert jmeter.file.step_names == native.file.step_names
    exact = range(len(jmeter.file.step_names) - 1)
    assert jmeter.outcomes(exact) == native.outcomes(exact)
    assert came["jmeter"] == came["native"]
    assert not jmeter.run.interrupted
    _assert_registrations(jmeter)
    _assert_scaling(jmeter)
    _assert_background(jmeter)
    for step, examples in native.run.examples.items():
        assert {(e.kind, e.body) for e in jmeter.run.examples[step]} == {(e.kind, e.body) for e in examples}
    for steps in (range(16, 20), range(20, 23)):  # Not the registrations: each is what a JVM that just started does.
        assert jmeter.median_ms_of(steps) == pytest.approx(native.median_ms_of(steps), rel=0.2)


def _assert_registrations(ran: Ran) -> None:
    """Each group's sample is its own step's, and so are the failure and its example."""
    rows = ran.rows[ran.rows["step"] < 16]
    assert rows["group"].tolist() == rows["user"].tolist() == rows["step"].tolist()
    failed = rows[rows["kind"] != 0]
    assert failed["step"].tolist() == [3]
    assert ran.run.examples[3][0].body == "noop-3 is there"


def _assert_scaling(ran: Ran) -> None:
    """Three looks each way a loop, 30 ms or nothing between them, and one status that is not the expected one."""
    rows = np.sort(ran.rows[ran.rows["group"] == 16], order="scheduled")
    assert rows["step"].tolist() == [16, 17, 17, 17, 18, 19, 19, 19] * 3
    pauses = rows["scheduled"][1:] - rows["end"][:-1]
    repeats = rows["step"][1:] == rows["step"][:-1]
    up = rows["step"][1:] == 17
    assert (pauses[repeats & up] >= 29_000_000).all()
    assert np.median(pauses[~(repeats & up)]) < 10_000_000
    (example,) = ran.run.examples[16]
    assert (example.kind, example.message, example.body) == ("unexpected_status:210", "status 210, not 200", "partial")


def _assert_background(ran: Ran) -> None:
    """It goes on from the start to the last answer of the others, and what was in flight then is recorded."""
    background = ran.rows["group"] == 20
    rows, others = ran.rows[background], ran.rows[~background]
    assert len(rows) > 20
    assert rows["scheduled"].min() < others["end"].min() + 1_000_000_000
    assert others["end"].max() - 100_000_000 < rows["end"].max()
    assert rows["scheduled"].max() <= others["end"].max() + 50_000_000
    assert set(rows["kind"].tolist()) == {0}
