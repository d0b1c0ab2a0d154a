"""What Ray is asked while generators are mustered, and given back: Ctrl-C is heard, and nobody waits without end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servemark.engines import Sharing
from servemark.engines.native.cluster import asking, mustering, placement
from servemark.engines.native.cluster.asking import asked, tidied
from servemark.engines.native.cluster.generators import OwnRaylet, RayGenerator, RecordTraffic
from servemark.engines.native.cluster.mustering import RayPlacement
from servemark.engines.native.cluster.placement import Places, place
from servemark.errors import ClusterLostError
from servemark.interrupts import held_back

from .test_crew import FACTS


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What does not come back before the test is over; nothing else that was left is looked at."""
    monkeypatch.setattr(asking, "_left", [])
    monkeypatch.setattr(asking, "_STUCK_AFTER_S", 0.01)
    over = threading.Event()
    yield lambda: over.wait() and None
    over.set()


def test_what_is_asked_is_answered_and_errors_are_those_that_were_met():
    assert asked(lambda: 3) == 3
    from ray.exceptions import GetTimeoutError

    with pytest.raises(ZeroDivisionError):
        asked(lambda: 1 / 0)
    with pytest.raises(ClusterLostError, match=r"^the connection to the Ray cluster is lost: Broken pipe$"):
        asked(lambda: _raise(OSError("Broken pipe")))
    with pytest.raises(GetTimeoutError):  # which is a TimeoutError, and that an OSError
        asked(lambda: _raise(GetTimeoutError("not yet")))


def test_who_does_not_answer_is_not_waited_for_without_end(never, monkeypatch):
    monkeypatch.setattr(asking, "_ANSWERED_WITHIN_S", 0.1)
    with pytest.raises(ClusterLostError, match=r"^the Ray cluster does not answer: no word of it within 0\.1 s$"):
        asked(never)
    assert not tidied(lambda: None, 60), "nothing more is asked of it"


def test_an_interruption_is_heard_while_ray_is_waited_for(never):
    def interrupted() -> None:
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            asked(never)

    with pytest.raises(KeyboardInterrupt):
        interrupted()


class Group:
    """Places that are never there."""

    def wait(self, _timeout_s: float) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return False


def test_an_interruption_while_places_are_waited_for_gives_them_back(monkeypatch):
    of_ray = import_module("ray.util.placement_group")  # as an attribute it is a function
    removed: list[Any] = []
    group = Group()
    monkeypatch.setattr(of_ray, "placement_group", lambda *_, **__: group)
    monkeypatch.setattr(of_ray, "remove_placement_group", removed.append)
    monkeypatch.setattr(placement, "nodes", list)
    with pytest.raises(KeyboardInterrupt), held_back():
        place(Places(3, 1, pack=False))
    assert removed == [group]


def test_a_cluster_that_does_not_answer_any_more_takes_nothing_from_a_run_that_is_over(never, monkeypatch):
    """Its generators are neither killed nor their places given back, which is said once, and what they did is there."""
    monkeypatch.setattr(mustering, "_CLOSED_WITHIN_S", 0.05)
    monkeypatch.setattr(mustering, "_TOLD_WITHIN_S", 0.05)
    notes: list[str] = []
    with RayPlacement(Sharing(on="ray", ray_address="127.0.0.1:1"), notes.append)._tidying() as mustered:
        mustered.callback(never)
    (note,) = notes
    assert note.startswith("the Ray cluster does not answer, and was not tidied up: its generators")


def test_a_process_whose_ray_is_stuck_ends_with_its_own_status_whatever_ray_does_in_the_end():
    program = """
import ctypes, ray, sys, threading
from servemark.engines.native.cluster import asking, connecting
asking._STUCK_AFTER_S = 0.01
asking.attempted(threading.Event().wait, 0.01)
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # as libraries that are torn down may crash
connecting._disconnect()
print("to its end")
sys.exit(4)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (4, "to its end\n"), ended.stderr


def test_a_cluster_that_goes_while_places_are_waited_for_is_not_waited_for_to_give_them_back(never, monkeypatch):
    of_ray = import_module("ray.util.placement_group")
    monkeypatch.setattr(of_ray, "placement_group", lambda *_, **__: SimpleNamespace(wait=lambda _: never()))
    monkeypatch.setattr(of_ray, "remove_placement_group", lambda _: pytest.fail("Ray is asked once more"))
    monkeypatch.setattr(asking, "_ANSWERED_WITHIN_S", 0.1)
    with pytest.raises(ClusterLostError, match="does not answer"):
        place(Places(3, 1, pack=False))


class Severed:
    """An actor whose answers do not come: the connection to the cluster is gone, and it itself is well."""

    def __init__(self) -> None:
        self.read = SimpleNamespace(remote=lambda *_, **__: object())
        self.ask = SimpleNamespace(remote=lambda *_: _raise(OSError("Broken pipe")))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """What stands for the raylet of this node."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "raylet"))
        listening.listen()
        yield listening


@pytest.fixture
def raylet(listening: socket.socket) -> OwnRaylet:
    return OwnRaylet(listening.getsockname())


def test_a_raylet_that_goes_is_noticed_although_ray_goes_on_without_it(monkeypatch, tmp_path, listening, raylet):
    import ray

    monkeypatch.setattr(ray, "wait", lambda *_, **__: ([], []))
    generator = RayGenerator(Severed(), FACTS, tmp_path / "0.bin")
    generator.ended = Future()
    traffic = RecordTraffic([generator], raylet)
    traffic.start()
    accepted, _ = listening.accept()
    accepted.close()
    with pytest.raises(ClusterLostError, match=r"^the connection to the Ray cluster is lost: the raylet of this node "):
        generator.outcome().result(60)
    traffic.stop()


def test_whoever_waits_for_an_outcome_is_told_that_the_cluster_is_gone(monkeypatch, tmp_path, raylet):
    import ray

    monkeypatch.setattr(ray, "wait", lambda *_, **__: _raise(OSError("Broken pipe")))
    generators = [RayGenerator(Severed(), FACTS, tmp_path / f"{place}.bin") for place in range(2)]
    for one in generators:
        one.ended = Future()  # it is sending yet
    traffic = RecordTraffic(generators, raylet)
    traffic.start()
    for one in generators:
        with pytest.raises(ClusterLostError, match=r"^the connection to the Ray cluster is lost: Broken pipe$"):
            one.outcome().result(60)
    with pytest.raises(ClusterLostError):
        generators[0].progress().result(60)
    traffic.stop()


def test_a_fault_that_nobody_foresaw_is_told_to_whoever_waits_too(monkeypatch, tmp_path, raylet):
    import ray

    monkeypatch.setattr(ray, "wait", lambda *_, **__: _raise(KeyError("what?")))
    generator = RayGenerator(Severed(), FACTS, tmp_path / "0.bin")
    generator.ended = Future()
    traffic = RecordTraffic([generator], raylet)
    traffic.start()
    with pytest.raises(KeyError):
        generator.outcome().result(60)
    traffic.stop()


def _raise(error: Exception) -> Any:
    raise error
