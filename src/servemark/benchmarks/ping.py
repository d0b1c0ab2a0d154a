"""ping: how many health checks a second the server answers: its frontend alone, no model."""

from __future__ import annotations

from servemark.benchmarks import Ask, Benchmark, Point, server_for
from servemark.servers import ModelSettings
from servemark.servers.inference import ping_request
from servemark.workload.load import Until
from servemark.workload.plan import Group, Plan
from servemark.workload.scenario import Scenario, Step

_THREADS = 100


def _points(ask: Ask) -> tuple[Point, ...]:
    load = ask.load(ask.threads or _THREADS, Until())
    plan = Plan((Group(Scenario((Step("ping", (ping_request(),)),)), load),))
    return (Point(server_for(load.users, ask), ModelSettings(workers=None), load, lambda _served: plan),)


BENCHMARK = Benchmark(
    name="ping",
    summary="how fast GET /ping is answered, no model: 100 threads",
    headline="throughput",
    threads=_THREADS,
    points=_points,
    models=lambda _ask: (),
    refuses=dict.fromkeys(("model", "input", "workers", "gpus"), "it uses no model"),
)
