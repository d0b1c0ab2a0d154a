"""How Multi Model Server is asked to register, scale and describe a model: requests for a plan.

``management`` makes such calls itself; here they are what is measured. Standard library only.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from servemark.workload.scenario import Request

#: What the description of a model says once for each worker that has loaded it.
READY = b'"status": "READY"'


def model_path(model_name: str) -> str:
    """Where the management API has a model."""
    return f"/models/{quote(model_name, safe='')}"


def register_request(url: str, model_name: str, workers: int) -> Request:
    """Register the archive at `url`; answered when all `workers` have loaded it."""
    query = {"url": url, "model_name": model_name, "initial_workers": workers, "synchronous": "true"}
    return Request("POST", f"/models?{urlencode(query)}")


def scale_request(model_name: str, workers: int) -> Request:
    """Have exactly `workers` workers; answered when they are there, with 200, or 210 when only some are."""
    query = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
    return Request("PUT", f"{model_path(model_name)}?{urlencode(query)}")


def describe_request(model_name: str) -> Request:
    """Read back what the server says of a model and its workers."""
    return Request("GET", model_path(model_name))
