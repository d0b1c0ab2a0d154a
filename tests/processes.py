"""Whether a process still runs, and waiting until it does not: of any process, whoever reaps it, whenever it ends.

Waiting for what else must come stands here, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def runs(pid: int) -> bool:
    """Whether there is this process, and it is no zombie; one that ends meanwhile is one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:  # there is no file, or the process ended between opening and reading it
        return False


def await_end(*pids: int, within_s: float = 20) -> None:
    deadline_s = time.monotonic() + within_s
    while running := [pid for pid in pids if runs(pid)]:
        assert time.monotonic() < deadline_s, f"{running} still run after {within_s:g} s"
        time.sleep(0.01)


def wait_until(condition: Callable[[], object], within_s: float = 20) -> None:
    """Wait until `condition` holds, which must come."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"what was awaited did not come in {within_s:g} s"
        time.sleep(0.01)


def command_line(process: psutil.Process) -> str:
    """Its words, and none where it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
