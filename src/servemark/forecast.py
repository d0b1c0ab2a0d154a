"""What a benchmark will take, told before a suite begins: time, and memory on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from servemark.benchmarks import Point
from servemark.errors import DoesNotFitError
from servemark.machine.fitting import MemoryNeed, memory_need
from servemark.servers import Launcher, default_workers
from servemark.units import NS_PER_S, format_bytes
from servemark.workload.load import Load, OpenLoad

#: Least and most that a server takes to start, and a worker to load a model of the zoo, on two processors.
_START_S = (2.0, 6.0)
_WORKER_S = (0.2, 4.0)
#: A request of which there is an exact number: how long one may take, with every user at it.
_REQUEST_S = (0.001, 0.3)


@dataclass(frozen=True)
class Forecast:
    """Least and most seconds, and the memory of its server; None where the server is not ours."""

    least_s: float
    most_s: float
    memory_bytes: int | None
    refusal: DoesNotFitError | None

    @property
    def line(self) -> str:
        """Both, for people."""
        memory = f", {format_bytes(self.memory_bytes)}" if self.memory_bytes is not None else ""
        return f"{format_range_s(self.least_s, self.most_s)}{memory}"


def forecast_of(launcher: Launcher, points: Sequence[Point]) -> Forecast:
    """What measuring `points` will take. On first use this installs what the server needs, and builds its models.

    Raises:
        SetupError: that could not be done.
        ModelError: the model cannot be loaded.
    """
    needs: list[MemoryNeed] = []
    loads = 0
    for (server, model), _ in itertools.groupby(points, key=lambda point: (point.server, point.model)):
        memories = launcher.worker_memory(server)
        workers = model.workers or default_workers(server.gpus)
        if memories:
            at_once, preload = server.most_workers or workers, server.preload_model
            needs.append(memory_need(memories, at_once, preload=preload, answering=server.all_answer))
        loads += len(memories) * (workers if server.preload_model else max(workers, server.most_workers or 0))
    largest = max(needs, key=lambda need: (need.refusal is not None, need.needed_bytes), default=None)
    return Forecast(
        least_s=_START_S[0] + loads * _WORKER_S[0] + sum(_load_s(point.load, 0) for point in points),
        most_s=_START_S[1] + loads * _WORKER_S[1] + sum(_load_s(point.load, 1) for point in points),
        memory_bytes=largest.needed_bytes if largest else None,
        refusal=largest.refusal if largest else None,
    )


def _load_s(load: Load, bound: int) -> float:
    """The least (0) or the most (1) seconds of a load."""
    if isinstance(load, OpenLoad) and load.requests is not None:
        arrivals = load.arrivals
        if arrivals.times_ns:
            schedule_s = arrivals.times_ns[load.requests - 1] / NS_PER_S
        else:
            schedule_s = load.requests / arrivals.profile[0].from_per_s
        return max(schedule_s, load.requests * _REQUEST_S[1]) if bound else schedule_s
    if load.scenarios is not None:
        return load.scenarios * _REQUEST_S[bound]
    if load.until is not None:
        return load.warmup_s + (load.until.max_s if bound else load.until.min_s)
    return load.longest_s or 0.0


def format_range_s(least_s: float, most_s: float) -> str:
    """A range of times, in the unit that fits it: ``'12 to 70 s'``, ``'2 to 7 minutes'``."""
    if most_s < 100:
        return f"{least_s:.0f} to {most_s:.0f} s"
    return f"{least_s / 60:.0f} to {most_s / 60:.0f} minutes" if least_s >= 60 else f"up to {most_s / 60:.0f} minutes"
