"""What the records of many generators cost who joins them: made here, not sent, then carried as a cluster carries them.

Run: .venv/bin/python -m bench.scale --generators 200 --records 2000000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from servemark.engines.native.cluster.carrying import Carrying
from servemark.records import Rows, open_records, row_dtype, write_records
from servemark.stats.evidence import Process, Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import summarise
from servemark.units import NS_PER_MS, NS_PER_S, NS_PER_US
from servemark.workload.engine_plan import EngineArrivals, EngineRateSegment

_GAP_NS = NS_PER_US


@dataclass(frozen=True)
class Cost:
    """What joining took.

    Attributes:
        records: of all generators.
        carrying_s: until the files of all were whole.
        joining_s: from then until there were statistics of all records together.
        joining_cpu_s: the CPU time of that, on all processors.
        most_memory_bytes: that this process ever had, beyond what it had when it began.
        p99_ms: of all records, for who wants to see that it was of all.
    """

    records: int
    carrying_s: float
    joining_s: float
    joining_cpu_s: float
    most_memory_bytes: int
    p99_ms: float | None

    @property
    def joining_us_a_record(self) -> float:
        """Of the CPU time of joining, what one record takes."""
        return self.joining_cpu_s * 1e6 / self.records

    @property
    def carried_bytes_per_s(self) -> float:
        """How fast records came together here; making them is in it."""
        return self.records * row_dtype().itemsize / self.carrying_s


@dataclass(frozen=True)
class MadeRecords:
    """What generators would have recorded: every microsecond a request, by turns; answers take 0 to 1 ms.

    As ``Chunks`` it gives what was asked for, and is never waited for.
    """

    generators: int
    records: int
    header: bytes

    def rows(self, generator: int, first: int, end: int) -> Rows:
        """The rows `first` to `end` of one generator's file."""
        rows = np.zeros(max(end - first, 0), dtype=row_dtype())
        rows["seq"] = generator + self.generators * np.arange(first, end, dtype=np.uint64)
        rows["user"] = rows["seq"] % (1 << 32)
        rows["scheduled"] = rows["ready"] = rows["sent"] = rows["seq"].astype(np.int64) * _GAP_NS
        took_ns = (rows["seq"] * np.uint64(2_654_435_761) % np.uint64(NS_PER_MS)).astype(np.int64)
        rows["first_byte"] = rows["end"] = rows["read"] = rows["sent"] + took_ns
        rows["first_event"] = rows["last_event"] = -1
        rows["status"] = 200
        return rows

    def size(self, generator: int) -> int:
        """Bytes of one generator's file."""
        own = len(range(generator, self.records, self.generators))
        return len(self.header) + own * row_dtype().itemsize

    def ask(self, generator: int, offset: int, most_bytes: int) -> tuple[int, int, int]:
        """See ``Chunks``."""
        return generator, offset, most_bytes

    def arrived(
        self,
        asked: Sequence[tuple[int, int, int]],
        timeout_s: float,  # noqa: ARG002
    ) -> Sequence[tuple[int, int, int]]:
        """See ``Chunks``."""
        return asked

    def take(self, asked: tuple[int, int, int]) -> memoryview:
        """See ``Chunks``."""
        generator, offset, most_bytes = asked
        end, begin, row_bytes = min(offset + most_bytes, self.size(generator)), len(self.header), row_dtype().itemsize
        first, last = (max(offset - begin, 0) // row_bytes, -(-max(end - begin, 0) // row_bytes))
        found = self.header[offset:end]
        rows = self.rows(generator, first, last).tobytes()
        skipped = max(offset - begin, 0) - first * row_bytes
        return memoryview(found + rows[skipped : skipped + end - max(offset, begin)])


def measure(generators: int, records: int, folder: Path) -> Cost:
    """Carry and join what so many generators would have recorded together; the files are in `folder`."""
    empty = folder / "header.bin"
    write_records(empty, [], steps=("predict",), started_unix_ns=0, warmup_ns=0)
    made = MadeRecords(generators, records, empty.read_bytes())
    files = [folder / f"{number}.bin" for number in range(generators)]
    memory_before = _most_memory_bytes()
    began_s = time.monotonic()
    with Carrying(made, files) as carrying:
        for generator in range(generators):
            carrying.end_at(generator, made.size(generator))
        while not all(map(carrying.is_whole, range(generators))):
            carrying.turn(0.0)
    carried_s, carried_cpu_s = time.monotonic(), time.process_time()
    (step,) = summarise(gather([open_records(file) for file in files], _question(records)))
    joined_s = time.monotonic()
    return Cost(
        records=step.requests,
        carrying_s=carried_s - began_s,
        joining_s=joined_s - carried_s,
        joining_cpu_s=time.process_time() - carried_cpu_s,
        most_memory_bytes=_most_memory_bytes() - memory_before,
        p99_ms=step.headline_ms.p99.value,
    )


def _question(records: int) -> Question:
    """What is asked of an open loop's records, with its schedule made again beside them."""
    per_s = NS_PER_S / _GAP_NS
    arrivals = EngineArrivals(
        process="constant",
        cv=1.0,
        profile=(EngineRateSegment(per_s, per_s, 0),),
        times_ns=(),
        count=records,
        max_connections=1000,
        stream=0,
    )
    window = Window(0, records * _GAP_NS)
    process = Process(arrivals=arrivals, seed=0, group=0, first_step=0, repeats=False, ended_ns=(window.end_ns,))
    return Question(window=window, accounted=window, begins=(0,), ends=(0,), processes={"all": process})


def _most_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--generators", type=int, default=200)
    parser.add_argument("--records", type=int, default=2_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="servemark-") as folder:
        cost = measure(asked.generators, asked.records, Path(folder))
    print(
        f"{asked.generators} generators, {cost.records:,} records: carried in {cost.carrying_s:.1f} s "
        f"({cost.carried_bytes_per_s / 1e6:.0f} MB/s), joined in {cost.joining_s:.2f} s "
        f"({cost.joining_us_a_record:.2f} us of CPU a record), "
        f"{cost.most_memory_bytes / (1 << 20):.0f} MiB more than before"
    )


if __name__ == "__main__":
    main()
