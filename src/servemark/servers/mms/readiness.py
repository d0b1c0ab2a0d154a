"""Readiness: every worker READY, and all of them still the same. MMS's own health check says neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from servemark.errors import ManagementError, ModelError
from servemark.servers.mms.management import ManagementClient, ModelDescription

_LOOK_EVERY_S = 0.05


def wait_for_workers(
    management: ManagementClient, name: str, workers: int, timeout_s: float, check_alive: Callable[[], None]
) -> ModelDescription:
    """The model's description once `workers` workers are READY. `check_alive` raises when waiting is in vain.

    Raises:
        ModelError: they were not READY in time.
        ManagementError: the server refused to say.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        description = management.describe(name)
        if description.ready_workers >= workers:
            return description
        check_alive()
        if time.monotonic() > deadline:
            raise ModelError(
                f"only {description.ready_workers} of {workers} workers of {name} were ready after {timeout_s:g} s",
                next_step="ask for fewer workers with -w",
            )
        time.sleep(_LOOK_EVERY_S)


def settings_of(description: ModelDescription) -> Mapping[str, object]:
    """A model's settings under the names that servemark uses."""
    return {
        "workers": description.ready_workers,
        "batch_size": description.batch_size,
        "max_batch_delay_ms": description.max_batch_delay_ms,
    }


def settings_now(
    names: Iterable[str], management: ManagementClient, tell: Callable[[str], None]
) -> Mapping[str, Mapping[str, object]]:
    """The settings of the models of these names; one that cannot be read is left out, and `tell` hears why."""
    found: dict[str, Mapping[str, object]] = {}
    for name in names:
        try:
            found[name] = settings_of(management.describe(name))
        except ManagementError as error:
            tell(str(error))
    return found


def changed_workers(before: Iterable[ModelDescription], management: ManagementClient, timeout_s: float) -> str:
    """What happened to a worker of one of these models since they were described; '' while all are well."""
    return next(filter(None, (changed_worker(model, management, timeout_s) for model in before)), "")


def changed_worker(before: ModelDescription, management: ManagementClient, timeout_s: float) -> str:
    """What happened to the workers since `before`: '' while all are well. No answer in time tells nothing: ''.

    MMS calls a worker READY even when its process has just died, but lengthens its id when it is started again.
    """
    try:
        now = management.describe(before.name, timeout_s)
    except ManagementError as error:
        if error.status is None:
            return ""
        return f"the server no longer has the model {before.name} ({error.message})"
    if now.ready_workers < now.min_workers:
        return f"{now.min_workers - now.ready_workers} of {now.min_workers} workers of {now.name} are gone"
    known = [worker.worker_id for worker in before.workers]
    for worker in now.workers:
        if any(worker.worker_id.startswith(f"{old}-") for old in known):
            return f"worker {worker.worker_id.split('-')[0]} of {now.name} died and was started again"
    return ""
