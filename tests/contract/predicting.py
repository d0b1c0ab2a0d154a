"""The prediction that a plan would send to a model that is served, for tests that send it themselves."""

from __future__ import annotations

from servemark.servers import LoadedModel, Server
from servemark.workload.scenario import Request


def prediction_of(server: Server, served: LoadedModel) -> Request:
    """What sends the first of its inputs to `served`, in the dialect of `server`."""
    return server.dialect.prediction(served.name, served.inputs[0])
