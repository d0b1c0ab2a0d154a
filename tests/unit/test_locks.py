"""Locks in a cache that other machines may share: nothing of a living servemark is removed or built over."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from servemark.environments import cache, locks
from servemark.environments.cache import build_once
from servemark.servers.mms.instance import new_instance, sweep_stale

ELSEWHERE = locks.Holder("other", "0123", "another boot", 7)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path))


@pytest.fixture
def strict_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exclusive lock is given on a descriptor that can be written only, as NFS does (EBADF)."""
    real = fcntl.flock

    def flock(file: object, operation: int) -> None:
        number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
        writable = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        if operation & fcntl.LOCK_EX and not writable:
            raise OSError(9, "Bad file descriptor")
        real(number, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


def _sign(path: Path, holder: locks.Holder) -> None:
    path.write_text(json.dumps(asdict(holder)), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "elsewhere"),
    [
        ({}, False),
        ({"host": "a container of this machine"}, False),
        ({"boot": "before it was started again"}, False),
        ({"boot": "another", "host": "another"}, True),
        ({"boot": "another", "machine": "of the same name"}, True),
    ],
)
def test_only_another_machine_is_elsewhere(changes: dict[str, str], elsewhere: bool) -> None:
    assert replace(locks.here(), **changes).is_elsewhere is elsewhere


@pytest.mark.usefixtures("strict_flock")
def test_locks_are_taken_as_nfs_gives_them(tmp_path: Path) -> None:
    build_once("thing", lambda folder: (folder / "content").touch() or None, lambda _: None)
    with new_instance() as instance:
        swept: list[str] = []
        sweep_stale(swept.append)
        assert instance.root.is_dir()
    assert (tmp_path / "thing" / "content").exists()


def test_what_another_machine_runs_is_left_alone_and_what_it_left_before_a_restart_is_not(tmp_path: Path) -> None:
    living, dead = tmp_path / "instances" / "living", tmp_path / "instances" / "dead"
    for folder in (living, dead):
        folder.mkdir(parents=True)
    _sign(living / "owner.lock", ELSEWHERE)
    _sign(dead / "owner.lock", replace(locks.here(), boot="before"))
    swept: list[str] = []
    sweep_stale(swept.append)
    assert living.is_dir()
    assert not dead.exists()
    assert len(swept) == 1


def test_an_instance_is_never_there_without_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    real = locks.sign

    def sign(file: object) -> None:
        seen.append([path.name for path in (tmp_path / "instances").iterdir() if not path.name.startswith(".")])
        real(file)  # type: ignore[arg-type]

    monkeypatch.setattr(locks, "sign", sign)
    with new_instance() as instance:
        holder = locks.holder_in(instance.root / "owner.lock")
    assert seen == [[]]
    assert holder == locks.here()


def test_what_another_machine_builds_is_waited_for_and_not_wiped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_LOOK_ELSEWHERE_EVERY_S", 0.01)
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "half").touch()
    _sign(tmp_path / "thing.lock", ELSEWHERE)
    told: list[str] = []

    def finish_there() -> None:
        while not told:
            time.sleep(0.01)
        (tmp_path / "thing" / ".complete").touch()

    other = threading.Thread(target=finish_there)
    other.start()
    folder = build_once("thing", lambda _: pytest.fail("it was built twice"), told.append)
    other.join()
    assert (folder / "half").exists()
    (line,) = told
    assert line.startswith("waiting for another servemark (on other, process 7), which is building thing; ")
    assert line.endswith(f"if none runs there, remove {tmp_path / 'thing.lock'}")


def test_a_builder_elsewhere_that_has_had_its_time_is_not_waited_for(tmp_path: Path) -> None:
    _sign(tmp_path / "thing.lock", ELSEWHERE)
    os.utime(tmp_path / "thing.lock", (time.time() - 7200,) * 2)
    folder = build_once("thing", lambda folder: (folder / "content").touch() or None, pytest.fail)
    assert (folder / "content").exists()
    assert locks.holder_in(tmp_path / "thing.lock") is None
