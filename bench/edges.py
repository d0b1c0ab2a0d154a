"""What lies before the first request and after the last response: time in which a person waits for servemark."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cost import CONNECTIONS, check_records
from bench.process import Process
from bench.running import Bench
from bench.server import Server
from bench.tools import TOOLS, Call
from servemark.errors import RecordingError, SetupError
from servemark.records import open_records
from servemark.report import jtl
from servemark.result import load_result

#: Records of the run whose exit is timed.
EXIT_REQUESTS = 200_000
#: The first time the server is installed, too.
_SERVE_S = 600.0
_RUN_S = 60.0
#: A model server needs some seconds to end.
_SERVER_END_S = 30.0


def exit_limit_s(records: int) -> float:
    """From the last response to the exit, at most."""
    return 0.5 + 0.2e-6 * records


def measure_exit(bench: Bench, server: Server, requests: int = EXIT_REQUESTS) -> float:
    """Seconds from the last response to the exit, of a run of so many requests."""
    before = server.requests()
    call = Call(server.url, CONNECTIONS, 0, bench.body, requests=requests)
    with bench.start(TOOLS[0], call) as process:
        if process.wait(_RUN_S) is None:
            raise SetupError("servemark did not exit")
        exited_unix_ns = time.time_ns()
        check_records(process, server.requests() - before)
        return exit_s(process, exited_unix_ns)


def exit_s(process: Process, exited_unix_ns: int) -> float:
    """Seconds from the last response of a closed loop of ours to its exit, without writing the JTL.

    That is timed by itself, on the same records, and subtracted: no option leaves it out.
    """
    result = load_result(process.folder / "result")
    files = [open_records(path) for path in (process.folder / "result").glob("records/*")]
    began_s = time.monotonic()
    with (process.folder / "again.jtl").open("w", encoding="utf-8") as out:
        jtl.write(out, result, [files])
    jtl_s = time.monotonic() - began_s
    return (exited_unix_ns - span_unix_ns(process)[1]) / 1e9 - jtl_s


def measure_start(bench: Bench, url: str) -> float:
    """Seconds from the start of the process to its first request, for a server of the user's at `url`."""
    words = ("run", "ping", "--mms", url, "--warmup", "0", "--duration", "1", "-t", "1", "--no-history", "-o", "result")
    with _servemark(bench, *words) as process:
        if process.wait(_RUN_S) is None:
            raise SetupError("servemark did not exit")
        return (span_unix_ns(process)[0] - process.started_unix_ns) / 1e9


def span_unix_ns(process: Process) -> tuple[int, int]:
    """When the first request of a run of ours was sent, and when the last response was complete.

    Raises:
        RecordingError: it has no records; says what the run complained of.
    """
    firsts, lasts = [], []
    for path in (process.folder / "result").glob("records/*"):
        file = open_records(path)
        for chunk in file.chunks():
            firsts.append(file.started_unix_ns + int(chunk["sent"].min()))
            lasts.append(file.started_unix_ns + int(chunk["end"].max()))
    if not firsts:
        raise RecordingError("servemark recorded nothing", cause=process.complaint)
    return min(firsts), max(lasts)


@contextmanager
def model_server(bench: Bench) -> Iterator[str]:
    """A real Multi Model Server with the model noop; its URL. The first time it is installed, into the user's cache.

    Raises:
        SetupError: it cannot be installed, or does not come up.
    """
    with _servemark(bench, "serve", "-m", "noop", "-w", "1") as process:
        yield _served_url(process)


def _served_url(process: Process) -> str:
    end = time.monotonic() + _SERVE_S
    while time.monotonic() < end and not process.has_ended:
        for line in process.output.splitlines():
            word = next((word for word in line.split() if word.startswith("http://")), None)
            if word:
                return "/".join(word.split("/")[:3])
        time.sleep(0.1)
    raise SetupError("the model server did not come up", cause=process.complaint)


@contextmanager
def _servemark(bench: Bench, *words: str | Path) -> Iterator[Process]:
    path = os.environ.get("PYTHONPATH", "")
    folder = bench.new_folder(str(words[0]))
    words = (sys.executable, "-m", "servemark", *words)
    with Process(words, folder, environ={"PYTHONPATH": path}, end_s=_SERVER_END_S) as process:
        yield process
