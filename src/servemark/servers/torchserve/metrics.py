"""What TorchServe counts of its models, in the text of Prometheus: requests, and the times that they took it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import httpx

from servemark.servers import InsideCounts
from servemark.servers.http.connection import send_once
from servemark.workload.address import Address
from servemark.workload.scenario import Request

_LOOK_TIMEOUT_S = 5.0
_NS_PER_US = 1000
_LINE = re.compile(r'^(ts_\w+)\{[^}]*model_name="([^"]+)"[^}]*\}\s+([0-9.eE+-]+)$', re.MULTILINE)
_REQUESTS, _QUEUE = "ts_inference_requests_total", "ts_queue_latency_microseconds"
#: From the request's arrival to its answer, the queue with it.
_ALL = "ts_inference_latency_microseconds"


def counted_in(text: str) -> Mapping[str, InsideCounts]:
    """What the metrics in `text` say of each model. Failures are counted as requests; batches are not told."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, model, value in _LINE.findall(text):
        found[model][name] = found[model].get(name, 0.0) + float(value)
    return {
        model: InsideCounts(
            requests=round(values[_REQUESTS]),
            failed=0,
            executions=None,
            queue_ns=round(values.get(_QUEUE, 0.0) * _NS_PER_US),
            input_ns=None,
            infer_ns=round((values.get(_ALL, 0.0) - values.get(_QUEUE, 0.0)) * _NS_PER_US),
            output_ns=None,
        )
        for model, values in found.items()
        if _REQUESTS in values
    }


def counted_at(address: Address) -> Mapping[str, InsideCounts]:
    """What the server with metrics at `address` has counted of each model; empty where none are served there."""
    try:
        answer = send_once(address, Request("GET", "/metrics"), _LOOK_TIMEOUT_S)
    except httpx.TransportError:
        return {}
    return counted_in(answer.text) if answer.status == 200 else {}
