"""What a server counted during a run: the difference of what it had counted before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple

from servemark.assessment.measured import Measured
from servemark.result import InsideServer, StepSummary
from servemark.servers import InsideCounts
from servemark.units import NS_PER_MS
from servemark.workload.inputs import Input

#: So many of the requests that were answered may not be counted yet when it is asked.
_LATE_SHARE = 0.01


def answered_of(measured: Measured, steps: Sequence[StepSummary]) -> Mapping[str, int]:
    """How many requests of each model that the server counts succeeded, the warm-up's too."""
    nothing = Input(b"", "", "")
    paths = {model: measured.dialect.prediction(model, nothing).path for model in measured.inside[1]}
    asked = {step.name: step.requests[0].path for group in measured.plan.groups for step in group.scenario.steps}
    return {
        model: sum(step.succeeded for step in steps if asked.get(step.name) == path) for model, path in paths.items()
    }


def inside_of(
    before: Mapping[str, InsideCounts], after: Mapping[str, InsideCounts], answered: Mapping[str, int]
) -> Iterator[InsideServer]:
    """What lies between two countings of each model, `answered` of whose requests succeeded here.

    Where less was counted than that, or the server has begun to count anew, it has no times: they would be of others.
    """
    for model, now in after.items():
        then = before.get(model)
        if then is None:
            continue
        if any(
            None not in (one, other) and one < other for one, other in zip(astuple(now), astuple(then), strict=True)
        ):
            yield _without_times(model, now.requests, now.failed)
            continue
        requests = now.requests - then.requests
        late = max(1.0, _LATE_SHARE * answered.get(model, 0))
        if requests < answered.get(model, 0) - late:
            yield _without_times(model, requests, now.failed - then.failed)
            continue

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


def _without_times(model: str, requests: int, failed: int) -> InsideServer:
    return InsideServer(
        model=model,
        requests=requests,
        failed=failed,
        executions=None,
        queue_ms=None,
        input_ms=None,
        infer_ms=None,
        output_ms=None,
    )
