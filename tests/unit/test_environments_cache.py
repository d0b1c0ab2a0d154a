"""The cache never trusts what was not finished, and builds a thing once whoever asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import servemark
from servemark.environments.cache import build_once, cache_dir, is_built
from servemark.environments.commands import finish, run_command
from servemark.errors import SetupError

_SOURCE = str(Path(servemark.__path__[0]).parent)

#: Builds the key "thing": appends a line to the log when it starts, sleeps, and writes one file before and one after.
_BUILDER = """
import os, pathlib, sys, time
from servemark.environments.cache import build_once
from servemark.environments.commands import run_command

log, seconds, child = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "child"

def build(folder):
    (folder / "first").write_text(str(os.getpid()))
    with log.open("a") as lines:
        lines.write("built\\n")
    if child:
        run_command([sys.executable, "-c", f"import time; time.sleep({seconds})"], what="sleep", timeout_s=60)
    else:
        time.sleep(float(seconds))
    (folder / "second").write_text(str(os.getpid()))

print(build_once("thing", build, lambda message: print(message, file=sys.stderr, flush=True)))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _silent(message: str) -> None:
    del message


def _write(folder: Path) -> None:
    (folder / "content").write_text("right")


@contextmanager
def _builder(log: Path, seconds: float, *, child: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that builds "thing", already at it when this yields (or waiting for one that is)."""
    words = [sys.executable, "-c", _BUILDER, str(log), str(seconds), "child" if child else "alone"]
    environ = {**os.environ, "PYTHONPATH": _SOURCE}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environ, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("SERVEMARK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "servemark"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_dir() == tmp_path / "home" / ".cache" / "servemark"


def test_what_is_complete_is_not_built_again(cache: Path) -> None:
    assert not is_built("a/b-1.2")
    folder = build_once("a/b-1.2", _write, _silent)

    assert folder == cache / "a" / "b-1.2"
    assert is_built("a/b-1.2")
    assert build_once("a/b-1.2", lambda _: pytest.fail("built twice"), _silent) == folder
    assert (folder / "content").read_text() == "right"


def test_what_is_built_through_a_link_does_not_depend_on_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(exist_ok=True)
    link = tmp_path / "link"
    link.symlink_to(cache)
    monkeypatch.setenv("SERVEMARK_CACHE", str(link))
    where: list[Path] = []
    build_once("environments/thing", where.append, _silent)
    assert where == [cache.resolve() / "environments" / "thing"]


@pytest.mark.parametrize("key", ["", "/etc", "../up", "a/../b", "a//b", ".hidden", "a b"])
def test_a_key_cannot_leave_the_cache(key: str) -> None:
    with pytest.raises(ValueError, match="not a cache key"):
        build_once(key, _write, _silent)


@pytest.mark.parametrize("failure", [SetupError("no"), KeyboardInterrupt(), RuntimeError("a bug")])
def test_a_builder_that_fails_leaves_nothing_and_the_next_one_builds(cache: Path, failure: BaseException) -> None:
    def fail(folder: Path) -> None:
        _write(folder)
        raise failure

    with pytest.raises(type(failure)) as raised:
        build_once("thing", fail, _silent)

    assert raised.value is failure
    assert [path.name for path in cache.iterdir()] == ["thing.lock"]
    assert (build_once("thing", _write, _silent) / "content").read_text() == "right"


def test_a_leftover_without_a_stamp_is_wiped_before_building(cache: Path) -> None:
    (cache / "thing").mkdir(parents=True)
    (cache / "thing" / "half").write_text("wrong")

    folder = build_once("thing", _write, _silent)

    assert not (folder / "half").exists()


def test_a_cache_that_cannot_be_written_is_a_setup_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="SERVEMARK_CACHE"):
        build_once("thing", _write, _silent)


def test_two_processes_at_once_build_once_and_the_second_says_what_it_waits_for(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with _builder(log, 1.0) as first:
        _wait_for(cache / "thing" / "first")
        with _builder(log, 1.0) as second:
            folders = {process.communicate(timeout=30)[0] for process in (first,)}
            waited_folder, waited = second.communicate(timeout=30)

    assert log.read_text().splitlines() == ["built"]
    assert folders == {waited_folder} == {f"{cache / 'thing'}\n"}
    assert waited == f"waiting for another servemark (process {first.pid}), which is building thing\n"


def test_a_builder_killed_in_the_middle_leaves_nothing_that_is_trusted(cache: Path, tmp_path: Path) -> None:
    with _builder(tmp_path / "log", 60) as process:
        _wait_for(cache / "thing" / "first")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    assert (cache / "thing" / "first").exists()
    assert not is_built("thing")

    folder = build_once("thing", _write, lambda message: pytest.fail(f"the lock is still held: {message}"))

    assert sorted(path.name for path in folder.iterdir()) == [".complete", "content"]


def test_a_command_that_outlives_its_killed_builder_keeps_the_lock(cache: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    with _builder(tmp_path / "log", 1.5, child=True) as process:
        _wait_for(tmp_path / "log")
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        began = time.monotonic()
        build_once("thing", _write, messages.append)

    assert messages == [f"waiting for another servemark (process {process.pid}), which is building thing"]
    assert time.monotonic() - began > 0.3


def test_interrupting_a_builder_ends_its_command_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    with _builder(tmp_path / "log", 60, child=True) as process:
        _wait_for(tmp_path / "log")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)

    assert "KeyboardInterrupt" in errors
    # The pipe was closed by the command too, or communicate would have waited for it; and its lock is free.
    assert not (cache / "thing").exists()
    build_once("thing", _write, lambda message: pytest.fail(f"the lock is still held: {message}"))


def test_a_command_past_its_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(sleep 1; touch {alive}) & sleep 60"
    with pytest.raises(SetupError, match=r"cannot try it: no end after 0.3 s"):
        run_command(["sh", "-c", script], what="try it", timeout_s=0.3)
    time.sleep(1.2)
    assert not alive.exists()


def test_what_a_finished_command_left_in_the_background_is_killed_too(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    assert finish(["sh", "-c", f"(sleep 1; touch {alive}) &"], timeout_s=0.3).status is None
    time.sleep(1.2)
    assert not alive.exists()


def test_a_command_that_fails_gives_its_last_lines() -> None:
    with pytest.raises(SetupError) as raised:
        run_command(["sh", "-c", "echo begin; echo the cause >&2; exit 3"], what="try it", timeout_s=5)
    assert str(raised.value) == "cannot try it: the cause"
    assert raised.value.detail == "begin\nthe cause"


def test_a_command_that_does_not_exist_is_told_as_such() -> None:
    finished = finish(["/nonexistent/python"], timeout_s=5)
    assert finished.status is None
    assert finished.output == "/nonexistent/python: No such file or directory"


def test_packages_of_another_python_are_not_mixed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    show = "import os; print(os.environ.get('PYTHONPATH'), os.environ['KEPT'], os.environ['ADDED'])"

    finished = finish([sys.executable, "-c", show], timeout_s=20, environ={"ADDED": "too"})

    assert finished.output == "None yes too\n"


def test_without_a_home_directory_it_says_what_to_set(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "SERVEMARK_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", _no_home)
    with pytest.raises(SetupError, match="set SERVEMARK_CACHE"):
        cache_dir()


def _no_home(_path):
    raise RuntimeError("Could not determine home directory.")
