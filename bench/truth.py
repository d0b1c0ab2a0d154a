"""What a tool reports when its connections run out: 16 of them, 200 requests a second, a server that stalls for 1 s.

The truth needs no measurement: requests are due every 5 ms whatever the server does, each takes the first connection
that is free, and is answered 5 ms later, or when the stall is over. The server is the oracle of tests/accuracy
(crates/servemark-oracle).
"""

from __future__ import annotations

import heapq
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "accuracy"))

from oracle import ROW

from bench.process import Process
from bench.receiver import await_port
from bench.running import Bench
from bench.server import PATH
from bench.tools import Call, Tool
from servemark.errors import ServemarkError, SetupError

CONNECTIONS = 16
RATE_PER_S = 200
LENGTH_S = 11
SERVICE_MS = 5.0
STALL_AT_S = 5.0
STALL_S = 1.0
_SLACK_S = 60.0


@dataclass(frozen=True)
class Told:
    """Of one run: the p99 that the tool reports, and that which the server saw (without waiting in the client); ms."""

    reported_ms: float
    seen_ms: float
    requests: int


def true_p99_ms() -> float:
    """p99 (nearest rank) of the time from when a request is due to its answer."""
    stall_from_s, stall_to_s, service_s = STALL_AT_S, STALL_AT_S + STALL_S, SERVICE_MS / 1000
    free_s = [0.0] * CONNECTIONS
    heapq.heapify(free_s)
    responses_s = []
    for number in range(RATE_PER_S * LENGTH_S):
        due_s = number / RATE_PER_S
        sent_s = max(due_s, heapq.heappop(free_s))
        end_s = sent_s + service_s
        if stall_from_s <= end_s < stall_to_s:
            end_s = stall_to_s
        heapq.heappush(free_s, end_s)
        responses_s.append(end_s - due_s)
    responses_s.sort()
    return responses_s[math.ceil(0.99 * len(responses_s)) - 1] * 1000


def measure(bench: Bench, tool: Tool) -> Told:
    """One run of `tool`; one that has no rate sends as fast as it can.

    Raises:
        SetupError: its output says no p99.
    """
    if tool.p99_ms is None:
        raise SetupError(f"{tool.name} reports no p99")
    rate_per_s = RATE_PER_S if tool.has_rate else None
    folder = bench.new_folder("oracle")
    stall = f"{STALL_AT_S:g}:{STALL_S:g}"
    words = (bench.programs / "servemark-oracle", "--constant-ms", f"{SERVICE_MS:g}", "--stall", stall, "--log", "log")
    with Process(words, folder, pipes_stdin=True) as oracle:
        call = Call(f"http://127.0.0.1:{await_port(oracle)}{PATH}", CONNECTIONS, LENGTH_S, bench.body, rate_per_s)
        with bench.start(tool, call) as process:
            if process.wait(LENGTH_S + _SLACK_S) is None:
                raise SetupError(f"{tool.name} did not end")
        oracle.close_stdin()
        if oracle.wait(_SLACK_S) != 0:
            raise SetupError("the oracle failed", cause=oracle.complaint)
    rows = np.fromfile(folder / "log", dtype=ROW)
    try:
        reported_ms = tool.p99_ms(bench.peer(tool), process.folder)
    except (OSError, ValueError, KeyError, StopIteration, ServemarkError) as error:
        raise SetupError(f"{tool.name} reports no p99", cause=f"{error!r}: {process.complaint}") from error
    return Told(reported_ms, _seen_p99_ms(rows), len(rows))


def _seen_p99_ms(rows: NDArray[np.void]) -> float:
    answered = rows[rows["departed"] >= 0]
    took_ns = np.sort(answered["departed"] - answered["arrival"])
    return float(took_ns[math.ceil(0.99 * len(took_ns)) - 1]) / 1e6 if len(took_ns) else 0.0
