"""A running server with OpenAI's API: which models it has, and that the one that is measured answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from servemark.errors import UsageError
from servemark.servers import LoadedModel, ModelSettings, Server, ServerSettings
from servemark.servers.http.finding import Found
from servemark.servers.http.first_prediction import first_prediction
from servemark.servers.http.model_names import no_such_model, not_named
from servemark.servers.http.plain import PlainServer, StillModels
from servemark.servers.openai.dialect import error_in, model_names
from servemark.workload.inputs import Input
from servemark.workload.prompts import Prompts

if TYPE_CHECKING:
    from servemark.servers.own_process import OwnProcess
    from servemark.servers.running import RunningLauncher

#: What to try where the user's own requests are refused.
_OTHER_REQUESTS = "give requests that it takes with -i, or prompts with --prompts or --prompt-tokens"


@contextmanager
def running_server(launcher: RunningLauncher, found: Found, settings: ServerSettings) -> Iterator[Server]:
    """The server that was found, measured as it is.

    Raises:
        UsageError: the model that is to be measured is not there.
    """
    if launcher.management_port:
        raise UsageError(
            f"--management-port makes no sense with a {found.dialect.product}", cause="it has no management API"
        )
    yield served(launcher, found, model_names(found.health), settings, {"target": launcher.target})


def served(
    launcher: RunningLauncher,
    found: Found,
    names: Sequence[str],
    settings: ServerSettings,
    facts: Mapping[str, object],
    *,
    version: str | None = None,
    process: OwnProcess | None = None,
) -> PlainServer:
    """The server that was `found`, with the models of these `names`.

    More `facts` describe it; `process` is that of one that we started.

    Raises:
        UsageError: the model that is to be measured is not there.
    """
    requested = {"job_queue_size": settings.job_queue_size, "response_timeout_s": settings.response_timeout_s}
    facts = {**facts, "url": found.address.url, "dialect": "openai", "requested": requested, "models": list(names)}
    models = partial(_model, launcher, found, chosen_model(launcher, names)) if launcher.models else (lambda _: ())
    hosting = StillModels(found.dialect, models)
    return PlainServer(hosting, {"inference": found.address}, facts, version=version, process=process)


def chosen_model(launcher: RunningLauncher, names: Sequence[str]) -> str:
    """The model that is measured: the one that is named, or the only one of `names`.

    Raises:
        UsageError: it is not there, or several are asked for.
    """
    if len(launcher.models) > 1:
        raise UsageError("one benchmark measures one model of a server with OpenAI's API", next_step="name it with -m")
    (asked,) = launcher.models
    if not isinstance(asked, str):
        raise UsageError(
            f"a server with OpenAI's API cannot be given {asked.name}",
            cause="it has no call that loads a model",
            next_step="leave -c out, and name a model that it has with -m",
        )
    if launcher.is_named:
        if names and asked not in names:
            raise no_such_model(asked, names)
        return asked
    if len(names) != 1:
        raise not_named(names)
    return names[0]


def _model(launcher: RunningLauncher, found: Found, name: str, settings: ModelSettings) -> tuple[LoadedModel, ...]:
    """The model, once it has answered the first prompt, which is in no pool then: a cache may know it.

    Raises:
        UsageError: `settings` ask for what would change it.
        ModelError: it does not answer.
    """
    if settings.changes:
        raise UsageError(
            f"the model {name} was on the server before, so its workers and batches are not changed",
            next_step="leave the option (-w) out",
        )
    prompts = launcher.prompts or _given(launcher.inputs or ())
    status = launcher.sending.expect_status
    first_prediction(
        found.dialect,
        found.address,
        name,
        (prompts.first,),
        lambda body: error_in(body) or None,
        status,
        or_else=launcher.prompts.other_ones if launcher.prompts else _OTHER_REQUESTS,
    )
    return (
        LoadedModel(
            name,
            backend=None,
            inputs=prompts,
            url=None,
            cold_start_ms=None,
            register_ms=None,
        ),
    )


def _given(inputs: tuple[Input, ...]) -> Prompts:
    """The inputs that are given, as prompts."""
    if not inputs:
        raise UsageError("nobody knows what to ask", next_step="give --prompts, or --prompt-tokens")
    pool = inputs[1:] or inputs
    return Prompts(inputs[0], len(pool), lambda: iter(pool))
