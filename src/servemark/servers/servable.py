"""What a launcher has served: a model's archive, what to send to it, and how to tell a right answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servemark.environments.cache import Progress
from servemark.environments.mms import MmsEnvironment
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
