"""The server's processes over time, in the format of the PerfMon plugin's results, so that its reporter draws them.

PerfMon itself needs an agent on the server's machine and a native library; these samples are psutil's. In its format a
sample is a row of a JTL whose label names what was measured and whose elapsed is the value times 1000.
"""

from __future__ import annotations

import contextlib
import csv
import threading
import time
from pathlib import Path

import psutil

from servemark.units import BYTES_PER_MIB, NS_PER_MS

#: Labels: CPU in percent of one processor, memory in MiB (resident), bytes read and written in KiB/s.
CPU, MEMORY, DISK = "server CPU (%)", "server memory (MiB)", "server disk (KiB/s)"
COLUMNS = (
    "timeStamp",
    "elapsed",
    "label",
    "responseCode",
    "responseMessage",
    "threadName",
    "success",
    "bytes",
    "grpThreads",
    "allThreads",
    "Latency",
)
_SCALE = 1000
_EVERY_S = 1.0


class ResourceSampler:
    """Samples a process and all its descendants into a JTL, from the start of a ``with`` block to its end.

    The file is there, with its header, from the start; sampling ends by itself with the process.
    """

    def __init__(self, pid: int, path: Path, every_s: float = _EVERY_S) -> None:
        self._pid = pid
        self._path = path
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_all, name="resource sampler", daemon=True)
        #: CPU seconds and bytes of each process at the last look, by its number and start.
        self._before: dict[tuple[int, float], tuple[float, int]] = {}
        self._looked_s = time.monotonic()

    def __enter__(self) -> ResourceSampler:
        with self._path.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out, lineterminator="\n").writerow(COLUMNS)
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample_all(self) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as out:
            rows = csv.writer(out, lineterminator="\n")
            while not self._ended.wait(self._every_s):
                values = self._look()
                if not values:
                    return
                now_ms = time.time_ns() // NS_PER_MS
                for label, value in values.items():
                    rows.writerow((now_ms, round(value * _SCALE), label, 200, "", "PerfMon", "true", 0, 0, 0, 0))
                out.flush()

    def _look(self) -> dict[str, float]:
        """What the processes use now, the rates since the last look; empty when they are gone."""
        now_s = time.monotonic()
        seen: dict[tuple[int, float], tuple[float, int]] = {}
        cpu_s = resident = moved = 0.0
        for process in self._processes():
            # One that ends meanwhile is left out of this sample.
            with contextlib.suppress(psutil.Error):
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info().rss
                    key = (process.pid, process.create_time())
                    seen[key] = (times.user + times.system, _bytes_moved(process))
                resident += memory
                before = self._before.get(key, (0.0, 0))
                cpu_s += seen[key][0] - before[0]
                moved += seen[key][1] - before[1]
        passed_s = max(now_s - self._looked_s, 1e-3)
        self._before, self._looked_s = seen, now_s
        if not seen:
            return {}
        return {CPU: 100 * cpu_s / passed_s, MEMORY: resident / BYTES_PER_MIB, DISK: moved / 1024 / passed_s}

    def _processes(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []


def _bytes_moved(process: psutil.Process) -> int:
    """Bytes read from and written to disks; 0 where the system does not tell, or not us."""
    with contextlib.suppress(psutil.Error, AttributeError):
        counters = process.io_counters()
        return int(counters.read_bytes + counters.write_bytes)
    return 0
