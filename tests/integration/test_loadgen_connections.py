"""Connections: which request is told of their opening, and what becomes of users and arrivals that get none."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path

import numpy as np
from loadgen_servers import OK, plan_for, read_request, run_plan, serving
from test_loadgen_open_loop import arriving

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
    numbers = itertools.count()

    def die_at_rest_once(connection: socket.socket) -> None:
        if next(numbers) == 0:
            read_request(connection)
            connection.sendall(OK)
            return
        while read_request(connection):
            time.sleep(0.05)
            connection.sendall(OK)

    with serving(die_at_rest_once) as server:
        times_ns = (0, *(300_000_000 + i for i in range(5)))
        arrivals = arriving(process="trace", times_ns=times_ns, max_connections=1)
        ran = run_plan(plan_for(server.port, arrivals=arrivals), tmp_path / "r")
        assert server.accepted == 2
    assert ran.kinds == ["ok"] * 6
    assert ran.flagged("opened") == ran.flagged("reconnected") == [False, True, False, False, False, False]
    assert (np.diff(ran.rows["sent"][1:]) > 0).all()
