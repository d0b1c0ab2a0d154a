"""A running server with ``:predict``: that it has the model is asked before anything is sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from servemark.errors import UsageError
from servemark.servers import ServerSettings
from servemark.servers.http.connection import send_once
from servemark.servers.http.finding import Found
from servemark.servers.http.model_names import no_such_model, not_named
from servemark.servers.http.plain import PlainServer
from servemark.servers.http.words import json_object, server_message
from servemark.servers.tfserving.dialect import TfServingDialect, model_path
from servemark.workload.scenario import Request

if TYPE_CHECKING:
    from servemark.servers.running import RunningLauncher

_LOOK_TIMEOUT_S = 10.0


@contextmanager
def running_server(asked: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[PlainServer]:
    """The server that was `found`.

    Raises:
        UsageError: the model is not named, or the server has it not, or it is not available.
    """
    listed = send_once(found.address, Request("GET", "/v1/models"), _LOOK_TIMEOUT_S)  # KServe's; the other has no list
    models = json_object(listed.body).get("models")
    names = [str(model) for model in models] if isinstance(models, list) else None
    if not asked.is_named:
        raise not_named(names, ", and -i for what to send to it")
    for model in map(str, asked.models):
        answer = send_once(found.address, Request("GET", model_path(model)), _LOOK_TIMEOUT_S)
        if answer.status == 404:
            raise no_such_model(model, names, server_message(answer.body))
        if not _is_available(json_object(answer.body)):
            raise UsageError(
                f"the model {model} is not available", cause=server_message(answer.body), next_step="wait until it is"
            )
    known = replace(found, dialect=TfServingDialect("KServe")) if isinstance(models, list) else found
    yield asked.plain(known, settings)


def _is_available(state: object) -> bool:
    """Whether a version of the model answers; KServe says it of the model in another word."""
    if not isinstance(state, dict):
        return False
    versions = state.get("model_version_status")
    if isinstance(versions, list):
        return any(isinstance(one, dict) and one.get("state") == "AVAILABLE" for one in versions)
    return str(state.get("ready")).lower() == "true"
