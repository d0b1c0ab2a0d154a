"""How long the summary of ten million records takes, and how much more memory: at most 2.5 s and 128 MiB.

Run: make bench
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 10_000_000
LIMIT_S = 2.5
LIMIT_MIB = 128.0
_CHUNK = 1_000_000


def write_records(path: Path) -> None:
    """Ten million records of a plausible run: exponential service, 10,000 a second."""
    import numpy as np

    from servemark.records import row_dtype, write_records

    rng = np.random.default_rng(1)

    def chunk(start: int) -> np.typing.NDArray[np.void]:
        table = np.zeros(_CHUNK, dtype=row_dtype())
        scheduled = (start + np.arange(_CHUNK)) * 100_000
        table["scheduled"], table["ready"], table["sent"] = scheduled, scheduled + 500, scheduled + 900
        table["end"] = table["sent"] + rng.exponential(5e6, _CHUNK).astype(np.int64)
        table["status"] = 200
        return table

    chunks = map(chunk, range(0, ROWS, _CHUNK))
    write_records(path, chunks, steps=["predict"], started_unix_ns=0, warmup_ns=0)


def summarise_once(path: Path) -> None:
    """Summarise the records at `path`, and print the seconds it took, and the MiB more."""
    from servemark.records import open_records
    from servemark.stats.evidence import Question, Window, gather
    from servemark.stats.summary import summarise

    before_mib = _peak_mib()
    started = time.perf_counter()
    file = open_records(path)
    (step,) = summarise(gather([file], Question(window=Window(*file.span_ns()))))
    assert step.measured == ROWS
    print(f"{time.perf_counter() - started:.2f} {_peak_mib() - before_mib:.0f}")


def _peak_mib() -> float:
    """The most that this program ever had in memory; ``getrusage`` would count what its parent had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> int:
    """Measure three times; 1 when the median time or any peak is over its limit."""
    if len(sys.argv) == 2:
        summarise_once(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.bin"
        write_records(path)
        runs = []
        for _ in range(3):
            done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
            seconds, mib = map(float, done.stdout.split())
            runs.append((seconds, mib))
    times = sorted(seconds for seconds, _ in runs)
    peak_mib = max(mib for _, mib in runs)
    print(f"summary of {ROWS:,} records: {times[1]:.2f} s ({times[0]:.2f} to {times[2]:.2f}), {peak_mib:.0f} MiB more")
    print(f"limits: {LIMIT_S:g} s, {LIMIT_MIB:.0f} MiB")
    return int(times[1] > LIMIT_S or peak_mib > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())
