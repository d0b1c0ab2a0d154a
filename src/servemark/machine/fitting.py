"""Whether this machine has the memory for what is asked of a server of ours, before it is started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from servemark.errors import DoesNotFitError
from servemark.machine.memory import RESERVE_BYTES, WorkerMemory, available_bytes, check_fits
from servemark.units import format_bytes

#: What no worker takes whose weights are in its archive, of any size: a runtime, and them several times.
_WORKER_AT_MOST_BYTES, _ARCHIVES_AT_MOST = 1 << 30, 4
#: What every worker takes that is a process of Python which computes, whatever it computes.
_WORKER_AT_LEAST_BYTES = 24 << 20


@dataclass(frozen=True)
class MemoryNeed:
    """What a server and its workers will take, and why this machine cannot give it (None: it can)."""

    needed_bytes: int
    refusal: DoesNotFitError | None


def memory_need(
    memories: Mapping[str, WorkerMemory], workers: int, *, preload: bool, answering: bool = True
) -> MemoryNeed:
    """What a server takes that has `workers` workers of each model at once.

    `preload` is whether they fork from one that has loaded the model, `answering` whether all of them are asked.
    """
    available = available_bytes()
    each = [memory.needed_bytes(workers, preload=preload, answering=answering) for memory in memories.values()]
    needed_bytes = RESERVE_BYTES + sum(each)
    if len(each) == 1:
        (memory,) = memories.values()
        try:
            check_fits(workers, memory, preload=preload, answering=answering, available=available)
        except DoesNotFitError as error:
            return MemoryNeed(needed_bytes, error)
    if needed_bytes <= available:
        return MemoryNeed(needed_bytes, None)
    refusal = DoesNotFitError(
        "the models would not fit in memory",
        cause=f"they take {format_bytes(needed_bytes)}, and {format_bytes(available)} can be had",
        next_step="use fewer workers (-w), or fewer models",
    )
    return MemoryNeed(needed_bytes, refusal)


def may_lack_room(archives: Iterable[Path], workers: int) -> bool:
    """Whether `workers` of each model might not fit, so that what one takes has to be measured.

    Measuring takes seconds: with room to spare it is left out. One worker is always tried, without a look.
    """
    if workers <= 1:
        return False
    each = [_WORKER_AT_MOST_BYTES + _ARCHIVES_AT_MOST * archive.stat().st_size for archive in archives]
    return bool(each) and RESERVE_BYTES + workers * sum(each) > available_bytes()


def check_least(workers: int) -> None:
    """Nothing, unless so many processes of workers could not be had whatever they computed.

    Raises:
        DoesNotFitError: says what they take at the least.
    """
    available = available_bytes()
    if workers > 1 and RESERVE_BYTES + workers * _WORKER_AT_LEAST_BYTES > available:
        each = format_bytes(_WORKER_AT_LEAST_BYTES)
        raise DoesNotFitError(
            f"{workers} workers would not fit in memory",
            cause=f"each takes {each} at the least, and {format_bytes(available)} can be had",
            next_step="use fewer workers (-w)",
        )
