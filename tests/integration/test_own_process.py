"""A server that we start: it is there when it listens itself, and all that it started goes with it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from servemark.errors import ServerStartError
from servemark.servers.mms.instance import Instance
from servemark.servers.own_process import OwnStart, Ports, started_process
from servemark.servers.ports import free_port_pair

from ..caches import fresh_cache

pytestmark = pytest.mark.seconds

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


#: Listens on the port, which nobody else may share.
ALONE = """
import socket, sys, time
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""


def started(program: str, *ports: int, log: Callable[[str], None] | None = None):
    """`program` on the first of `ports`, or the next where that one cannot be had."""
    left = list(ports)

    def prepare(_instance: Instance, ports: Ports) -> OwnStart:
        return OwnStart([sys.executable, "-c", program, *map(str, ports)], dict(os.environ))

    return started_process(lambda: (left.pop(0) if len(left) > 1 else left[0],), prepare, lambda _: True, log)


def test_whoever_answers_at_its_port_is_not_it(shared: int) -> None:
    gives_up = started("import time; time.sleep(0.5); print('gave up')", shared)
    with pytest.raises(ServerStartError, match=f"not have a port in 3 tries: port {shared} was taken"), gives_up:
        pytest.fail("it started")


def test_one_that_gives_up_for_another_reason_is_not_tried_again() -> None:
    gives_up = started("print('gave up')", free_port_pair()[0])
    with pytest.raises(ServerStartError, match="while it was starting: exit status 0, gave up"), gives_up:
        pytest.fail("it started")


def test_it_is_started_on_another_port_where_somebody_was_quicker(shared: int) -> None:
    lines: list[str] = []
    free, _ = free_port_pair()
    with started(ALONE, shared, free, log=lines.append) as process:
        assert process.ports == (free,)
    assert f"port {shared} was taken meanwhile; trying others" in lines


def test_a_port_that_is_free_again_when_it_ended_was_taken_all_the_same() -> None:
    ports = free_port_pair()
    said = "if sys.argv[1] == '{}': sys.exit('Errors$NativeIoException: bind(..) failed: Address already in use')"
    with started(f"import sys\n{said.format(ports[0])}\n{ALONE}", *ports) as process:
        assert process.ports == ports[1:]


def test_it_is_there_when_it_listens_itself_and_its_children_go_with_it(shared: int) -> None:
    with started(LISTENING, shared) as process:
        assert process.log_tail() == "there"
        of_it = process.processes()
        assert len(of_it) == 2
        assert process.death() is None
    assert [one for one in of_it if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert process.death() is not None


def test_no_process_is_looked_at_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look goes through all of the machine: with twenty a second, starting took more of a CPU than the server did."""
    looks = []
    every_process = psutil.process_iter
    monkeypatch.setattr(psutil, "process_iter", lambda: looks.append(1) or every_process())
    with started(f"import time; time.sleep(1)\n{ALONE}", free_port_pair()[0]):
        assert len(looks) == 2, "one whether it is its own port, one for what is written down"


def test_a_program_that_is_not_there_is_an_error_in_words() -> None:
    def prepare(_instance: Instance, _ports: Ports) -> OwnStart:
        return OwnStart(["/nowhere/tritonserver"], {})

    refused = pytest.raises(ServerStartError, match="cannot start /nowhere/tritonserver: No such file")
    with refused, started_process(free_port_pair, prepare, lambda _: True):
        pass
