"""Connections: which request is told of their opening, and what becomes of users and arrivals that get none."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generator_process import GeneratorProcess, in_a_process
from loadgen_servers import (
    MS,
    OK,
    Records,
    Serve,
    Server,
    finish,
    plan_for,
    read_request,
    run_plan,
    serving,
)
from test_loadgen_open_loop import arriving

from servemark import _loadgen

pytestmark = pytest.mark.seconds

GOES_AWAY_AFTER_S, AWAY_S = 0.3, 0.2
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


def test_only_the_request_that_waited_for_its_opening_is_told_of_a_connection(tmp_path: Path) -> None:
    """The others of a backlog get it from one another."""
    numbers = itertools.count()

    def close_the_first(connection: socket.socket) -> None:
        is_first = next(numbers) == 0
        while read_request(connection):
            time.sleep(0.05)
            connection.sendall(CLOSE if is_first else OK)

    with serving(close_the_first) as server:
        arrivals = arriving(1000, count=6, max_connections=1)
        ran = run_plan(plan_for(server.port, arrivals=arrivals), tmp_path / "r")
        assert server.accepted == 2
    assert ran.kinds == ["ok"] * 6
    assert ran.rows["connection"].tolist() == [0, 1, 1, 1, 1, 1]
    assert ran.flagged("opened") == [False, True, False, False, False, False]
    assert not any(ran.flagged("reconnected"))


def test_only_that_request_is_told_of_a_reconnection(tmp_path: Path) -> None:
    """The connection is closed behind its first answer; the others of the backlog are due later."""
    numbers = itertools.count()
    generators: queue.SimpleQueue[GeneratorProcess] = queue.SimpleQueue()

    def die_at_rest_once(connection: socket.socket) -> None:
        if next(numbers) == 0:
            read_request(connection)
            with generators.get(timeout=20).stopped():
                connection.sendall(OK)
                connection.shutdown(socket.SHUT_WR)
            return
        while read_request(connection):
            time.sleep(0.05)
            connection.sendall(OK)

    with serving(die_at_rest_once) as server:
        times_ns = (0, *(300_000_000 + i for i in range(5)))
        arrivals = arriving(process="trace", times_ns=times_ns, max_connections=1)
        with in_a_process(plan_for(server.port, arrivals=arrivals), tmp_path / "r") as generator:
            generators.put(generator)
            generator.finish()
        assert server.accepted == 2
    ran = Records(tmp_path / "r")
    assert ran.kinds == ["ok"] * 6
    assert ran.flagged("opened") == ran.flagged("reconnected") == [False, True, False, False, False, False]
    assert (np.diff(ran.rows["sent"][1:]) > 0).all()


#: Where all scripts begin; the address of the server, the path of the records, and words of their own are their words.
_BEGIN = '''
import json, os, pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
port, path = int(sys.argv[2]), pathlib.Path(sys.argv[3])
from loadgen_servers import MS, begin, finish, plan_for, run_plan
from servemark import _loadgen
from test_loadgen_connections import counted
from test_loadgen_open_loop import arriving

def run_without_new_descriptors(plan):
    """From when its connections are open, before anything is sent."""
    had, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    run = _loadgen.arm(plan, str(path))
    assert run.wait_ready(20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
    begin(run)
    assert run.wait(20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (had, most))
    return finish(run, path)
'''


def counted(kinds: list[str]) -> dict[str, int]:
    """How many there are of each kind."""
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _script(text: str, *words: object, within: tuple[str, ...] = ()) -> Any:
    """What a program prints that may use up what its process has, as JSON."""
    command = [*within, sys.executable, "-c", _BEGIN + text, str(Path(__file__).parent), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def slow(connection: socket.socket) -> None:
    while read_request(connection):
        time.sleep(0.02)
        connection.sendall(OK)


def test_an_open_loop_that_gets_no_more_descriptors_waits_for_the_connections_that_it_has(tmp_path: Path) -> None:
    text = """
times_ns = (0, *(1000 * MS + i for i in range(10)))
plan = plan_for(port, arrivals=arriving(process="trace", times_ns=times_ns, max_connections=100))
ran = run_without_new_descriptors(plan)
print(json.dumps([ran.kinds, ran.outcome.reduced_connections]))
"""
    with serving(slow) as server:
        kinds, reduced = _script(text, server.port, tmp_path / "r")
        assert server.accepted == 1
    assert kinds == ["ok"] * 11
    assert reduced == 1


@pytest.mark.parametrize("load", ["users=2, loops=5", "arrivals=arriving(100, count=10)"])
def test_a_request_without_a_descriptor_lacks_something_of_this_machine(tmp_path: Path, load: str) -> None:
    """Each connection is closed after a request, and then there are no descriptors for more."""

    def close_a_little_later(connection: socket.socket) -> None:
        read_request(connection)
        time.sleep(0.5)
        connection.sendall(CLOSE)

    text = f"""
ran = run_without_new_descriptors(plan_for(port, {load}))
print(json.dumps([counted(ran.kinds), [(example.kind, example.message) for example in ran.outcome.examples]]))
"""
    with serving(close_a_little_later) as server:
        kinds, examples = _script(text, server.port, tmp_path / "r")
    assert kinds["local"] + kinds["ok"] == 10
    assert kinds["local"] >= 8
    assert examples == [["local", "connect: Too many open files (os error 24)"]]


#: In a network of its own, whose connections come from ten ports.
_TEN_PORTS = """
import fcntl, socket, struct
from loadgen_servers import read_request, serving
from test_loadgen_connections import CLOSE, slow
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))  # SIOCSIFFLAGS, IFF_UP
pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("50000 50009")
"""
_OWN_NETWORK = ("unshare", "--map-root-user", "--net")
needs_a_network = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*_OWN_NETWORK, "true"], capture_output=True).returncode != 0,
    reason="a network of one's own is not to be had here",
)


@needs_a_network
def test_connections_to_this_machine_come_from_other_addresses_when_one_has_no_port_left(tmp_path: Path) -> None:
    text = """
sources = []
def note_source(connection):
    sources.append(connection.getpeername()[0])
    slow(connection)

with serving(note_source) as server:
    arrivals = arriving(process="trace", times_ns=tuple(range(25)))
    ran = run_plan(plan_for(server.port, arrivals=arrivals), path)
print(json.dumps([counted(ran.kinds), counted(sources)]))
"""
    kinds, sources = _script(_TEN_PORTS + text, 0, tmp_path / "r", within=_OWN_NETWORK)
    assert kinds == {"ok": 25}
    assert sum(sources.values()) == 25
    assert all(count <= 10 for count in sources.values())
    assert {"127.0.0.1", "127.0.0.2", "127.0.0.3"} <= sources.keys()


@needs_a_network
def test_a_server_that_closes_each_connection_uses_up_the_ports(tmp_path: Path) -> None:
    text = """
pathlib.Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("0")
def close_last(connection):
    read_request(connection)
    connection.sendall(CLOSE)
    connection.recv(1)

with serving(close_last, ip="::1") as server:
    ran = run_plan(plan_for(server.port, ip="::1", users=2, loops=8), path)
print(json.dumps([counted(ran.kinds), [(example.kind, example.message) for example in ran.outcome.examples]]))
"""
    kinds, examples = _script(_TEN_PORTS + text, 0, tmp_path / "r", within=_OWN_NETWORK)
    assert kinds["local"] + kinds["ok"] == 16
    assert kinds["ok"] <= 10
    assert examples == [["local", "connect: Cannot assign requested address (os error 99)"]]


def test_users_who_cannot_all_have_a_descriptor_are_refused_before_the_start(tmp_path: Path) -> None:
    text = """
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 256))
refused = []
for threads in (1, 4):
    try:
        _loadgen.start(plan_for(port, users=300, loops=1, threads=threads), str(path))
    except _loadgen.ShortageError as error:
        refused.append(error.args)
print(json.dumps([refused, path.exists(), run_plan(plan_for(port, users=100, loops=1), path).kinds]))
"""
    with serving(slow) as server:
        refused, is_begun, kinds = _script(text, server.port, tmp_path / "r")
        assert server.accepted == 100
    (one, more) = refused
    assert one[::2] == more[::2] == ["file descriptors", 256]
    assert 300 < one[1] < 400
    assert more[1] == one[1] + 3 * 2, "each thread has two of its own"
    assert not is_begun
    assert kinds == ["ok"] * 100


@pytest.mark.parametrize(("users", "is_server_asked"), [(300, False), (250, True)])
def test_the_command_line_says_how_many_descriptors_there_are_and_what_to_do(
    tmp_path: Path, users: int, is_server_asked: bool
) -> None:
    """What no process could have is refused before the server is looked for, or started."""
    limited = 'ulimit -n 256; exec "$0" -m servemark "$@"'
    with serving(slow) as server:
        words = f"run http -t {users} -l 1 --url http://127.0.0.1:{server.port}/ -o {tmp_path / 'result'}"
        done = subprocess.run(
            ["/bin/sh", "-c", limited, sys.executable, *words.split()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (server.accepted > 0) == is_server_asked
    assert done.returncode == 2, done.stderr
    assert re.search(
        rf"{users} users need at least 3\d\d file descriptors, and there are 256; lower -t, or raise ulimit -n",
        done.stderr,
    )


@needs_a_network
def test_a_connection_to_itself_is_a_refused_one(tmp_path: Path) -> None:
    """Nobody listens at the only port that there is to connect from."""
    text = """
pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("50000 50000")
ran = run_plan(plan_for(50000, loops=3), path)
print(json.dumps([ran.kinds, ran.outcome.examples[0].message]))
"""
    kinds, message = _script(_TEN_PORTS + text, 0, tmp_path / "r", within=_OWN_NETWORK)
    assert kinds == ["connect"] * 3
    assert message == "connect: Connection refused (os error 111)"


def _listen(port: int, serve: Serve) -> Server:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return Server(listener, serve)


def _listen_where_nobody_connects_from(serve: Serve) -> Server:
    """At a port that is chosen for nobody else while the server is away."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError):
            return _listen(port, serve)
    raise AssertionError("no free port")


def _drop(connection: socket.socket) -> None:
    """Close without an answer."""


@pytest.mark.parametrize("is_dropping", [False, True], ids=["refusing", "dropping"])
def test_users_of_a_server_that_is_away_do_not_storm_it(tmp_path: Path, is_dropping: bool) -> None:
    """In its place a proxy may accept connections and drop them."""
    users = 8
    before, again = Counter[socket.socket](), Counter[socket.socket]()

    def answering_into(answers: Counter[socket.socket]) -> Serve:
        def answer(connection: socket.socket) -> None:
            while read_request(connection):
                connection.sendall(OK)
                answers[connection] += 1

        return answer

    def wait_for_all(answers: Counter[socket.socket]) -> None:
        while len(answers) < users or min(list(answers.values())) < 3:
            assert not run.wait(0.01)

    server = _listen_where_nobody_connects_from(answering_into(before))
    try:
        run = _loadgen.start(plan_for(server.port, users=users, duration_s=60.0), str(tmp_path / "r"))
        wait_for_all(before)
        if is_dropping:
            server.serve = _drop
            server.hang_up()
        else:
            server.close()
        time.sleep(AWAY_S)
        if is_dropping:
            server.serve = answering_into(again)
        else:
            server = _listen(server.port, answering_into(again))
        wait_for_all(again)
        run.stop_at(0)
        ran = finish(run, tmp_path / "r")
    finally:
        server.close()
    rows, ok = ran.rows, ran.file.error_kinds.index("ok")
    failed = rows[rows["kind"] != ok]
    for user in range(users):
        assert 1 <= (failed["user"] == user).sum() < 50
        own = np.sort(rows[rows["user"] == user], order="scheduled")
        pauses_ns = own["scheduled"][1:] - own["end"][:-1]
        # What was under way failed without one.
        waited_ms = [int(pause_ns) // MS for pause_ns in pauses_ns if pause_ns]
        assert waited_ms == [min(5 * 2**times, 1000) for times in range(len(waited_ms))]
        assert waited_ms
        # Who was answered waits no longer.
        served_again = own[own["scheduled"] > own["end"][own["kind"] != ok].max()]
        assert len(served_again) >= 3
        assert (served_again["scheduled"][1:] == served_again["end"][:-1]).all()


def _measured_without_its_server(folder: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Of a run whose server goes away for good: the exit status, the result's benchmark, and what was printed."""
    asked = threading.Event()

    def answer(connection: socket.socket) -> None:
        while read_request(connection):
            asked.set()
            connection.sendall(OK)

    def go() -> None:
        asked.wait(20)
        time.sleep(GOES_AWAY_AFTER_S)
        server.close()

    server = _listen_where_nobody_connects_from(answer)
    goes = threading.Thread(target=go)
    goes.start()
    try:
        load = "--duration 2.5 --warmup 0 -t 2"
        command = f"-m servemark run http --url http://127.0.0.1:{server.port}/ {load} -o {folder}"
        done = subprocess.run(
            [sys.executable, *command.split(), *words], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        goes.join()
    from ..validity import status_but_for_the_machine  # not at the top: other processes run parts of this file

    result = json.loads((folder / "result.json").read_text())
    (benchmark,) = result["benchmarks"]
    return status_but_for_the_machine(done.returncode, result), benchmark, done.stdout + done.stderr


def test_with_go_on_errors_an_outage_is_measured(tmp_path: Path) -> None:
    status, benchmark, printed = _measured_without_its_server(tmp_path / "r", "--go-on-errors", "--max-errors", "0")
    assert status == 1, "more failed than may"
    (step,) = benchmark["steps"]
    assert step["succeeded"] > 0
    assert step["errors"]["connect"] >= 2
    assert not benchmark["partial"]
    assert benchmark["runs"][0]["window_s"] == [0.0, 2.5]
    assert "--go-on-errors" in printed


def test_without_it_the_run_ends(tmp_path: Path) -> None:
    status, benchmark, printed = _measured_without_its_server(tmp_path / "r")
    assert status == 4
    assert benchmark["partial"]
    assert "refuses connections" in printed
