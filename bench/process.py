"""A tool's process: started in a group of its own, its processor time and memory read from outside, and ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

#: Of a process's clock, as the kernel counts it: user and system time of all its threads, dead ones too, in ns.
_CPU_CLOCK = 2
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME")
#: After SIGTERM servemark awaits its requests, stops its server and writes what it has.
_SERVEMARK_ENDS_S = 60.0


class Process:
    """A running program, as a context manager: whatever happens, its whole group is ended with it.

    Its output goes to `folder`/out and err, its input is closed unless `pipes_stdin`. It has `end_s` to end when told.
    """

    def __init__(
        self,
        words: Sequence[str | Path],
        folder: Path,
        *,
        environ: Mapping[str, str] | None = None,
        pipes_stdin: bool = False,
        end_s: float = 3.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.words = [str(word) for word in words]
        self._end_s = end_s
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        self.started_unix_ns = time.time_ns()
        with self._file("out", "wb") as out, self._file("err", "wb") as err:
            self._popen = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE if pipes_stdin else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**inherited, **(environ or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def _file(self, name: str, mode: str) -> IO[bytes]:
        return (self.folder / name).open(mode)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._popen.poll() is not None

    @property
    def output(self) -> str:
        """What it printed on stdout so far."""
        return (self.folder / "out").read_text(encoding="utf-8", errors="replace")

    @property
    def complaint(self) -> str:
        """The last line that it printed on stderr, or else on stdout."""
        text = (self.folder / "err").read_text(encoding="utf-8", errors="replace").strip() or self.output.strip()
        return text.splitlines()[-1] if text else "it printed nothing"

    def cpu_s(self) -> float:
        """User and system time so far of it and its children, without threads that only keep processors awake."""
        total_s = 0.0
        for process in _tree(self.pid):
            with suppress(OSError, psutil.Error):
                total_s += time.clock_gettime((~process.pid << 3) | _CPU_CLOCK) - _idle_threads_s(process.pid)
                times = process.cpu_times()
                total_s += times.children_user + times.children_system
        return total_s

    def rss_mib(self) -> float:
        """Resident memory of the process itself; 0 when it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit status as soon as it has one, or None when it still runs after `timeout_s`."""
        if self._popen.poll() is None:
            # Popen's own wait looks only every 50 ms.
            with os.fdopen(os.pidfd_open(self.pid)) as ended:
                select.select([ended], [], [], timeout_s)
        return self._popen.poll()

    def close_stdin(self) -> None:
        """Tell a program that ends with its input to end."""
        if self._popen.stdin:
            self._popen.stdin.close()

    def end(self) -> None:
        """End it and all that it started: SIGTERM, and when its time is over SIGKILL."""
        self.close_stdin()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._popen.poll() is not None:
                break
            # While it is not reaped its number cannot have gone to another process.
            os.killpg(self.pid, number)
            self.wait(self._end_s)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def end_with_what_was_started() -> None:
    """From now on this process ends at SIGTERM and SIGHUP as at Ctrl-C: by an exception, which ends what it started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


def run_servemark(folder: Path, *arguments: str) -> int:
    """The exit status of a servemark command; however the caller ends, it and its servers end before."""
    with Process([sys.executable, "-m", "servemark", *arguments], folder, end_s=_SERVEMARK_ENDS_S) as process:
        status = process.wait()
    assert status is not None
    return status


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _idle_threads_s(pid: int) -> float:
    """Time of threads that run only when nothing else would: they keep processors awake, and cost nobody anything."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError, ValueError):
            if os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK == os.SCHED_IDLE:
                total_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total_ns / 1e9
