"""Pacing: real-time priority and CPUs that are kept awake, had where they can be, told, and gone with the run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from loadgen_servers import OK, Ran, answering, finish, plan_for, run_plan, serving
from test_loadgen_open_loop import arriving

from servemark import _loadgen
from servemark.workload.engine_plan import EnginePlan, Switch

from ..processes import await_end, command_line

pytestmark = pytest.mark.seconds

_MAY = subprocess.run(
    [sys.executable, "-c", "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"], capture_output=True
)
PERMITTED = _MAY.returncode == 0


def _plan(port: int, realtime: Switch = "auto", *, keep_awake: Switch = "off", count: int = 20) -> EnginePlan:
    plan = plan_for(port, arrivals=arriving(100, count=count), threads=2)
    return replace(plan, realtime=realtime, keep_awake=keep_awake)


def _ran(path: Path, realtime: Switch) -> Ran:
    with serving(answering(OK)) as server:
        return run_plan(_plan(server.port, realtime), path)


def test_realtime_priority_is_had_where_it_is_permitted(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        run = _loadgen.start(_plan(server.port, count=10_000), str(tmp_path / "r"))
        while run.progress().succeeded < 5:
            assert not run.wait(0.005)
        policies = {}
        for thread in psutil.Process().threads():
            with contextlib.suppress(OSError):  # it has ended
                name = Path(f"/proc/self/task/{thread.id}/comm").read_text().strip()
                policy = os.sched_getscheduler(thread.id) & ~os.SCHED_RESET_ON_FORK
                policies.setdefault(name.partition("-")[0], set()).add(policy)
        run.stop_at(0)
        ran = finish(run, tmp_path / "r")
    # A thread of a machine that is busy enough may have given it up since.
    if PERMITTED:
        assert ran.outcome.realtime.startswith(("rr 1", "dropped after "))
        if ran.outcome.realtime == "rr 1":
            assert policies.pop("generator") == {os.SCHED_RR}
    else:
        assert ran.outcome.realtime.startswith("refused: ")
    assert set.union(*(found for name, found in policies.items() if name != "generator")) == {os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_realtime_priority_is_not_asked_for_in_a_closed_loop_or_when_it_is_off(tmp_path: Path) -> None:
    assert _ran(tmp_path / "off", "off").outcome.realtime == ""
    with serving(answering(OK)) as server:
        assert run_plan(plan_for(server.port, loops=5), tmp_path / "closed").outcome.realtime == ""


def test_a_busy_thread_gives_realtime_priority_up(tmp_path: Path) -> None:
    if not PERMITTED:
        pytest.skip("real-time priority is not permitted here")
    # Responses of 32 users are more than enough work for one thread.
    with serving(answering(OK)) as server:
        plan = replace(plan_for(server.port, arrivals=arriving(40_000), duration_s=0.5), realtime="on")
        ran = run_plan(plan, tmp_path / "r")
    assert ran.outcome.realtime.startswith("dropped after 0.")


_WITHOUT_RIGHTS = """
import json, pathlib, sys
sys.path += [sys.argv[1], sys.argv[1] + "/../.."]
from tests.integration.test_loadgen_pacing import _loadgen, _ran
folder = pathlib.Path(sys.argv[2])
said = [_ran(folder / "auto", "auto").outcome.realtime]
try:
    _ran(folder / "on", "on")
except _loadgen.RealtimeError as error:
    said.append(str(error))
print(json.dumps([*said, (folder / "on").exists()]))
"""


def test_without_rights_auto_goes_without_and_on_does_not_start(tmp_path: Path) -> None:
    without = ("setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice")
    if os.geteuid() == 0 and subprocess.run([*without, "true"], capture_output=True).returncode:
        pytest.skip("unshare and setpriv do not work here")
    done = subprocess.run(
        [
            *(without if os.geteuid() == 0 else ()),
            *(sys.executable, "-c", _WITHOUT_RIGHTS, str(Path(__file__).parent), str(tmp_path)),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    auto, on, exists = json.loads(done.stdout)
    assert auto.startswith("refused: Operation not permitted")
    assert on.startswith("real-time priority is refused: Operation not permitted")
    assert not exists


def _spinners(of: psutil.Process) -> list[psutil.Process]:
    return [child for child in of.children() if "spin_until_eof" in command_line(child)]


def _await_end_of(spinner: psutil.Process) -> None:
    """Of its priority a process gets the time that its end takes when nobody else wants any: maybe not for long."""
    await_end(spinner.pid, within_s=90)


def test_cpus_are_kept_awake_during_the_run_and_not_longer(tmp_path: Path) -> None:
    cpus = os.sched_getaffinity(0)
    with serving(answering(OK)) as server:
        run = _loadgen.start(_plan(server.port, keep_awake="on", count=10_000), str(tmp_path / "r"))
        (spinner,) = _spinners(psutil.Process())
        threads = [thread.id for thread in spinner.threads() if thread.id != spinner.pid]
        assert {os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads} == {os.SCHED_IDLE}
        assert sorted(tuple(os.sched_getaffinity(thread)) for thread in threads) == sorted((cpu,) for cpu in cpus)
        assert os.getsid(spinner.pid) == spinner.pid
        autogroup = Path(f"/proc/{spinner.pid}/autogroup")
        if autogroup.exists():
            assert "nice 19" in autogroup.read_text()
        assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {19}
        run.stop_at(0)
        ran = finish(run, tmp_path / "r")
    _await_end_of(spinner)
    assert ran.outcome.keep_awake == f"{len(cpus)} CPU{'s' * (len(cpus) > 1)}"
    assert ran.outcome.spun_cpu_ns > 0
    assert set(ran.kinds) == {"ok"}


def test_a_run_that_is_stopped_or_dropped_lets_them_sleep(tmp_path: Path) -> None:
    with serving(answering(OK)) as server:
        plan = _plan(server.port, keep_awake="on", count=5000)
        run = _loadgen.start(plan, str(tmp_path / "stopped"))
        (spinner,) = _spinners(psutil.Process())
        run.stop(0.0)
        assert run.finish().interrupted
        _await_end_of(spinner)
        run = _loadgen.start(plan, str(tmp_path / "dropped"))
        (spinner,) = _spinners(psutil.Process())
        del run
        _await_end_of(spinner)


@contextlib.contextmanager
def _all_cpus_busy() -> Iterator[None]:
    with contextlib.ExitStack() as hogs:
        for _ in os.sched_getaffinity(0):
            hog = hogs.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            hogs.callback(hog.kill)
        yield


def test_they_are_let_sleep_once_the_machine_is_busy_by_itself_where_that_is_asked(tmp_path: Path) -> None:
    with serving(answering(OK)) as server, _all_cpus_busy():
        plan = _plan(server.port, keep_awake="auto", count=100_000)
        run = _loadgen.start(plan, str(tmp_path / "r"))
        for spinner in _spinners(psutil.Process()):
            _await_end_of(spinner)
        run.stop(0.0)
        found = run.finish().keep_awake
    assert re.fullmatch(r"\d+ CPUs? until \d+\.\d s, when the machine was busy by itself", found)


_LONG_RUN = """
import pathlib, sys
sys.path += [sys.argv[1], sys.argv[1] + "/../.."]
from tests.integration.test_loadgen_pacing import OK, _loadgen, _plan, answering, serving
with serving(answering(OK)) as server:
    run = _loadgen.start(_plan(server.port, keep_awake="on", count=100_000), sys.argv[2])
    print("started", flush=True)
    run.wait(60)
"""


def test_they_sleep_when_the_generator_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LONG_RUN, str(Path(__file__).parent), str(tmp_path / "r")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as generator:
        assert generator.stdout is not None
        assert generator.stdout.readline() == b"started\n"
        (spinner,) = _spinners(psutil.Process(generator.pid))
        generator.send_signal(signal.SIGKILL)
    _await_end_of(spinner)


def test_what_cannot_be_kept_awake_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with serving(answering(OK)) as server:
        ran = run_plan(_plan(server.port, keep_awake="on"), tmp_path / "r")
    assert ran.outcome.keep_awake.startswith("refused: No such file")
    assert ran.outcome.spun_cpu_ns == 0
    assert set(ran.kinds) == {"ok"}


def test_how_late_a_thread_is_woken_is_measured() -> None:
    started = time.monotonic()
    p50_ns, p99_ns = _loadgen.wake_up_lag()
    assert 0 < p50_ns <= p99_ns
    assert time.monotonic() - started >= 0.1
