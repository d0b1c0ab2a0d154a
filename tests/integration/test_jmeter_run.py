"""How a run of JMeter ends, whoever ends it. JMeter is a stand-in that writes results, and stops when it is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import servemark
from servemark.engines import EngineRun, ProgressReport
from servemark.engines.jmeter.run import execute
from servemark.environments.jmeter import JMeterHome
from servemark.errors import RecordingError, SetupError
from servemark.machine.counters import MachineWatch
from servemark.records import open_records
from servemark.workload.address import Address
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step

from ..processes import await_end

pytestmark = pytest.mark.seconds

#: A "java": what it does after its start is in the environment, `samples` of 10 ms and how it minds being asked.
_FAKE = """#!{python}
import os, pathlib, socket, sys, time
pathlib.Path({pid_file!r}).write_text(str(os.getpid()))
word = next(w for w in sys.argv if w.startswith("-Jjmeterengine.nongui.port="))
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
control.bind(("127.0.0.1", int(word.split("=")[1])))
results = open(sys.argv[sys.argv.index("-l") + 1], "w", buffering=1)
log = open(sys.argv[sys.argv.index("-j") + 1], "w", buffering=1)
results.write("timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,Latency,Connect\\n")
def sample(code="200", success="true"):
    results.write(f"{{time.time_ns() // 1000000 - 10}},10,predict,{{code}},,group 1: 1 user 1-1,{{success}},9,0\\n")
{behaviour}
"""
_UNTIL_SHUTDOWN = """
control.settimeout(0.01)
while True:
    sample()
    try:
        if control.recv(100) == b"Shutdown": break
    except TimeoutError:
        pass
"""
_IGNORES_SHUTDOWN = """
sample()
while control.recv(100) != b"StopTestNow": pass
sample("Non HTTP response code: java.net.SocketException", "false")
time.sleep({after})
"""

Execute = Callable[..., EngineRun]


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def run_fake(tmp_path: Path, pid_file: Path) -> Execute:
    """``run_fake(behaviour, load, watch=...)``: runs the stand-in, and asserts that it is gone afterwards."""

    def run(
        behaviour: str,
        load: ClosedLoad,
        watch: Callable[[ProgressReport, str], str | None] = lambda _progress, _words: None,
    ) -> EngineRun:
        try:
            return execute(
                Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), load),)),
                {"inference": Address("127.0.0.1", "127.0.0.1", 1)},
                record_path=tmp_path / "records.bin",
                folder=tmp_path / "jmeter",
                timeout_s=5,
                connect_timeout_s=5,
                seed=0,
                watch=watch,
                machine=MachineWatch(lambda: None),
                home=_home(tmp_path, pid_file, behaviour),
            )
        finally:
            assert not psutil.pid_exists(int(pid_file.read_text()))

    return run


def _home(folder: Path, pid_file: Path, behaviour: str) -> JMeterHome:
    java = folder / "java"
    java.write_text(_FAKE.format(python=sys.executable, pid_file=str(pid_file), behaviour=behaviour))
    java.chmod(0o755)
    return JMeterHome(root=folder, java=java, versions={})


def _interrupting(times: int) -> Callable[[ProgressReport], str | None]:
    """A watch during whose first looks at a sample Ctrl-C is hit."""
    left = [times]

    def watch(progress: ProgressReport, _words: str) -> str | None:
        if progress.scheduled and left[0]:
            left[0] -= 1
            os.kill(os.getpid(), signal.SIGINT)
        return None

    return watch


def _kinds(folder: Path) -> list[str]:
    records = open_records(folder / "records.bin")
    return [records.error_kinds[kind] for kind in records.memmap()["kind"]]


def test_a_run_of_loops_ends_with_its_last_request(run_fake: Execute, tmp_path: Path) -> None:
    run = run_fake("for _ in range(3): sample(); time.sleep(0.02)", ClosedLoad(users=1, loops=3))
    assert (run.scheduled, run.interrupted, run.stop_reason) == (3, False, None)
    records = open_records(tmp_path / "records.bin")
    assert run.scheduling_ended_ns == records.span_ns()[1]


def test_its_cpu_time_is_that_from_its_first_request_on(run_fake: Execute, tmp_path: Path) -> None:
    burnt, go = tmp_path / "burnt", tmp_path / "go"
    behaviour = f"""
def burn(cpu_s):
    end_s = time.process_time() + cpu_s
    while time.process_time() < end_s: pass
burn(0.5)
pathlib.Path({str(burnt)!r}).touch()
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
sample()
burn(0.2)
sample()
"""
    looks = []

    def watch(_: ProgressReport, _words: str) -> None:
        looks.extend([1] if burnt.exists() else [])
        if len(looks) > 1:  # once it has been looked at with all of that behind it
            go.touch()

    run = run_fake(behaviour, ClosedLoad(users=1, loops=2), watch)
    assert 0.2 <= run.generator_cpu_s < 0.5


def test_an_adaptive_run_ends_when_enough_has_succeeded(run_fake: Execute) -> None:
    load = ClosedLoad(users=1, until=Until(successes=20, min_s=0.5, max_s=60))
    began_s = time.monotonic()
    run = run_fake(_UNTIL_SHUTDOWN, load)
    took_s = time.monotonic() - began_s
    assert run.scheduled >= 20
    assert (run.interrupted, run.stop_reason) == (False, None)
    assert 0.5 <= took_s < 60, "its least time passed, and not its longest"
    assert 0 < run.scheduling_ended_ns < took_s * 1e9, "the last that ended, when it was asked to end"


def test_ctrl_c_lets_what_is_in_flight_end(run_fake: Execute) -> None:
    began = time.monotonic()
    run = run_fake(_UNTIL_SHUTDOWN, ClosedLoad(users=1, duration_s=60), _interrupting(1))
    assert run.interrupted
    assert run.scheduled > 0
    assert time.monotonic() - began < 40


def test_what_is_still_in_flight_a_second_later_is_aborted(run_fake: Execute, tmp_path: Path) -> None:
    run = run_fake(_IGNORES_SHUTDOWN.format(after=0), ClosedLoad(users=1, loops=2), _interrupting(1))
    assert run.interrupted
    assert _kinds(tmp_path) == ["ok", "cancelled"]


@pytest.mark.parametrize("times", [1, 2])
def test_a_jmeter_that_does_not_end_is_killed(times: int, run_fake: Execute, tmp_path: Path) -> None:
    run = run_fake(_IGNORES_SHUTDOWN.format(after=600), ClosedLoad(users=1, duration_s=60), _interrupting(times))
    assert run.interrupted
    assert _kinds(tmp_path)[0] == "ok"


def test_the_watch_ends_a_run_with_its_reason(run_fake: Execute) -> None:
    run = run_fake(
        _UNTIL_SHUTDOWN, ClosedLoad(users=1, duration_s=60), lambda progress, _: "died" if progress.scheduled else None
    )
    assert run.interrupted
    assert run.stop_reason == "died"


def test_a_jmeter_that_ends_early_is_said_with_its_log(run_fake: Execute) -> None:
    behaviour = 'sample(); log.write("2026 ERROR o.a.j.X: out of memory\\\\n"); sys.exit(1)'
    run = run_fake(behaviour.replace("\\\\n", "\\n"), ClosedLoad(users=1, loops=2))
    assert run.interrupted
    assert run.stop_reason == "JMeter ended early: 2026 ERROR o.a.j.X: out of memory"


def test_a_jmeter_that_sends_nothing_is_an_error_with_its_log(run_fake: Execute) -> None:
    with pytest.raises(SetupError, match="JMeter sent nothing") as failed:
        run_fake('log.write("2026 ERROR o.a.j.X: no such class\\n")', ClosedLoad(users=1, loops=2))
    assert "no such class" in failed.value.detail


def test_results_of_an_earlier_run_are_not_added_to(run_fake: Execute) -> None:
    load = ClosedLoad(users=1, loops=1)
    assert [run_fake("sample()", load).scheduled for _ in range(2)] == [1, 1]


def test_records_that_cannot_be_written_are_said(run_fake: Execute, tmp_path: Path) -> None:
    (tmp_path / "records.bin").mkdir()
    with pytest.raises(RecordingError, match="cannot write records"):
        run_fake("sample()", ClosedLoad(users=1, loops=1))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_jmeter_does_not_outlive_a_servemark_that_is_killed(tmp_path: Path, pid_file: Path) -> None:
    _home(tmp_path, pid_file, _UNTIL_SHUTDOWN)
    script = f"""
import pathlib
from servemark.engines.jmeter.run import execute
from servemark.environments.jmeter import JMeterHome
from servemark.machine.counters import MachineWatch
from servemark.workload.load import ClosedLoad
from servemark.workload.address import Address
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Request, Scenario, Step
folder = pathlib.Path({str(tmp_path)!r})
plan = Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), ClosedLoad(users=1, duration_s=60)),))
execute(plan, {{"inference": Address("127.0.0.1", "127.0.0.1", 1)}}, record_path=folder / "r.bin", folder=folder / "j",
        timeout_s=5, connect_timeout_s=5, seed=0, watch=lambda _progress, _words: None,
        machine=MachineWatch(lambda: None), home=JMeterHome(folder, folder / "java", {{}}))
"""
    environ = {**os.environ, "PYTHONPATH": str(Path(servemark.__path__[0]).parent)}
    with subprocess.Popen([sys.executable, "-c", script], env=environ) as parent:
        deadline = time.monotonic() + 20
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    await_end(int(pid_file.read_text()))
