"""load: the same model registered many times at once: how long the server takes to load it, and what that costs."""

from __future__ import annotations

from dataclasses import replace

from servemark.benchmarks import OPEN_LOOP, Benchmark, Parameter, Point, fixed, server_for, whole_number
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.servers import LoadedModel, ModelSettings, default_workers
from servemark.servers.dialect import Dialect
from servemark.workload.load import ClosedLoad
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Scenario, Step


def _points(request: RunRequest) -> tuple[Point, ...]:
    count, workers = request.parameters["count"], request.server.workers_of_model or 1
    load = ClosedLoad(users=count, loops=1)
    # The model is there once before, so that an archive that cannot be loaded is found before it is loaded many times.
    server = replace(
        server_for(count, request),
        most_workers=count * workers + (request.server.workers_of_model or default_workers()),
    )

    def plan(dialect: Dialect, served: tuple[LoadedModel, ...]) -> Plan:
        (model,), admin = served, dialect.admin
        if model.url is None or admin is None:
            raise UsageError(
                f"the server does not say where it has {model.name} from, so it cannot load it again",
                next_step="its management API has to be reachable (--management-port); or measure a server of our own",
            )
        names = tuple(f"{model.name}-{number}" for number in range(1, count + 1))
        calls = [admin.load(name, model.url, workers=workers) for name in names]
        steps = [Step("register", (call.request,), "management", expect_status=call.status) for call in calls]
        one = replace(load, users=1)
        return Plan(tuple(Group(Scenario((step,)), one) for step in steps), registers=names)

    return (Point(server, ModelSettings(workers=request.server.workers_of_model), load, plan),)


BENCHMARK = Benchmark(
    name="load",
    summary="the same model registered 16 times in parallel",
    headline="response",
    points=fixed(_points),
    needs=frozenset({"load"}),
    refuses={
        "threads": "each registration has a user of its own; give --options count",
        **dict.fromkeys(("generators", "on"), "it manages the server, which is one generator's"),
        **dict.fromkeys(("header", "expect_status", "expect"), "registrations go to the management API"),
        **dict.fromkeys(
            ("loops", "duration", "warmup", "ramp", "think", *OPEN_LOOP), "every model is registered once, at once"
        ),
    },
    parameters=(Parameter("count", 16, whole_number(1), "how many times the model is registered"),),
    analysis="registrations",
)
