"""Readiness: every worker READY, and a prediction that is right. MMS's own health check says neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import httpx

from servemark.errors import InputRefusedError, ManagementError, ModelError
from servemark.servers.http.connection import Answer, send_once
from servemark.servers.mms.inference import describe_failure, prediction_request
from servemark.servers.mms.management import ManagementClient, ModelDescription
from servemark.workload.inputs import Input
from servemark.workload.plan import Address

_LOOK_EVERY_S = 0.05
FIRST_PREDICTION_TIMEOUT_S = 120.0
#: Of a pool of thousands the first few prove that the model takes its kind; the records tell of the others.
_MOST_PROVED = 16


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


def first_prediction(
    address: Address,
    name: str,
    inputs: tuple[Input, ...],
    check: Callable[[bytes], str | None],
    expect_status: int | None = None,
    timeout_s: float = FIRST_PREDICTION_TIMEOUT_S,
) -> float:
    """Send the first inputs once and check the answers; the time of the first, in ms, is the cold start.

    `expect_status` is that of a right answer, None any 2xx; what any other than a 2xx says is not looked at.

    Raises:
        InputRefusedError: the model refused an input.
        ModelError: the model failed, gave no answer, or gave a wrong one.
    """
    sample = inputs[:_MOST_PROVED]
    elapsed = [_checked(address, name, what, check, expect_status, timeout_s).elapsed_ms for what in sample]
    return elapsed[0]


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


def _checked(
    address: Address,
    name: str,
    what: Input,
    check: Callable[[bytes], str | None],
    expect_status: int | None,
    timeout_s: float,
) -> Answer:
    try:
        answer = send_once(address, prediction_request(name, what), timeout_s)
    except httpx.TimeoutException as error:
        raise ModelError(
            f"the model {name} did not answer its first prediction in {timeout_s:g} s", next_step="see its log (-v)"
        ) from error
    except httpx.TransportError as error:
        raise ModelError(
            f"the connection broke in the first prediction of {name}", cause=str(error), next_step="see its log (-v)"
        ) from error
    is_success = 200 <= answer.status < 300
    if answer.status == expect_status and not is_success:
        return answer
    if is_success and expect_status not in (None, answer.status):
        raise ModelError(
            f"the model {name} answered {what.origin} with {answer.status}, not {expect_status}",
            next_step="check --expect-status",
        )
    if not is_success:
        cause = f"HTTP {answer.status}, {describe_failure(answer.status, answer.body)}"
        if 400 <= answer.status < 500 and answer.status != 404:
            raise InputRefusedError(
                f"the model {name} refused the input {what.origin}",
                cause=cause,
                next_step="give an input that it takes with -i",
            )
        raise ModelError(
            f"the model {name} failed on the input {what.origin}", cause=cause, next_step="see the server's log (-v)"
        )
    wrong = check(answer.body)
    if wrong:
        raise ModelError(
            f"the model {name} gave a wrong answer to {what.origin}",
            cause=wrong,
            next_step="give an input that it takes with -i, or check what is registered under that name",
        )
    return answer
