"""A generator that is kept from running, by a signal or a quota: not in the times of requests, and INVALID by name."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from loadgen_servers import MS, read_request, serving

from servemark.records import open_records

from ..processes import wait_until

pytestmark = pytest.mark.seconds

_BODY = b'{"status": "Healthy!"}'
_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_SERVICE_S = 0.02
_CPU_GROUPS = Path("/sys/fs/cgroup/cpu")
#: So long that what happens once its first records are seen, however late that is, happens within it.
_MEASURED = ("--duration", "4", "--warmup", "0.2")


def _answer(connection) -> None:
    while read_request(connection):
        time.sleep(_SERVICE_S)
        connection.sendall(_HEALTHY)


@contextmanager
def _measuring(folder: Path, *load: str, within: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A measurement of that server in another process, in a control group, once its first requests are recorded."""
    with serving(_answer) as served:
        words = ["run", "ping", "--mms", f"127.0.0.1:{served.port}", *load, "-o", str(folder)]
        command = [sys.executable, "-m", "servemark", *words]
        if within:
            command = ["sh", "-c", f'echo $$ > {within}/cgroup.procs && exec "$@"', "sh", *command]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                records = folder / "records" / "ping.bin"
                wait_until(lambda: records.exists() and records.stat().st_size > 4096, 30)
                yield process
                process.wait(60)
            finally:
                process.kill()


def _throttled(group: Path) -> int:
    """How often the group has had to wait for the next period."""
    counts = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(counts["nr_throttled"])


def _causes(folder: Path) -> dict[str, str]:
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    checks = result["benchmarks"][0]["certificate"]["checks"]
    return {check["name"]: check["cause"] for check in checks if check["passed"] is False}


def test_a_generator_that_is_stopped_for_a_while(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    with _measuring(folder, "-t", "8", *_MEASURED) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)
    assert process.returncode == 3
    told = re.search(r"it was stopped, or kept from a CPU, for ([\d.]+) s", _causes(folder)["pauses (ping)"])
    assert told is not None
    assert 1 < float(told[1]) < 60
    rows = open_records(folder / "records" / "ping.bin").memmap()
    assert (rows["read"] - rows["sent"]).max() > 1000 * MS
    assert (rows["end"] - rows["sent"]).max() < 1000 * MS


def test_a_generator_that_is_stopped_again_and_again_without_the_kernels_times_of_arrival(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    with _measuring(folder, "-t", "8", "--receive-clock", "user", *_MEASURED) as process:
        for _ in range(3):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
    assert process.returncode == 3
    assert "it was stopped, or kept from a CPU" in _causes(folder)["receive lag (ping)"]


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of its own."""
    folder = _CPU_GROUPS / f"servemark-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").read_text()
    except OSError:
        pytest.skip("no control group with a quota of CPU time can be made here")
    yield folder
    folder.rmdir()


def test_a_generator_whose_control_group_has_too_small_a_quota(tmp_path: Path, group: Path) -> None:
    folder = tmp_path / "result"
    with _measuring(folder, "-t", "32", *_MEASURED, within=group) as process:
        (group / "cpu.cfs_period_us").write_text("500000")
        before = _throttled(group)
        (group / "cpu.cfs_quota_us").write_text("2000")
        wait_until(lambda: _throttled(group) >= before + 3, 30)
        (group / "cpu.cfs_quota_us").write_text("-1")
    assert process.returncode == 3
    assert "its control group's quota of CPU time kept it waiting for" in _causes(folder)["pauses (ping)"]
    rows = open_records(folder / "records" / "ping.bin").memmap()
    of_reading, service = rows["read"] - rows["sent"], rows["end"] - rows["sent"]
    held_back = of_reading > 100 * MS
    assert held_back.sum() >= 32
    assert np.median(service[held_back]) < np.median(of_reading[held_back]) / 2
