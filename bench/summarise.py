"""How long summary and page of ten million records take, and how much more memory.

Run: make bench
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROWS = 10_000_000
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
    """Summarise the records at `path` for an objective, and print the seconds it took, and the MiB more."""
    from servemark.assessment.objectives import limits_of, limits_together
    from servemark.options.objectives import parse_objective
    from servemark.records import open_records
    from servemark.stats.evidence import Question, Window
    from servemark.stats.gather import gather
    from servemark.stats.summary import summarise

    before_mib = _peak_mib()
    started = time.perf_counter()
    file, asked = open_records(path), parse_objective("p99<50ms,service.p90<40ms")
    together = limits_together(asked, file.step_names)
    question = Question(window=Window(*file.span_ns()), limits=limits_of(asked), together=together)
    evidence = gather([file], question)
    (step,) = summarise(evidence)
    assert step.measured == ROWS
    assert evidence.steps[0].within is not None
    print(f"{time.perf_counter() - started:.2f} {_peak_mib() - before_mib:.0f}")


def report_once(path: Path) -> None:
    """Write the page of a result that has the records at `path`, and print the seconds it took, and the MiB more."""
    import numpy as np

    from bench.simulated import result_of
    from servemark.environments.chart_library import chart_library
    from servemark.report.formats import FORMATS
    from servemark.report.recorded import RecordedResult

    chart_library()  # made at set-up
    (run,) = result_of(np.full((1, 1000), 5.0), "ten million").benchmarks[0].runs
    records = path.parent / run.records
    records.parent.mkdir(exist_ok=True)
    if not records.exists():
        records.hardlink_to(path)
    result = result_of(np.full((1, 1000), 5.0), "ten million")
    before_mib = _peak_mib()
    started = time.perf_counter()
    page = path.with_name("report.html")
    FORMATS["html"].write(RecordedResult(result, path.parent), page)
    print(f"{time.perf_counter() - started:.2f} {_peak_mib() - before_mib:.0f}")
    assert "Latency over time" in page.read_text(encoding="utf-8")


def _peak_mib() -> float:
    """The most that this program ever had in memory; ``getrusage`` would count what its parent had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> int:
    """Measure each three times; 1 when a median time or any peak is over its limit."""
    if len(sys.argv) == 3:
        _PARTS[sys.argv[1]].once(Path(sys.argv[2]))
        return 0
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.bin"
        write_records(path)
        for name, part in _PARTS.items():
            runs = []
            for _ in range(3):
                command = [sys.executable, "-m", "bench.summarise", name, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, mib = map(float, done.stdout.split())
                runs.append((seconds, mib))
            times = sorted(seconds for seconds, _ in runs)
            peak_mib = max(mib for _, mib in runs)
            between = f"{times[0]:.2f} to {times[2]:.2f}"
            print(f"{name} of {ROWS:,} records: {times[1]:.2f} s ({between}), {peak_mib:.0f} MiB more")
            print(f"limits: {part.limit_s:g} s, {part.limit_mib:.0f} MiB")
            missed |= times[1] > part.limit_s or peak_mib > part.limit_mib
    return int(missed)


@dataclass(frozen=True)
class _Part:
    """What is measured, and how long it may take, and how much more memory."""

    once: Callable[[Path], None]
    limit_s: float
    limit_mib: float


_PARTS = {"summary": _Part(summarise_once, 2.5, 128.0), "report.html": _Part(report_once, 10.0, 1024.0)}


if __name__ == "__main__":
    sys.exit(main())
