"""Memory: what a server of ours holds, what one more worker costs, and how many workers fit on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from servemark.errors import DoesNotFitError
from servemark.machine import cgroups
from servemark.units import format_bytes

#: Kept free. Java takes 0.1 GiB when it starts and has come to 0.3 GiB under load (noop, 500 threads), though its own
#: rule allows it a quarter of the machine's memory; servemark itself takes 0.15 GiB. The rest is for the files of the
#: runtime (70 MiB with MXNet), which a machine that is short of memory reads again and again, long before it kills.
RESERVE_BYTES = 1 << 30


@dataclass(frozen=True)
class WorkerMemory:
    """What workers of a model cost, measured on this machine; on the CPU, whatever the server is to use.

    Attributes:
        alone_bytes: what one more worker adds that has loaded the model itself. The runtime's files, which they share,
            are not in it, but in RESERVE_BYTES.
        forked_bytes: what one more worker adds that was forked from a process with the model (preload_model).
        answering_bytes: what a worker adds when it answers its first prediction; 0 when no input was given.
    """

    alone_bytes: int
    forked_bytes: int
    answering_bytes: int = 0

    def needed_bytes(self, workers: int, *, preload: bool, answering: bool = True) -> int:
        """What `workers` workers take; with `preload` the process that they are forked from is among it."""
        each = self.each_bytes(preload=preload, answering=answering)
        return workers * each + (self.alone_bytes if preload else 0)

    def each_bytes(self, *, preload: bool, answering: bool = True) -> int:
        """What one more worker takes: one that answers predictions, or else one that has only loaded the model."""
        return (self.forked_bytes if preload else self.alone_bytes) + (self.answering_bytes if answering else 0)


def processes_memory_bytes(processes: Iterable[psutil.Process]) -> int | None:
    """The memory that `processes` hold together; None when there are none whose memory can be read.

    On Linux the sum of their proportional set sizes (PSS): a page that several share is counted once in all. Where that
    cannot be read, of each process what it alone holds (USS, on macOS), or what is resident (RSS, another user's), in
    which shared pages are counted in each. A process that ends meanwhile counts as nothing.
    """
    held = [held for held in map(_process_bytes, processes) if held is not None]
    return sum(held) if held else None


def _process_bytes(process: psutil.Process) -> int | None:
    with suppress(psutil.Error, OSError):
        try:
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.uss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    return None


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that can be had now without swapping: the machine's, or what our control groups still allow.

    `root` holds their /proc and /sys.
    """
    return min([psutil.virtual_memory().available, *cgroups.memory_left_bytes(root)])


def fitting_workers(available: int, memory: WorkerMemory, *, preload: bool, answering: bool = True) -> int:
    """The largest number of workers that fits into `available` bytes, RESERVE_BYTES left free; 0 when not one does."""
    left = available - RESERVE_BYTES - memory.needed_bytes(0, preload=preload)
    return max(0, left // max(1, memory.each_bytes(preload=preload, answering=answering)))


def check_fits(workers: int, memory: WorkerMemory, *, preload: bool, answering: bool = True, available: int) -> None:
    """Nothing, when `workers` workers fit into `available` bytes.

    Raises:
        DoesNotFitError: they do not; says how much it takes, how much there is, and how many would fit.
    """
    fitting = fitting_workers(available, memory, preload=preload, answering=answering)
    if workers <= fitting:
        return
    each = memory.each_bytes(preload=preload, answering=answering)
    needed = memory.needed_bytes(workers, preload=preload, answering=answering) + RESERVE_BYTES
    raise DoesNotFitError(
        f"{workers} worker{'s' if workers > 1 else ''} would not fit in memory",
        cause=f"they take {format_bytes(needed)} ({format_bytes(each)} each, {format_bytes(RESERVE_BYTES)} kept free), "
        f"and {format_bytes(available)} can be had",
        next_step=f"ask for at most {fitting}" if fitting else "not one fits: free memory, or choose a smaller model",
    )
