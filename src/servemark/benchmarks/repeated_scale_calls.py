"""repeated_scale_calls: a model scaled up and down, again and again: how long until its workers are really there."""

from __future__ import annotations

from dataclasses import replace

from servemark.benchmarks import (
    OPEN_LOOP,
    Benchmark,
    Parameter,
    Point,
    fixed,
    prediction,
    predictions,
    server_for,
    whole_number,
)
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel, ModelSettings, ServerSettings
from servemark.servers.dialect import Call, Dialect
from servemark.workload.load import ClosedLoad, Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import RepeatUntil, Scenario, Step

_ALONE_S = 5.0
_NEVER_0 = "Multi Model Server never answers a call that scales up from 0 workers"


def _points(request: RunRequest) -> tuple[Point, ...]:
    up, down = request.parameters["scale_up_workers"], request.parameters["scale_down_workers"]
    background = request.parameters["background_threads"]
    if up <= down:
        raise UsageError(
            f"scale_up_workers {up} is not more than scale_down_workers {down}",
            next_step="give --options scale_up_workers N scale_down_workers M with N above M",
        )
    if request.content.expect and not background:
        raise UsageError(
            "--expect has nothing to look at: repeated_scale_calls alone sends no predictions",
            next_step="give --options background_threads 1",
        )
    # Workers that fork from one that has loaded the model start at once, and share its memory; GPUs survive no fork.
    server = replace(
        server_for(background, request),
        preload_model=not request.server.gpus,
        most_workers=up,
        most_workers_answer=background > 0,
    )
    settings = ModelSettings(workers=down, scaled=True)
    load = request.load.closed(1, Until(successes=400, min_s=10.0, max_s=30.0, longest_s=30.0), usual_warmup_s=0.0)

    def plan(dialect: Dialect, served: tuple[LoadedModel, ...]) -> Plan:
        (model,), admin = served, dialect.admin
        assert admin is not None, "which is what it needs"
        steps = [
            _steps(admin.scale(model.name, workers), where, request) for workers, where in ((up, "up"), (down, "down"))
        ]
        groups = [Group(Scenario((*steps[0], *steps[1])), load)]
        if background:
            alongside = replace(load, users=background, think_s=0.0, ramp_s=0.0)
            groups.append(Group(Scenario((prediction("predict", dialect, model),)), alongside, background=True))
        return Plan(tuple(groups))

    scaling = Point(server, settings, load, plan)
    return (_alone(server, settings, background), scaling) if background else (scaling,)


def _steps(call: Call, where: str, request: RunRequest) -> tuple[Step, ...]:
    """The call, and the asking again and again until what it is to do is done, where that can be told."""
    steps = [Step(f"scale_{where}", (call.request,), "management", expect_status=call.status)]
    if call.proof is not None:
        says = RepeatUntil(call.proof.text, call.proof.times, limit_s=request.load.timeout_s)
        steps.append(Step(f"read_{where}", (call.proof.request,), "management", expect_status=200, until=says))
    return tuple(steps)


def _alone(server: ServerSettings, settings: ModelSettings, users: int) -> Point:
    """What the predictions of the background take while nothing is scaled."""
    load = ClosedLoad(users=users, duration_s=_ALONE_S, warmup_s=1.0)
    return Point(server, settings, load, predictions(load), values={"scaling": 0})


BENCHMARK = Benchmark(
    name="repeated_scale_calls",
    summary="scaled up to 16 workers, down to 1, again and again",
    headline="response",
    points=fixed(_points),
    needs=frozenset({"scale"}),
    refuses={
        "threads": "one user scales; for predictions meanwhile give --options background_threads",
        **dict.fromkeys(("generators", "on"), "it manages the server, which is one generator's"),
        "workers": "it scales; give --options scale_up_workers and scale_down_workers",
        **dict.fromkeys(OPEN_LOOP, "each call waits for the one before"),
    },
    parameters=(
        Parameter("scale_up_workers", 16, whole_number(1), "workers to scale up to"),
        Parameter("scale_down_workers", 1, whole_number(1, _NEVER_0), "workers to scale down to"),
        Parameter("background_threads", 0, whole_number(0), "users that predict meanwhile"),
    ),
    analysis="scaling",
)
