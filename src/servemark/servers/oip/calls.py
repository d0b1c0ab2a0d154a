"""The calls of the Open Inference Protocol that do not predict: what a server says of itself and of its models, and
Triton's repository. Each has a time limit; whatever is not a success is a ``ManagementError``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from servemark.errors import ManagementError
from servemark.servers.http.connection import http_client
from servemark.servers.http.words import WHERE_NOT_ALLOWED, server_message
from servemark.servers.oip.dialect import load_with, model_path, repository_path
from servemark.servers.oip.tensors import TensorSpec
from servemark.workload.address import Address
from servemark.workload.scenario import Request

_LOOK_TIMEOUT_S = 10.0
_LOAD_TIMEOUT_S = 300.0
_UNLOAD_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class About:
    """What a server says of itself."""

    name: str
    version: str | None
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class Signature:
    """What a server says of a model: its inputs and outputs, either empty where it does not say."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class OipCalls:
    """The server at `address`; a context manager. `log` is told every call and its answer."""

    def __init__(self, address: Address, log: Callable[[str], None] | None = None) -> None:
        self.address = address
        self._log = log
        self._client = http_client(address, _LOOK_TIMEOUT_S)

    def __enter__(self) -> OipCalls:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def about(self) -> About:
        """What the server says of itself."""
        said = self._object("ask what the server is", Request("GET", "/v2"))
        extensions = said.get("extensions")
        version = said.get("version")
        return About(
            str(said.get("name", "")),
            str(version) if version else None,
            tuple(map(str, extensions)) if isinstance(extensions, list) else (),
        )

    def models(self) -> tuple[str, ...]:
        """The names of the models that are loaded, as far as the server lists them; KServe has a list of its own."""
        for request in (Request("POST", "/v2/repository/index", body=b'{"ready": true}'), Request("GET", "/v2/models")):
            try:
                listed = self._json("list the models", request)
            except ManagementError as error:
                if error.status is None:
                    raise
                continue
            if isinstance(listed, dict):
                listed = listed.get("models")
            if isinstance(listed, list):
                names = [one.get("name") if isinstance(one, dict) else one for one in listed]
                unloaded = {
                    one["name"] for one in listed if isinstance(one, dict) and one.get("state") == "UNAVAILABLE"
                }
                return tuple(sorted({str(name) for name in names} - unloaded))
        return ()

    def signature(self, model: str) -> Signature | None:
        """The inputs and outputs of a model; None where the server has no model of that name.

        Raises:
            ManagementError: it does not say.
        """
        try:
            said = self._object(f"ask what {model} takes", Request("GET", model_path(model)))
        except ManagementError as error:
            if error.status in (400, 404):  # Triton, and everybody else
                return None
            raise
        try:
            tensors = [tuple(TensorSpec.read(one) for one in said.get(key) or ()) for key in ("inputs", "outputs")]
        except (ValueError, TypeError) as error:
            raise ManagementError(
                f"cannot read what {model} takes", status=200, message=str(error), next_step="give its input with -i"
            ) from error
        return Signature(*tensors)

    def config(self, model: str) -> Mapping[str, Any]:
        """The configuration with which Triton has loaded a model."""
        return self._object(f"ask how {model} is served", Request("GET", f"{model_path(model)}/config"))

    def statistics(self, model: str) -> Sequence[Mapping[str, Any]]:
        """What the server counted of each version of a model; empty where it counts nothing."""
        try:
            said = self._object(f"ask what {model} did", Request("GET", f"{model_path(model)}/stats"))
            return [one for one in said["model_stats"] if isinstance(one, dict)]
        except (ManagementError, KeyError, TypeError):
            return []

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> float:
        """Have Triton load a model, with that configuration or its own; how long the call took, in ms."""
        started_s = time.monotonic()
        self._answer(f"load {model}", load_with(model, config), _LOAD_TIMEOUT_S)
        return (time.monotonic() - started_s) * 1000

    def unload(self, model: str) -> None:
        """Have a model unloaded, and wait until it is gone: Triton answers before.

        Raises:
            ManagementError: it is refused, or is still there after a minute.
        """
        self._answer(f"unload {model}", Request("POST", repository_path(model, "unload"), body=b"{}"), _LOAD_TIMEOUT_S)
        give_up_s = time.monotonic() + _UNLOAD_TIMEOUT_S
        while self.state(model) not in (None, "UNAVAILABLE"):
            if time.monotonic() > give_up_s:
                raise ManagementError(
                    f"cannot unload {model}", status=200, message=f"it is still there after {_UNLOAD_TIMEOUT_S:g} s"
                )
            time.sleep(_LOOK_EVERY_S)

    def state(self, model: str) -> str | None:
        """What the repository says of a model, as in ``READY``; None where it is not in it."""
        listed = self._json("list the models", Request("POST", "/v2/repository/index", body=b"{}"))
        found = [one for one in listed if isinstance(one, dict) and one.get("name") == model]
        return str(found[-1].get("state", "UNAVAILABLE")) if found else None

    def _object(self, what: str, request: Request) -> Mapping[str, Any]:
        value = self._json(what, request)
        if not isinstance(value, dict):
            raise ManagementError(f"cannot {what}", status=200, message=f"it answers {str(value)[:80]!r}")
        return value

    def _json(self, what: str, request: Request) -> Any:
        response = self._answer(what, request, _LOOK_TIMEOUT_S)
        try:
            return response.json()
        except (ValueError, RecursionError) as error:
            words = server_message(response.text)
            raise ManagementError(f"cannot {what}", status=200, message=f"it answers {words!r}, no JSON") from error

    def _answer(self, what: str, request: Request, timeout_s: float) -> httpx.Response:
        asked = f"{request.method} {request.path}"
        try:
            response = self._client.request(
                request.method, request.path, content=request.body, timeout=timeout_s, headers=dict(request.headers)
            )
        except httpx.TransportError as error:
            self._tell(f"{asked} -> {error or type(error).__name__}")
            message = f"{self.address.url} does not answer ({error or type(error).__name__})"
            raise ManagementError(f"cannot {what}", status=None, message=message) from error
        self._tell(f"{asked} -> {response.status_code}")
        if response.status_code != 200:
            raise ManagementError(
                f"cannot {what}",
                status=response.status_code,
                message=server_message(response.text) or f"HTTP {response.status_code}",
                next_step=_next_step(response.status_code),
            )
        return response

    def _tell(self, line: str) -> None:
        if self._log:
            self._log(f"management: {line}")


def _next_step(status: int) -> str:
    if status in (401, 403):
        return WHERE_NOT_ALLOWED
    return ""
