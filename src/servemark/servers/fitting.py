"""Whether this machine has the memory for what is asked of a server of ours, before it is started."""

from __future__ import annotations

from collections.abc import Sequence

from servemark.environments.cache import Progress
from servemark.environments.mms import MmsEnvironment
from servemark.errors import DoesNotFitError
from servemark.servers import MemoryNeed, ModelSettings, ServerSettings
from servemark.servers.memory import RESERVE_BYTES, WorkerMemory, available_bytes, check_fits
from servemark.servers.servable import ServableModel, default_workers
from servemark.servers.worker_memory import worker_memory
from servemark.units import format_bytes


def measured_workers(
    models: Sequence[ServableModel], environment: MmsEnvironment, progress: Progress
) -> tuple[WorkerMemory, ...]:
    """What a worker of each model costs. Measuring it proves that the model can be loaded.

    Raises:
        ModelError: one cannot be loaded; the exception is in the error's line.
    """
    return tuple(
        worker_memory(
            model.name,
            model.archive,
            model.inputs[0] if model.inputs else None,
            [environment.python],
            environment_id=repr(sorted(environment.versions.items())),
            progress=progress,
        )
        for model in models
    )


def memory_need(
    memories: Sequence[WorkerMemory], settings: ServerSettings, model_settings: ModelSettings | None = None
) -> MemoryNeed:
    """What a server with `settings` takes when it has workers of all `memories`, as many as it will have at once."""
    answering = settings.most_workers is None or settings.most_workers_answer
    workers = settings.most_workers
    if workers is None:
        workers = (model_settings.workers if model_settings else None) or default_workers()
    preload = settings.preload_model
    needed = RESERVE_BYTES + sum(
        memory.needed_bytes(workers, preload=preload, answering=answering) for memory in memories
    )
    if len(memories) == 1:
        try:
            check_fits(workers, memories[0], preload=preload, answering=answering)
        except DoesNotFitError as error:
            return MemoryNeed(needed, error)
        return MemoryNeed(needed, None)
    available = available_bytes()
    if needed <= available:
        return MemoryNeed(needed, None)
    refusal = DoesNotFitError(
        "the models would not fit in memory",
        cause=f"they take {format_bytes(needed)}, and {format_bytes(available)} can be had",
        next_step="use fewer workers (-w), or fewer models",
    )
    return MemoryNeed(needed, refusal)
