"""Memory: what processes hold, how many workers fit and what is said when they do not, and control groups' limits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from servemark.environments.server_kinds import ServerKind
from servemark.errors import DoesNotFitError
from servemark.machine.fitting import may_lack_room, memory_need
from servemark.machine.memory import (
    RESERVE_BYTES,
    WorkerMemory,
    available_bytes,
    check_fits,
    fitting_workers,
    processes_memory_bytes,
)
from servemark.options import RunRequest
from servemark.runner.entry import Entry
from servemark.runner.point_servers import asked_of_server
from servemark.servers import ServerSettings, default_workers
from servemark.servers.own import OwnLauncher
from servemark.servers.running import RunningLauncher
from servemark.units import format_bytes

MIB, GIB = 1 << 20, 1 << 30
COSTS = WorkerMemory(alone_bytes=200 * MIB, forked_bytes=10 * MIB, answering_bytes=100 * MIB)

HOLDER = """
import os, sys
held = bytearray(os.urandom(64 << 20))
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""


def test_what_two_processes_share_counts_once() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        both = [psutil.Process(parent.pid), psutil.Process(int(parent.stdout.readline()))]
        held = processes_memory_bytes(both)
        resident = sum(process.memory_info().rss for process in both)
        parent.communicate(b"")
    assert held is not None
    assert 64 * MIB < held < 100 * MIB
    assert resident > 128 * MIB


def test_a_process_that_has_ended_counts_nothing_and_none_at_all_is_unknown() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        gone = psutil.Process(ended.pid)
    ours = processes_memory_bytes([gone, psutil.Process()])
    assert ours is not None
    assert ours > MIB
    assert processes_memory_bytes([gone]) is None
    assert processes_memory_bytes([]) is None


def test_what_cannot_be_looked_at_counts_as_what_is_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    process = psutil.Process()

    def denied() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(process, "memory_full_info", denied)
    held = processes_memory_bytes([process])
    assert held is not None
    assert abs(held - process.memory_info().rss) < 16 * MIB


@pytest.mark.parametrize(
    ("preload", "answering", "each", "ten"),
    [(False, False, 200, 2000), (False, True, 300, 3000), (True, False, 10, 300), (True, True, 110, 1300)],
)
def test_what_workers_take(preload: bool, answering: bool, each: int, ten: int) -> None:
    assert COSTS.each_bytes(preload=preload, answering=answering) == each * MIB
    assert COSTS.needed_bytes(10, preload=preload, answering=answering) == ten * MIB


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("answering", [False, True])
def test_the_largest_count_that_fits_fits_and_one_more_does_not(preload: bool, answering: bool) -> None:
    available = 4 * GIB + 12345
    count = fitting_workers(available, COSTS, preload=preload, answering=answering)
    check_fits(count, COSTS, preload=preload, answering=answering, available=available)
    needed = [COSTS.needed_bytes(n, preload=preload, answering=answering) + RESERVE_BYTES for n in (count, count + 1)]
    assert needed[0] <= available < needed[1]
    with pytest.raises(DoesNotFitError):
        check_fits(count + 1, COSTS, preload=preload, answering=answering, available=available)


def test_too_many_are_refused_with_what_it_takes_what_there_is_and_how_many_fit() -> None:
    with pytest.raises(DoesNotFitError) as error:
        check_fits(100, COSTS, preload=False, available=8 * GIB)
    assert str(error.value) == (
        "100 workers would not fit in memory: they take 30.3 GiB (300 MiB each, 1.0 GiB kept free), and 8.0 GiB can be "
        "had; ask for at most 23"
    )
    assert error.value.exit_status == 4


def test_where_not_one_fits_none_is_offered() -> None:
    assert fitting_workers(GIB, COSTS, preload=True) == 0
    with pytest.raises(DoesNotFitError, match=r"1 worker would not fit.*not one fits: free memory"):
        check_fits(1, COSTS, preload=True, available=GIB)


def test_what_can_be_had_is_within_the_machine() -> None:
    assert 0 < available_bytes() <= psutil.virtual_memory().total


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, droppable: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(limit + "\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {droppable}\n")


V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "sys" / "fs" / "cgroup"


def test_a_control_groups_limit_counts_with_those_around_it(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/outer/inner\n")
    group(groups / "outer" / "inner", V2, "max", 0, 0)
    group(groups / "outer", V2, str(500 * MIB), 300 * MIB, 50 * MIB)
    assert available_bytes(tmp_path) == 250 * MIB


def test_what_is_slowed_down_before_the_limit_is_none_to_be_had(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/ours\n")
    group(groups / "ours", V2, str(500 * MIB), 100 * MIB, 0)
    (groups / "ours" / "memory.high").write_text(f"{300 * MIB}\n")
    assert available_bytes(tmp_path) == 200 * MIB


def test_in_a_container_the_group_itself_is_at_the_root(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/docker/8c1f\n")
    group(groups, V2, str(100 * MIB), 200 * MIB, 0)
    assert available_bytes(tmp_path) == 0


def test_the_older_control_groups_are_read_too(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text("5:cpu:/elsewhere\n4:memory:/ours\n0::/\n")
    group(groups / "memory" / "ours", V1, str(400 * MIB), 100 * MIB, 10 * MIB)
    group(groups / "memory", V1, str(2**63 - 4096), 0, 0)
    assert available_bytes(tmp_path) == 310 * MIB


def test_without_control_groups_the_machine_decides(tmp_path: Path) -> None:
    machine = psutil.virtual_memory().available
    assert abs(available_bytes(tmp_path) - machine) < machine / 2


@pytest.mark.parametrize(
    ("count", "text"),
    [(int(15.2 * GIB), "15.2 GiB"), (156 * MIB, "156 MiB"), (int(4.5 * MIB), "4.5 MiB"), (0, "0.0 MiB")],
)
def test_amounts_are_written_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("lines", "files", "workers"),
    [
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, 2),
        ("0::/docker/8c1f", {"cpu.max": "200000 100000"}, 2),  # in a container, where the path is the host's
        ("0::/a", {"a/cpu.max": "50000 100000"}, 1),
        ("0::/a", {"a/cpu.max": "max 100000"}, 8),
        ("0::/a", {"a/cpu.max": "1600000 100000"}, 8),
        ("0::/a", {"a/cpu.max": "nothing that is known"}, 8),
        (
            "3:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("3:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("", {}, 8),
        ("no line as it should be", {}, 8),
    ],
)
def test_there_is_a_worker_for_each_whole_cpu_that_quota_and_affinity_leave(
    groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], workers: int
) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"{lines}\n")
    for name, content in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{content}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    assert default_workers(root=tmp_path) == workers
    assert default_workers(4, root=tmp_path) == 4
    assert default_workers(root=tmp_path / "without control groups") == 8


@pytest.mark.parametrize(
    ("workers", "available", "looked_at"),
    [(1, 0, False), (0, 0, False), (2, 100 * GIB, False), (2, 2 * GIB, True), (64, 60 * GIB, True)],
)
def test_memory_is_looked_at_where_several_workers_might_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, available: int, looked_at: bool
) -> None:
    (tmp_path / "model.mar").write_bytes(bytes(1000))
    monkeypatch.setattr("servemark.machine.fitting.available_bytes", lambda: available)
    assert may_lack_room([tmp_path / "model.mar"], workers) is looked_at
    assert not may_lack_room([], workers)


def test_the_workers_that_a_model_begins_with_have_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servemark.machine.fitting.available_bytes", lambda: RESERVE_BYTES + 350 * MIB)
    memories = {"m": WorkerMemory(alone_bytes=100 * MIB, forked_bytes=MIB)}
    assert memory_need(memories, 3, preload=False).refusal is None
    refusal = memory_need(memories, 64, preload=False).refusal
    assert isinstance(refusal, DoesNotFitError)
    assert re.search(r"64 workers would not fit in memory.* ask for at most 3", str(refusal))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("triton", {"workers": 9_999}), ("torchserve", {"most_workers": 9_999}), ("mlserver", {"workers": 60})],
)
def test_so_many_processes_that_no_model_is_small_enough_are_refused_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, kind: ServerKind, settings: dict[str, int]
) -> None:
    monkeypatch.setattr("servemark.machine.fitting.available_bytes", lambda: RESERVE_BYTES + GIB)
    monkeypatch.setattr("servemark.servers.own.import_module", lambda _: pytest.fail("it goes on"))
    launcher = OwnLauncher(kind, RunningLauncher("", ("noop",)), ())
    refusal = r"^\d+ workers would not fit in memory: each takes 24 MiB at the least, .*; use fewer workers \(-w\)$"
    with pytest.raises(DoesNotFitError, match=refusal), launcher.serve(ServerSettings(**settings)):
        pass


def test_a_plain_benchmark_asks_for_that_look_and_force_does_not() -> None:
    latency = Entry.of(RunRequest.of("latency", workers=64))
    assert {asked_of_server(point, latency).workers for point in latency.points} == {64}
    several = Entry.of(RunRequest.of("batching", parameters={"workers": (1, 3)}))
    assert {asked_of_server(point, several).workers for point in several.points} == {3}
    load = Entry.of(RunRequest.of("load"))
    assert {asked_of_server(point, load) for point in load.points} == {load.points[0].server}
    forced = Entry.of(RunRequest.of("latency", workers=64, force=True))
    assert {asked_of_server(point, forced).workers for point in forced.points} == {None}
