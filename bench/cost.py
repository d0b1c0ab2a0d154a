"""What a request costs, and how many a second there are, in a closed loop against nginx.

At two instants within a run the tool's processor time and nginx's own count of requests are read. What lies between is
the cost of those requests: starting and ending are nobody's, and no tool is believed.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from bench.process import Process
from bench.running import Bench
from bench.server import Server
from bench.tools import ENDLESS_S, OURS, Call, Tool
from servemark.errors import RecordingError, ServemarkError, SetupError
from servemark.records import open_records

CONNECTIONS = 32
_WINDOW_S = 2.0
_BEGIN_S = 60.0
#: So many requests since it was started: it sends.
_BEGUN = 20
_END_S = 30.0


@dataclass(frozen=True)
class Cost:
    """Of one run: microseconds of processor time a request, and requests a second."""

    cpu_us: float
    rate_per_s: float


def measure(bench: Bench, server: Server, tool: Tool, connections: int = CONNECTIONS) -> Cost:
    """The cost of one run of `tool`.

    Raises:
        SetupError: it does not send, or ends too early.
        RecordingError: of ours, that its records are not what nginx answered.
    """
    # Ours ends by itself, so that its records can be counted; the others are ended.
    seconds = round(tool.warm_s + _WINDOW_S) + 1 if tool.name == OURS else ENDLESS_S
    before = server.requests()
    with bench.start(tool, Call(server.url, connections, seconds, bench.body)) as process:
        _await_requests(process, server, before, tool)
        time.sleep(tool.warm_s)
        first = _instant(process, server)
        time.sleep(_WINDOW_S)
        last = _instant(process, server)
        if process.has_ended:
            raise SetupError(f"{tool.name} ended within {_WINDOW_S:g} s", cause=process.complaint)
        if tool.name == OURS:
            process.wait(_END_S)
            check_records(process, server.requests() - before)
    requests = last[1] - first[1]
    if requests <= 0:
        raise SetupError(f"{tool.name} sent nothing for {_WINDOW_S:g} s")
    return Cost(cpu_us=(last[2] - first[2]) / requests * 1e6, rate_per_s=requests / (last[0] - first[0]))


def _await_requests(process: Process, server: Server, before: int, tool: Tool) -> None:
    end = time.monotonic() + _BEGIN_S
    while server.requests() < before + _BEGUN:
        if process.has_ended or time.monotonic() > end:
            raise SetupError(f"{tool.name} does not send", cause=process.complaint)
        time.sleep(0.01)


def _instant(process: Process, server: Server) -> tuple[float, int, float]:
    """Time, requests and processor time now, each between two readings of the others."""
    cpu_s = process.cpu_s()
    requests, at_s = server.requests(), time.monotonic()
    return at_s, requests, (cpu_s + process.cpu_s()) / 2


def check_records(process: Process, answered: int) -> int:
    """How many records ours has written: one for each request that nginx answered.

    Raises:
        RecordingError: it is not.
    """
    rows = 0
    for path in (process.folder / "result").glob("records/*"):
        with suppress(ServemarkError):
            rows += open_records(path).rows
    if rows != answered:
        raise RecordingError(
            f"nginx answered {answered:,} requests and {rows:,} were recorded", cause=process.complaint
        )
    return rows
