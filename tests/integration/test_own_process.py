"""A server that we start: it is there when it listens itself, and all that it started goes with it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servemark.errors import ServerStartError
from servemark.servers.mms.instance import Instance
from servemark.servers.own_process import OwnStart, started_process

from ..caches import fresh_cache

#: Listens on the port, starts a child that outlives whoever asks it to end, and waits.
LISTENING = """
import signal, socket, subprocess, sys, time
ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", ignores], start_new_session=True)
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listening.bind(("127.0.0.1", int(sys.argv[1])))
listening.listen()
print("there", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEMARK_CACHE", str(fresh_cache(tmp_path / "cache", ())))


@pytest.fixture
def shared() -> Iterator[int]:
    """A port on which somebody else listens, who lets others share it, as Triton does."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def started(program: str, port: int):
    def prepare(_instance: Instance) -> OwnStart:
        return OwnStart([sys.executable, "-c", program, str(port)], dict(os.environ))

    return started_process(prepare)


def test_whoever_answers_at_its_port_is_not_it(shared: int) -> None:
    gives_up = started("import time; time.sleep(0.5); print('gave up')", shared)
    with gives_up as process, pytest.raises(ServerStartError, match="while it was starting: exit status 0, gave up"):
        process.wait_until(lambda: True, [shared])


def test_it_is_there_when_it_listens_itself_and_its_children_go_with_it(shared: int) -> None:
    with started(LISTENING, shared) as process:
        process.wait_until(lambda: True, [shared])
        assert process.log_tail() == "there"
        of_it = process.processes()
        assert len(of_it) == 2
        assert process.death() is None
    assert [one for one in of_it if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert process.death() is not None


def test_a_program_that_is_not_there_is_an_error_in_words() -> None:
    def prepare(_instance: Instance) -> OwnStart:
        return OwnStart(["/nowhere/tritonserver"], {})

    refused = pytest.raises(ServerStartError, match="cannot start /nowhere/tritonserver: No such file")
    with refused, started_process(prepare):
        pass
