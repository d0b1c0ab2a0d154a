"""What a launcher has served: a model's archive, what to send to it, and how to tell a right answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress
from servemark.environments.mms import MmsEnvironment
from servemark.servers import ModelSettings, ServedModel
from servemark.servers.inference import prediction_request
from servemark.servers.management import ModelDescription
from servemark.servers.readiness import settings_of
from servemark.workload.inputs import Input
from servemark.zoo.build import build_model
from servemark.zoo.catalogue import ZooModel
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
    """

    name: str
    archive: Path
    inputs: tuple[Input, ...]
    check: Callable[[bytes], str | None]
    backend: str | None = None


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
    )


def default_workers() -> int:
    """Workers of a model for which none are asked: one a processor that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def served_model(
    model: ServableModel,
    settings: ModelSettings,
    workers: int,
    description: ModelDescription,
    register_ms: float,
    cold_start_ms: float,
) -> ServedModel:
    """`model`, registered by us with `settings` and `workers`, as the server describes it now."""
    return ServedModel(
        name=model.name,
        backend=model.backend,
        requests=tuple(prediction_request(model.name, what) for what in model.inputs),
        cold_start_ms=cold_start_ms,
        register_ms=register_ms,
        read_back=settings_of(description),
        requested={
            "workers": workers,
            "batch_size": settings.batch_size,
            "max_batch_delay_ms": settings.max_batch_delay_ms,
        },
    )
