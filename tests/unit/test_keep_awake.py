"""Whether a run keeps the CPUs awake, on machines, groups and servers of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from servemark import _loadgen
from servemark.engines import Job
from servemark.engines.native.awake import NOT_NEEDED, awake_or_not
from servemark.machine import cgroups
from servemark.workload.address import Address
from servemark.workload.compiling import compile_plan
from servemark.workload.engine_plan import Switch
from servemark.workload.load import Arrivals, ClosedLoad, Load, OpenLoad, RateSegment
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import ApiName, Request, Scenario, Step

OPEN = OpenLoad(Arrivals(profile=(RateSegment(10, 10),)), duration_s=1)
CLOSED = ClosedLoad(users=1, loops=1)
LOADS = (OPEN, CLOSED)
WISHES: tuple[Switch, ...] = ("auto", "on", "off")


def _job(wish: Switch, load: Load, ip: str = "127.0.0.1", pid: int | None = 7) -> Job:
    """A run with a server at `ip`, led by process `pid`."""
    plan = Plan((Group(Scenario((Step("predict", (Request("GET", "/"),)),)), load),))
    addresses: dict[ApiName, Address] = {"inference": Address("x", ip, 80)}
    return Job(
        plan=plan,
        compiled=compile_plan(plan, addresses, timeout_s=1, connect_timeout_s=1, seed=0, keep_awake=wish),
        addresses=addresses,
        record_path=Path(),
        folder=Path(),
        server_pid=pid,
        server_cpu_s=lambda: None,
        watch=lambda _progress, _words: None,
    )


def _is_kept(job: Job, root: Path) -> bool:
    """Whether that run keeps the CPUs awake, on a machine whose files are below `root`."""
    return awake_or_not(job.compiled, job.server_pid, root)[0].keep_awake != "off"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs that take their time to wake up."""
    monkeypatch.setattr(_loadgen, "wake_up_lag", lambda: (50_000, 2_000_000))


def test_what_is_wished_is_done(tmp_path: Path) -> None:
    assert _is_kept(_job("on", CLOSED), tmp_path)
    assert not _is_kept(_job("off", OPEN), tmp_path)


@pytest.mark.parametrize(("p99_ns", "expected"), [(90_000, False), (110_000, True)])
def test_auto_asks_how_late_a_thread_is_woken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, p99_ns: int, expected: bool
) -> None:
    monkeypatch.setattr(_loadgen, "wake_up_lag", lambda: (5_000, p99_ns))
    assert _is_kept(_job("auto", OPEN), tmp_path) is expected
    assert not _is_kept(_job("auto", CLOSED), tmp_path)


def test_of_cpus_that_wake_in_time_it_is_told_that_they_needed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loadgen, "wake_up_lag", lambda: (5_000, 90_000))
    told = {(wish, load): awake_or_not(_job(wish, load).compiled, 7, tmp_path)[1] for wish in WISHES for load in LOADS}
    assert [asked for asked, words in told.items() if words] == [("auto", OPEN)]
    assert told["auto", OPEN] == NOT_NEEDED


@pytest.mark.usefixtures("late")
def test_auto_does_not_use_up_a_quota(tmp_path: Path) -> None:
    _write(tmp_path / "proc/self/cgroup", "0::/own\n")
    _write(tmp_path / "sys/fs/cgroup/own/cpu.max", "50000 100000\n")
    assert not _is_kept(_job("auto", OPEN, "192.0.2.1"), tmp_path)
    _write(tmp_path / "sys/fs/cgroup/own/cpu.max", "max 100000\n")
    assert _is_kept(_job("auto", OPEN, "192.0.2.1"), tmp_path)


@pytest.mark.usefixtures("late")
def test_auto_takes_nothing_from_a_server_in_another_control_group(tmp_path: Path) -> None:
    _write(tmp_path / "proc/self/cgroup", "0::/user/own\n")
    _write(tmp_path / "proc/7/cgroup", "0::/user/own/server\n")
    _write(tmp_path / "sys/fs/cgroup/user/own/memory.max", "max\n")
    _write(tmp_path / "sys/fs/cgroup/user/own/server/memory.max", "max\n")
    # No group has a share of its own: idle priority counts among all processes.
    assert _is_kept(_job("auto", OPEN, pid=None), tmp_path)
    _write(tmp_path / "sys/fs/cgroup/user/cpu.weight", "100\n")
    assert cgroups.cpu_group(tmp_path) == tmp_path / "sys/fs/cgroup/user" == cgroups.cpu_group(tmp_path, "7")
    assert _is_kept(_job("auto", OPEN), tmp_path)
    assert _is_kept(_job("auto", OPEN, "192.0.2.1", pid=None), tmp_path)
    assert not _is_kept(_job("auto", OPEN, pid=None), tmp_path)
    _write(tmp_path / "sys/fs/cgroup/user/own/server/cpu.weight", "100\n")
    assert not _is_kept(_job("auto", OPEN), tmp_path)


def test_groups_of_version_1_have_shares(tmp_path: Path) -> None:
    _write(tmp_path / "sys/fs/cgroup/cpu/cpu.shares", "1024\n")
    _write(tmp_path / "proc/self/cgroup", "2:cpu:/\n")
    assert cgroups.cpu_group(tmp_path) is None
    _write(tmp_path / "proc/7/cgroup", "2:cpu:/docker/a\n")
    _write(tmp_path / "sys/fs/cgroup/cpu/docker/cpu.shares", "1024\n")
    _write(tmp_path / "sys/fs/cgroup/cpu/docker/a/cpu.shares", "1024\n")
    assert cgroups.cpu_group(tmp_path, "7") == tmp_path / "sys/fs/cgroup/cpu/docker/a"
