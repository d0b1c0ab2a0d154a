"""How much memory ten million requests take: the resident memory of the process that runs the engine, over the run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench import edges
from bench.cost import CONNECTIONS, check_records
from bench.process import Process
from bench.running import Bench
from bench.server import Server
from bench.tools import TOOLS, Call
from servemark.errors import SetupError

REQUESTS = 10_000_000
_LOOK_EVERY_S = 0.1
_LONGEST_S = 900.0
_EXIT_S = 120.0


@dataclass(frozen=True)
class Memory:
    """Resident memory in MiB: with the first requests, the most until the last response, and the most until the exit.

    `exit_s` is from the last response to the exit, the JTL apart.
    """

    requests: int
    start_mib: float
    load_mib: float
    exit_mib: float
    exit_s: float

    @property
    def growth_mib(self) -> float:
        """How much more it became while requests were sent."""
        return self.load_mib - self.start_mib

    @property
    def end_growth_mib(self) -> float:
        """How much more it became until the exit."""
        return self.exit_mib - self.start_mib


def measure(bench: Bench, server: Server, requests: int = REQUESTS) -> Memory:
    """One run of ours over so many requests, each recorded; `requests` is a multiple of the connections.

    Raises:
        SetupError: it did not send them.
        RecordingError: not every request has its record.
    """
    before = server.requests()
    call = Call(server.url, CONNECTIONS, 0, bench.body, requests=requests)
    with bench.start(TOOLS[0], call) as process:
        _grow(process, server, until=before + 1)
        start_mib = process.rss_mib()
        load_mib = max(start_mib, _grow(process, server, until=before + requests))
        exit_mib = load_mib
        end = time.monotonic() + _EXIT_S
        while process.wait(_LOOK_EVERY_S) is None:
            exit_mib = max(exit_mib, process.rss_mib())
            if time.monotonic() > end:
                raise SetupError("servemark did not exit")
        exited_unix_ns = time.time_ns()
        check_records(process, server.requests() - before)
        return Memory(requests, start_mib, load_mib, exit_mib, edges.exit_s(process, exited_unix_ns))


def _grow(process: Process, server: Server, until: int) -> float:
    """The most memory until the server has answered so many."""
    most_mib = 0.0
    end = time.monotonic() + _LONGEST_S
    while server.requests() < until:
        most_mib = max(most_mib, process.rss_mib())
        if process.has_ended or time.monotonic() > end:
            raise SetupError("servemark did not send every request", cause=process.complaint)
        time.sleep(_LOOK_EVERY_S if most_mib else 0.01)
    return max(most_mib, process.rss_mib())
