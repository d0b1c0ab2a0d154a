"""What a launcher has served: archives, what to send to them, and how to tell a right answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress
from servemark.environments.mms import MmsEnvironment
from servemark.errors import UsageError
from servemark.servers import ModelSettings, ServedModel
from servemark.servers.inference import prediction_request
from servemark.servers.management import ModelDescription
from servemark.servers.readiness import settings_of
from servemark.workload.inputs import Input
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import Backend, ZooModel
from servemark.zoo.predictions import check_prediction


@dataclass(frozen=True)
class ServableModel:
    """A model that a server can be given.

    Attributes:
        name: its name on the wire.
        archive: its .mar.
        inputs: what is sent to it; the first one proves that it is ready.
        check: None when the body of an answer is right, else what is wrong with it.
        backend: what computes it, where that is known.
        reports: its workers write into the server's log what they compute with.
    """

    name: str
    archive: Path
    inputs: tuple[Input, ...]
    check: Callable[[bytes], str | None]
    backend: str | None = None
    reports: bool = False


@dataclass(frozen=True)
class Serving:
    """What a server of ours is to serve, and how.

    Attributes:
        models: of the zoo, or any archives; empty when only the server itself is measured (ping).
        inputs: what is sent to the model of the zoo, if it is one; None is each model's own input.
        backend: of the server's environment; None chooses.
        tls: https, with a certificate that the server makes for itself.
        ports: of its inference and management API; None chooses free ones.
        progress: told what takes a while, for people.
        log: told every command and management call, and the server's log line by line; None is quiet.

    Raises:
        UsageError: inputs are given for several models.
    """

    models: tuple[ZooModel | ServableModel, ...] = ()
    inputs: tuple[Input, ...] | None = None
    backend: Backend | None = None
    tls: bool = False
    ports: tuple[int, int] | None = None
    progress: Progress = lambda _: None
    log: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.inputs and len(self.models) > 1:
            raise UsageError("one input does not suit several models", next_step="leave -i out")

    @property
    def decodes_json(self) -> bool:
        """Whether a model may want JSON bodies as the server decodes them; the zoo's do not."""
        return not self.models or not all(isinstance(model, ZooModel) for model in self.models)

    @property
    def computes(self) -> bool:
        """Whether a model of the zoo needs a backend's runtime to answer."""
        return any(isinstance(model, ZooModel) and model.name != "noop" for model in self.models)

    def built_for(self, environment: MmsEnvironment) -> tuple[ServableModel, ...]:
        """The models, those of the zoo built for `environment`.

        Raises:
            SetupError: one could not be built.
        """
        return tuple(
            built(model, self.inputs, environment, self.progress) if isinstance(model, ZooModel) else model
            for model in self.models
        )


def accept_any(_body: bytes) -> str | None:
    """The check of a model about which nothing is known."""
    return None


def built(
    model: ZooModel, inputs: tuple[Input, ...] | None, environment: MmsEnvironment, progress: Progress
) -> ServableModel:
    """A model of the zoo, built for `environment`; `inputs` None is the model's own.

    Raises:
        SetupError: it could not be built.
    """
    made = build_model(model, environment, progress)
    return ServableModel(
        name=model.wire_name,
        archive=made.archive,
        inputs=inputs or (made.default_input,),
        check=partial(check_prediction, model),
        backend=environment.backend,
        reports=model.name != "noop",
    )


def default_workers() -> int:
    """Workers of a model for which none are asked: one a processor that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def served_model(
    model: ServableModel,
    settings: ModelSettings,
    workers: int,
    url: str,
    description: ModelDescription,
    register_ms: float,
    cold_start_ms: float,
) -> ServedModel:
    """`model`, registered by us from `url` with `settings` and `workers`, as the server describes it now."""
    return ServedModel(
        name=model.name,
        backend=model.backend,
        requests=tuple(prediction_request(model.name, what) for what in model.inputs),
        url=url,
        cold_start_ms=cold_start_ms,
        register_ms=register_ms,
        read_back=settings_of(description),
        requested={
            "workers": workers,
            "batch_size": settings.batch_size,
            "max_batch_delay_ms": settings.max_batch_delay_ms,
        },
    )
