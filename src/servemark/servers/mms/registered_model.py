"""A model on a server that is not ours: registered from our web server, and removed whatever happens."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from servemark.environments.cache import Progress
from servemark.errors import ManagementError, ModelError
from servemark.servers import ModelSettings
from servemark.servers.mms.archive_download import downloadable_archive
from servemark.servers.mms.archives import ModelArchive
from servemark.servers.mms.management import ManagementClient, Refusal, refusal_of
from servemark.servers.mms.temporary_models import removing
from servemark.workload.address import Address

_REGISTER_S = 60.0
_REGISTER_EACH_WORKER_S = 30.0
_REMOVE_TIMEOUT_S = 30.0
_RUNTIMES = {"mxnet": "MXNet", "onnx": "ONNX Runtime"}


@dataclass(frozen=True)
class Registered:
    """A registered model: the url under which the server can download it, and the time of the registering call."""

    url: str
    register_ms: float


@contextmanager
def registered_model(
    management: ManagementClient,
    model: ModelArchive,
    settings: ModelSettings,
    workers: int,
    response_timeout_s: int,
    progress: Progress,
    log: Callable[[str], None] | None,
) -> Iterator[Registered]:
    """`model`, registered on the server, which can download it as long as this is open; removed at the end.

    Raises:
        ModelError: the server cannot download it from us or cannot run it.
    """
    with ExitStack() as stack:
        try:
            url = stack.enter_context(downloadable_archive(model.archive, management.address, log))
        except OSError as error:
            raise ModelError(
                f"{model.name} cannot be offered to the server",
                cause=error.strerror or str(error),
                next_step=registering_by_hand(model, workers, management.address),
            ) from error
        stack.callback(_remove, management, model.name, url, progress)
        try:
            accepted = management.register(
                url,
                model_name=model.name,
                batch_size=settings.batch_size,
                max_batch_delay_ms=settings.max_batch_delay_ms,
                initial_workers=workers,
                synchronous=True,
                response_timeout_s=response_timeout_s,
                timeout_s=_REGISTER_S + _REGISTER_EACH_WORKER_S * workers,
            )
        except ManagementError as error:
            raise _explained(error, management, model, workers) from error
        yield Registered(url, accepted.elapsed_ms)


def registering_by_hand(model: ModelArchive, workers: int, server: Address) -> str:
    """The commands that have the server with the management API at `server` load `model` when we cannot."""
    query = f"url={model.archive.name}&model_name={model.name}&initial_workers={workers}&synchronous=true"
    command = shlex.join(["curl", *(["-k"] if server.tls else []), "-X", "POST", f"{server.url}/models?{query}"])
    return f"register it by hand: copy {model.archive} into its model store, then {command}"


def _explained(error: ManagementError, management: ManagementClient, model: ModelArchive, workers: int) -> ModelError:
    """Why the server could not be given the model."""
    by_hand = registering_by_hand(model, workers, management.address)
    what, next_step = f"the server cannot load {model.name}", by_hand
    runtime = _RUNTIMES.get(model.backend or "", "")
    if refusal_of(error) is Refusal.WORKERS_FAILED and runtime:
        other = "onnx" if model.backend == "mxnet" else "mxnet"
        cause = f"its workers failed to start; the Python that they run in probably cannot import {runtime}"
        next_step = f"see the server's log; install {runtime} there, or use --backend {other}"
        return ModelError(what, cause=cause, next_step=next_step)
    if refusal_of(error) is Refusal.WORKERS_FAILED and model.origin:
        cause = "its workers failed to start; the Python that they run in probably lacks what the handler imports"
        next_step = "see the server's log, or measure a server of our own, which names it"
        return ModelError(what, cause=cause, next_step=next_step)
    if refusal_of(error) is Refusal.BAD_REQUEST:
        what = f"the server cannot download {model.name} from this machine"
    return ModelError(what, cause=error.message, next_step=next_step)


def _remove(management: ManagementClient, name: str, url: str, progress: Progress) -> None:
    """Remove the model if it is the one that came from `url`; interrupted once, this tries again."""
    try:
        _remove_ours(management, name, url, progress)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            _remove_ours(management, name, url, progress)
        raise


def _remove_ours(management: ManagementClient, name: str, url: str, progress: Progress) -> None:
    try:
        if management.describe(name).url == url:
            management.unregister(name, timeout_s=_REMOVE_TIMEOUT_S)
    except ManagementError as error:
        if refusal_of(error) is not Refusal.UNKNOWN:
            left = f"{name} may still be on the server ({error.message})"
            progress(f"{left}; remove it with {removing(management, name)}")
