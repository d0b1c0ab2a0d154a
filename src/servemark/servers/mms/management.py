"""The management API of Multi Model Server 1.1.11: register, scale, describe, list and unregister models.

Every call has a time limit, because the server does not always answer (scaling to 0 workers and up again hangs).
Whatever is not a plain success is a ``ManagementError``; ``refusal_of`` says which class of refusal it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any

import httpx

from servemark.errors import ManagementError
from servemark.servers.http.connection import http_client
from servemark.servers.http.words import server_message
from servemark.servers.mms.dialect import model_path
from servemark.units import NS_PER_MS
from servemark.workload.address import Address

#: Limits on calls that only look, and on calls that start or stop workers.
LOOK_TIMEOUT_S = 10.0
CHANGE_TIMEOUT_S = 300.0


class Refusal(Enum):
    """The classes of refused or failed management calls, as far as the server lets them be told apart."""

    NO_ANSWER = "no answer in time, or no connection"
    UNKNOWN = "no such model, or no such archive in the model store"
    DUPLICATE = "a model of that name is registered already"
    BAD_REQUEST = "a parameter is missing or contradictory, or the archive cannot be downloaded or used"
    BAD_ARCHIVE = "the archive is corrupt"
    WORKERS_FAILED = "the workers did not start"
    OUT_OF_MEMORY = "a worker ran out of memory"
    NO_WORKER = "the model has no worker"
    PARTIAL = "only part of the workers is there"
    OTHER = "anything else"


@dataclass(frozen=True)
class WorkerDescription:
    """A worker. `worker_id` changes when its process is started again; `status` is "READY" or "UNLOADING"."""

    worker_id: str
    status: str
    gpu: bool
    memory_bytes: int


@dataclass(frozen=True)
class ModelDescription:
    """What the server says of a model."""

    name: str
    url: str
    runtime: str
    min_workers: int
    max_workers: int
    batch_size: int
    max_batch_delay_ms: int
    workers: tuple[WorkerDescription, ...]

    @property
    def ready_workers(self) -> int:
        """How many workers say that they are READY."""
        return sum(worker.status == "READY" for worker in self.workers)


@dataclass(frozen=True)
class ListedModel:
    """A line of the server's list of models."""

    name: str
    url: str


@dataclass(frozen=True)
class Accepted:
    """A call that succeeded: its status (202 when the work goes on), the server's words, and how long it took."""

    status: int
    message: str
    elapsed_ms: float


def refusal_of(error: ManagementError) -> Refusal:
    """The class of a failed call, from its status and, where one status has two meanings, its message."""
    if error.status == 500 and "Failed to start workers" in error.message:
        return Refusal.WORKERS_FAILED
    if error.status == 500 and "Failed to save model" in error.message:
        return Refusal.BAD_ARCHIVE
    by_status = {
        None: Refusal.NO_ANSWER,
        210: Refusal.PARTIAL,
        400: Refusal.BAD_REQUEST,
        404: Refusal.UNKNOWN,
        409: Refusal.DUPLICATE,
        503: Refusal.NO_WORKER,
        507: Refusal.OUT_OF_MEMORY,
    }
    return by_status.get(error.status, Refusal.OTHER)


class ManagementClient:
    """The management API at `address`; a context manager. `log` is told every call and its answer."""

    def __init__(self, address: Address, log: Callable[[str], None] | None = None) -> None:
        self.address = address
        self._log = log
        self._client = http_client(address, LOOK_TIMEOUT_S)

    def __enter__(self) -> ManagementClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def list_models(self, page_size: int = 100) -> tuple[ListedModel, ...]:
        """Every model that the server has, by name; asked for in pages of at most 100."""
        models: list[ListedModel] = []
        token: str | None = None
        while True:
            page = {"limit": page_size, "next_page_token": token}
            answer = self._json("list the models", "GET", "/models", page)
            found = _as_list(answer.get("models"))
            models.extend(ListedModel(str(m.get("modelName")), str(m.get("modelUrl", ""))) for m in found)
            token = answer.get("nextPageToken")
            # The server names a next page when the last one was exactly full, too: that one is empty.
            if token is None or not found:
                return tuple(models)

    def describe(self, name: str, timeout_s: float = LOOK_TIMEOUT_S) -> ModelDescription:
        """What the server says of a model: its workers and settings."""
        answer = self._json(f"describe the model {name}", "GET", model_path(name), {}, timeout_s)
        workers = tuple(
            WorkerDescription(
                worker_id=str(worker.get("id", "")),
                status=str(worker.get("status", "")),
                gpu=bool(worker.get("gpu", False)),
                memory_bytes=_number(worker, "memoryUsage", 0),
            )
            for worker in _as_list(answer.get("workers"))
        )
        return ModelDescription(
            name=str(answer.get("modelName", name)),
            url=str(answer.get("modelUrl", "")),
            runtime=str(answer.get("runtime", "")),
            min_workers=_number(answer, "minWorkers", 0),
            max_workers=_number(answer, "maxWorkers", 0),
            batch_size=_number(answer, "batchSize", 1),
            max_batch_delay_ms=_number(answer, "maxBatchDelay", 0),
            workers=workers,
        )

    def register(
        self,
        url: str,
        *,
        model_name: str | None = None,
        handler: str | None = None,
        runtime: str | None = None,
        batch_size: int | None = None,
        max_batch_delay_ms: int | None = None,
        initial_workers: int | None = None,
        synchronous: bool = True,
        response_timeout_s: int | None = None,
        preload_model: bool | None = None,
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> Accepted:
        """Register an archive: a file name in the model store, or an http(s) URL. None leaves the server's default.

        `synchronous` waits until every initial worker has loaded the model. The parameters go as JSON: 1.1.11 takes
        the response_timeout of a query string for minutes, that of a JSON body for the seconds it is documented as.
        """
        parameters = {
            "url": url,
            "model_name": model_name,
            "handler": handler,
            "runtime": runtime,
            "batch_size": batch_size,
            "max_batch_delay": max_batch_delay_ms,
            "initial_workers": initial_workers,
            "synchronous": synchronous,
            "response_timeout": response_timeout_s,
            "preload_model": preload_model,
        }
        return self._change(f"register {model_name or url}", "POST", "/models", parameters, timeout_s)

    def scale(
        self,
        name: str,
        min_workers: int,
        max_workers: int | None = None,
        *,
        synchronous: bool = True,
        number_of_gpus: int | None = None,
        worker_timeout_s: int | None = None,
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> Accepted:
        """Have between `min_workers` and `max_workers` (default the same) workers.

        `number_of_gpus` and `worker_timeout_s` are in the API's description; 1.1.11 ignores them.
        """
        parameters = {
            "min_worker": min_workers,
            "max_worker": min_workers if max_workers is None else max_workers,
            "synchronous": synchronous,
            "number_gpu": number_of_gpus,
            "timeout": worker_timeout_s,
        }
        return self._change(f"scale {name} to {min_workers} workers", "PUT", model_path(name), parameters, timeout_s)

    def unregister(self, name: str, timeout_s: float = CHANGE_TIMEOUT_S) -> Accepted:
        """Remove a model and its workers."""
        return self._change(f"remove the model {name}", "DELETE", model_path(name), {}, timeout_s)

    def _json(
        self, what: str, method: str, path: str, parameters: Mapping[str, object], timeout_s: float = LOOK_TIMEOUT_S
    ) -> Mapping[str, Any]:
        response, _ = self._call(what, method, path, parameters, timeout_s)
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, list) and answer:  # TorchServe's: a model has versions
            answer = answer[0]
        if not isinstance(answer, dict):
            raise ManagementError(
                f"cannot {what}",
                status=response.status_code,
                message=f"{self.address.url} does not answer as a management API: {server_message(response.text)!r}",
                next_step="check the management port",
            )
        return answer

    def _change(
        self, what: str, method: str, path: str, parameters: Mapping[str, object], timeout_s: float
    ) -> Accepted:
        response, elapsed_ms = self._call(what, method, path, parameters, timeout_s)
        return Accepted(response.status_code, _status_text(response), elapsed_ms)

    def _call(
        self, what: str, method: str, path: str, parameters: Mapping[str, object], timeout_s: float
    ) -> tuple[httpx.Response, float]:
        given = {key: value for key, value in parameters.items() if value is not None}
        query = {key: _spelled(value) for key, value in given.items()}
        sent: dict[str, Any] = {"json": given} if method == "POST" else {"params": query or None}
        started_ns = time.perf_counter_ns()
        try:
            response = self._client.request(method, path, timeout=timeout_s, **sent)
        except httpx.TimeoutException as error:
            self._tell(method, path, query, f"no answer in {timeout_s:g} s")
            raise ManagementError(f"cannot {what}", status=None, message=f"no answer in {timeout_s:g} s") from error
        except httpx.TransportError as error:
            self._tell(method, path, query, str(error))
            message = f"{self.address.url} does not answer ({error})"
            raise ManagementError(f"cannot {what}", status=None, message=message) from error
        elapsed_ms = (time.perf_counter_ns() - started_ns) / NS_PER_MS
        self._tell(method, path, query, f"{response.status_code} {_status_text(response)} ({elapsed_ms:.0f} ms)")
        if response.status_code not in (200, 202):
            raise ManagementError(f"cannot {what}", status=response.status_code, message=_status_text(response))
        return response, elapsed_ms

    def _tell(self, method: str, path: str, query: Mapping[str, str], outcome: str) -> None:
        if self._log:
            target = f"{path}?{httpx.QueryParams(query)}" if query else path
            self._log(f"management: {method} {target} -> {outcome}")


def _as_list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(said: Mapping[str, Any], name: str, usual: int) -> int:
    """A number that a server tells; `usual` where it tells none."""
    try:
        return int(said[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return usual


def _status_text(response: httpx.Response) -> str:
    """The server's words: `status` of its successes, `message` of its errors."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    status = answer.get("status") if isinstance(answer, dict) else None
    if isinstance(status, str):
        return status
    return "" if isinstance(answer, dict) and "message" not in answer else server_message(response.text)
