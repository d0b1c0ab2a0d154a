"""A model that was on a running server before: asked once, and left as it is."""

from __future__ import annotations

from collections.abc import Callable

from servemark.errors import UsageError
from servemark.servers import LoadedModel, ModelSettings
from servemark.servers.dialect import Dialect
from servemark.servers.http.first_prediction import first_prediction
from servemark.workload.address import Address
from servemark.workload.inputs import Input


def existing_model(
    dialect: Dialect,
    address: Address,
    name: str,
    settings: ModelSettings,
    inputs: Callable[[], tuple[Input, ...]],
    expect_status: int | None,
) -> LoadedModel:
    """The model of that name, once it has answered the first of its `inputs`, which are made when they are needed.

    Raises:
        UsageError: `settings` ask for what would change it.
        ModelError: it does not answer.
    """
    if settings.scaled:
        raise UsageError(
            f"the model {name} was on the server before, so it is not scaled",
            next_step="give -m a model of the zoo that the server has not, or measure a server of our own",
        )
    if settings.changes:
        raise UsageError(
            f"the model {name} was on the server before, so its workers and batches are not changed",
            next_step=("leave the option (-w) out" if settings.workers is not None else "give -m a model of the zoo")
            + ", or measure a server of our own",
        )
    sent = inputs()
    # Its answers are not checked: that it is called like one of ours does not make it ours.
    first_prediction(dialect, address, name, sent, lambda _: None, expect_status)
    return LoadedModel(name, backend=None, inputs=sent, url=None, cold_start_ms=None, register_ms=None)
