"""What Triton tells of a model: how it serves it, and what it did for its requests.

Another server may have something else at the same place; nothing is told of it then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servemark.servers import InsideCounts
from servemark.servers.oip.dialect import groups_apart

#: What comes of reading numbers where something else stands.
_OTHERWISE = (AttributeError, TypeError, ValueError)
#: Backends that put the requests which they have into batches themselves, as they come.
_MANY_AT_ONCE = ("vllm", "tensorrtllm")
#: Where Triton keeps what it did for a model's requests, by our names.
_PARTS = {
    "queue_ns": "queue",
    "input_ns": "compute_input",
    "infer_ns": "compute_infer",
    "output_ns": "compute_output",
}


def settings_told(config: Mapping[str, Any]) -> Mapping[str, object]:
    """The settings in a model's configuration: workers, batch size, and the delay of a batch in ms.

    An ensemble has no workers, and an instance that may have many requests at once no batch size, if no batches wait.
    """
    try:
        told: dict[str, object] = {}
        batching, groups = config.get("dynamic_batching"), groups_apart(config)
        if groups:
            told["workers"] = sum(int(group.get("count", 1)) for group in groups)
        if batching:
            told["batch_size"] = int(config.get("max_batch_size", 0)) or 1
        elif not _has_many_at_once(config):
            told["batch_size"] = 1
        delay_us = batching.get("max_queue_delay_microseconds", 0) if batching else 0
        return {**told, "max_batch_delay_ms": int(delay_us) / 1000}
    except _OTHERWISE:
        return {}


def counts_told(versions: Sequence[Mapping[str, Any]]) -> InsideCounts | None:
    """What all versions of a model did, summed up from their statistics; None where there is none."""
    if not versions:
        return None
    try:
        parts = [one.get("inference_stats", {}) for one in versions]
        return InsideCounts(
            requests=_total(parts, "success", "count"),
            failed=_total(parts, "fail", "count"),
            executions=sum(int(one.get("execution_count", 0)) for one in versions),
            **{ours: _total(parts, theirs, "ns") for ours, theirs in _PARTS.items()},
        )
    except _OTHERWISE:
        return None


def _has_many_at_once(config: Mapping[str, Any]) -> bool:
    """Whether an instance may take a request before it has answered the one before."""
    policy = config.get("model_transaction_policy") or {}
    return config.get("backend") in _MANY_AT_ONCE or bool(policy.get("decoupled"))


def _total(parts: Sequence[Mapping[str, Any]], part: str, what: str) -> int:
    return sum(int(one.get(part, {}).get(what, 0)) for one in parts)
