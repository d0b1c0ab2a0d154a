"""What a server counted during a run: the difference of what it had counted before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from servemark.result import InsideServer
from servemark.servers import InsideCounts
from servemark.units import NS_PER_MS


def inside_of(before: Mapping[str, InsideCounts], after: Mapping[str, InsideCounts]) -> Iterator[InsideServer]:
    """What lies between two countings of each model; one that the server has begun to count anew is left out."""
    for model, now in after.items():
        then = before.get(model)
        if then is None or now.requests < then.requests:
            continue
        requests = now.requests - then.requests

        def mean_ms(now_ns: int | None, then_ns: int | None, requests: int = requests) -> float | None:
            known = now_ns is not None and then_ns is not None and requests
            return (now_ns - then_ns) / requests / NS_PER_MS if known else None  # type: ignore[operator]

        counted = now.executions is not None and then.executions is not None
        yield InsideServer(
            model=model,
            requests=requests,
            failed=now.failed - then.failed,
            executions=now.executions - then.executions if counted else None,  # type: ignore[operator]
            queue_ms=mean_ms(now.queue_ns, then.queue_ns),
            input_ms=mean_ms(now.input_ns, then.input_ns),
            infer_ms=mean_ms(now.infer_ns, then.infer_ns),
            output_ms=mean_ms(now.output_ns, then.output_ns),
        )
