"""Everything that a plan can say, done by a real Apache JMeter as by the native engine, against one server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from jmeter_runs import Ran, find_home, run_jmeter, run_native
from jmeter_server import Came, timed_server

from servemark.engines import ProgressReport
from servemark.engines.jmeter.plan import PLAN, write_plan
from servemark.environments.jmeter import JMeterHome
from servemark.servers.mms.archives import ModelArchive
from servemark.servers.mms.managed import ManagedServer
from servemark.servers.mms.management import ManagementClient
from servemark.workload.address import Address
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import SEQ_MARK, USER_MARK, RepeatUntil, Request, Scenario, Step

from ..short_java import short_lived_java
from ..validity import TOO_BUSY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> JMeterHome:
    found = find_home()
    return replace(found, java=short_lived_java(found.java, tmp_path_factory.mktemp("java")))


JSON = (("Content-Type", "application/json"),)
ONCE = ClosedLoad(users=1, loops=1)
#: Of a run of 3 s by the clock: so many requests tell what is asked, and a JMeter that did not start slowly sends more.
TRIES, ENOUGH = 3, 100


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


def _manage(name: str, method: str, path: str, expect: int | None = 200, until: RepeatUntil | None = None) -> Step:
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
        _manage("read_up", "GET", "/models/noop", until=RepeatUntil(b'"READY"', 4, interval_s=0.03)),
        _manage("scale_down", "PUT", "/models/noop?min_worker=1&synchronous=true"),
        _manage("read_down", "GET", "/models/noop", until=RepeatUntil(b'"READY"', 1, interval_s=0)),
    )
    mix = tuple(map(_predict, ("resnet-18", "squeezenet", "lstm")))
    stuck = Step(
        "stuck", (Request("GET", "/$"),), until=RepeatUntil(b"a '${never}\\'\xff\n", 1, interval_s=0.01, limit_s=0.001)
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
    for user in range(17, 20):
        own = [np.sort(ran.rows[ran.rows["user"] == user], order="scheduled") for ran in (native, jmeter)]
        assert own[0]["step"].tolist() == own[1]["step"].tolist(), "the same user performs the same of the mix"
    _assert_registrations(jmeter)
    _assert_scaling(jmeter)
    _assert_background(jmeter)
    for step, examples in native.run.examples.items():
        assert {(e.kind, e.body) for e in jmeter.run.examples[step]} == {(e.kind, e.body) for e in examples}
    for steps in (range(16, 20), range(20, 23)):  # Not the registrations: each is what a JVM that just started does.
        # A busy machine may make JMeter later, but nothing counts the server's 20 ms twice.
        assert native.median_ms_of(steps) - 1 <= jmeter.median_ms_of(steps)
        own = jmeter.rows[np.isin(jmeter.rows["step"], list(steps)) & (jmeter.rows["kind"] == 0)]
        assert (own["end"] - own["sent"]).min() / 1e6 < 2 * native.median_ms_of(steps)


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
    assert np.median(pauses[~(repeats & up)]) < 29_000_000
    (example,) = ran.run.examples[16]
    assert (example.kind, example.message, example.body) == ("unexpected_status:210", "status 210, not 200", "partial")


def _assert_background(ran: Ran) -> None:
    """It goes on from the start to the last answer of the others, and what was in flight then is recorded.

    When the others' last user tells the background, JMeter does not tell us: either may not run before.
    """
    background = ran.rows["group"] == 20
    rows, others = ran.rows[background], ran.rows[~background]
    assert len(rows) > 5
    assert rows["scheduled"].min() < others["end"].min() + 1_000_000_000
    assert abs(int(rows["end"].max() - others["end"].max())) < 1_500_000_000
    assert set(rows["kind"].tolist()) == {0}


def test_time_ends_a_mix_and_its_background(home: JMeterHome, tmp_path: Path) -> None:
    """The mix has a pool, a step that is repeated with a number each time, and two steps of one name."""
    text = (("Content-Type", "text/plain"),)
    ask = Step(
        "ask", (Request("POST", "/ask", text, SEQ_MARK.encode(), numbered=True),), until=RepeatUntil(b"third", 1, 0.005)
    )
    pool = Step("predict", tuple(Request("GET", f"/predict/{n}") for n in range(3)))
    other = Step("predict", (Request("GET", "/other"),))
    mix = Group(Scenario((ask, pool, other), weights=(1, 2, 2)), ClosedLoad(users=2, duration_s=3, think_s=0.01))
    background = Group(Scenario((_predict("background"),)), ClosedLoad(users=1, loops=1), background=True)
    asked: dict[int, int] = Counter()

    def say(came: Came) -> tuple[int, bytes]:
        asked[came.connection] += came.path == "/ask"
        return 200, b"third" if asked[came.connection] % 3 == 0 else b"not yet"

    for number in range(TRIES):  # Where JMeter starts slowly its time is over before it has sent much.
        folder = tmp_path / str(number)
        folder.mkdir()
        asked.clear()
        with timed_server(say=say) as server:
            ran = run_jmeter(home, Plan((mix, background)), server.address, folder)
            assert len(server.came) == len(ran.rows)
            paths = Counter(came.path for came in server.came)
            numbers = [came.body for came in server.came if came.path == "/ask"]
        if paths.total() > ENOUGH:
            break
    else:
        pytest.skip(TOO_BUSY)
    assert ran.kinds == {"ok": len(ran.rows)}
    assert not ran.run.interrupted
    steps = Counter(ran.rows["step"].tolist())
    inputs = Counter(ran.rows["input"][ran.rows["step"] == 1].tolist())
    assert [inputs[n] for n in range(3)] == [paths[f"/predict/{n}"] for n in range(3)]
    assert (steps[0], steps[1], steps[2]) == (paths["/ask"], inputs.total(), paths["/other"])
    assert len(set(numbers)) == len(numbers) > 6
    loops = steps[0] / 3 + steps[1] + steps[2]
    assert [steps[0] / 3 / loops, steps[1] / loops] == pytest.approx([0.2, 0.4], abs=0.15)
    assert 1.5e9 < ran.run.scheduling_ended_ns <= 3e9
    background_ns = np.sort(ran.rows["scheduled"][ran.rows["step"] == 3])
    assert background_ns[-1] > 1.5e9
    # JMeter looks at its clock before each request. That it looked in time of the last one nothing tells.
    assert background_ns[-2] <= background_ns[0] + 3e9


def test_ctrl_c_ends_what_would_be_repeated_and_the_background(home: JMeterHome, tmp_path: Path) -> None:
    ask = Step("ask", (Request("GET", "/"),), until=RepeatUntil(b"never", 1, interval_s=0.01))
    background = Group(Scenario((_predict("background"),)), ClosedLoad(users=1, loops=1), background=True)
    hit: list[float] = []

    def watch(progress: ProgressReport, _words: str) -> None:
        if progress.succeeded >= 20 and not hit:
            hit.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    with timed_server() as server:
        plan = Plan((Group(Scenario((ask,)), ONCE), background))
        ran = run_jmeter(home, plan, server.address, tmp_path, watch=watch)
        assert time.monotonic() - hit[0] < 40
        assert len(server.came) == len(ran.rows)
    assert ran.run.interrupted
    assert ran.kinds == {"ok": len(ran.rows)}
    assert set(ran.rows["step"].tolist()) == {0, 1}


def test_management_and_a_background_on_a_real_server(
    home: JMeterHome, server: ManagedServer, management: ManagementClient, obedient: ModelArchive, tmp_path: Path
) -> None:
    """On a real MMS models are registered at once, and one is scaled while predictions go on."""
    url = server.put_in_store(obedient.archive)
    management.register(url, model_name="scaled", initial_workers=1)
    registers = [
        _manage("register", "POST", f"/models?url={url}&model_name=new-{n}&initial_workers=1&synchronous=true")
        for n in range(4)
    ]
    scales = [
        _manage("scale_up", "PUT", "/models/scaled?min_worker=3&max_worker=3&synchronous=true"),
        _manage("read_up", "GET", "/models/scaled", until=RepeatUntil(b'"READY"', 3)),
        _manage("scale_down", "PUT", "/models/scaled?min_worker=1&max_worker=1&synchronous=true"),
        _manage("read_down", "GET", "/models/scaled", until=RepeatUntil(b'"status": "READY"', 1)),
        _manage("remove", "DELETE", "/models/nobody", expect=404),
    ]
    predict = Step("predict", (Request("POST", "/predictions/scaled", (("Content-Type", "text/plain"),), b"work"),))
    groups = [Group(Scenario((step,)), ONCE) for step in registers]
    groups.append(Group(Scenario(tuple(scales)), ClosedLoad(users=1, loops=2)))
    groups.append(Group(Scenario((predict,)), ClosedLoad(users=1, loops=1, think_s=0.01), background=True))
    ran = run_jmeter(home, Plan(tuple(groups)), server.addresses, tmp_path)
    assert {kind for _, kind, _ in ran.outcomes(range(9))} == {"ok"}, ran.run.examples
    assert Counter(ran.rows["step"][ran.rows["step"] < 4].tolist()) == dict.fromkeys(range(4), 1)
    assert {model.name for model in management.list_models()} == {"scaled", *(f"new-{n}" for n in range(4))}
    assert management.describe("scaled").ready_workers == 1
    assert ran.outcomes(range(4, 9))[8, "ok", 404] == 2
    predictions = ran.outcomes(range(9, 10))
    # MMS answers a prediction whose worker is scaled down meanwhile with 500, "Worker died".
    assert set(predictions) <= {(9, "ok", 200), (9, "http_status", 500)}, ran.run.examples
    assert predictions[9, "ok", 200] > 0
    # How many there are is the server's speed; that they were made meanwhile is the plan's.
    predicted, scaled = (ran.rows[np.isin(ran.rows["step"], list(steps))] for steps in ([9], range(4, 9)))
    assert predicted["sent"].min() < scaled["end"].max()
    assert predicted["end"].max() > scaled["sent"].min()


def test_a_plan_opens_in_the_gui(home: JMeterHome, tmp_path: Path) -> None:
    """Each panel of JMeter's GUI takes its element and gives it back unchanged."""
    where = {name: Address("localhost", "127.0.0.1", 8080) for name in ("inference", "management")}
    pool = Step(
        "pool", (Request("GET", "/a"), Request("POST", f"/{USER_MARK}", JSON, SEQ_MARK.encode(), numbered=True))
    )
    more = (Group(Scenario((pool,)), ClosedLoad(users=2, duration_s=5)),)
    written = write_plan(
        Plan((*_all_of_it().groups, *more)), where, tmp_path, timeout_s=10, connect_timeout_s=5, seed=1
    )
    script = tmp_path / "open.groovy"
    script.write_text(_OPEN, encoding="utf-8")
    jars = [str(home.root / "lib" / "*"), str(home.root / "lib" / "ext" / "*"), str(home.launcher)]
    settings = ["-Djava.awt.headless=true", f"-Djava.util.prefs.userRoot={tmp_path}", "-cp", os.pathsep.join(jars)]
    opened = subprocess.run(
        [home.java, *settings, "groovy.ui.GroovyMain", script, home.root, tmp_path / PLAN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    said = [line for line in opened.stdout.splitlines() if line.startswith(("changed", "panels"))]
    elements = ET.parse(written.path).iter()
    panels = {(e.get("guiclass"), e.tag) for e in elements if e.get("testclass") == e.tag}
    assert len(panels) > 12
    assert said == [f"panels {len(panels)}"], opened.stdout + opened.stderr


#: Opens a plan as the GUI does. A panel leaves out what is off, and the names of a list's items.
_OPEN = """
import org.apache.jmeter.save.SaveService
import org.apache.jmeter.testelement.TestElement
import org.apache.jmeter.util.JMeterUtils

JMeterUtils.setJMeterHome(args[0])
JMeterUtils.loadJMeterProperties(args[0] + '/bin/jmeter.properties')
JMeterUtils.initLocale()
SaveService.loadProperties()
panels = [:]

void open(tree) {
    tree.list().each { element ->
        String gui = element.getPropertyAsString(TestElement.GUI_CLASS)
        String of = element.getPropertyAsString(TestElement.TEST_CLASS)
        def panel = panels.computeIfAbsent(gui + of) {
            gui.endsWith('TestBeanGUI') ? Class.forName(gui).getConstructor(Class).newInstance(Class.forName(of))
                : Class.forName(gui).getDeclaredConstructor().newInstance()
        }
        panel.configure(element)
        def again = panel.createTestElement()
        panel.modifyTestElement(again)
        element.propertyIterator().each { one ->
            String before = one.stringValue, after = again.getPropertyAsString(one.name)
            boolean same = before == after || (before == 'false' && after == '') || one.name == TestElement.ENABLED
            if (!same && !(one.objectValue instanceof TestElement)) println "changed $of ${one.name}: $before -> $after"
        }
        open(tree.getTree(element))
    }
}

open(SaveService.loadTree(new File(args[1])))
println "panels ${panels.size()}"
System.exit(0)
"""
