"""concurrent_inference: predictions by more and more users: where throughput stops growing and latency begins to."""

from __future__ import annotations

from servemark.benchmarks import Ask, Benchmark, Parameter, Point, counts, predictions, server_for
from servemark.servers import ModelSettings
from servemark.workload.load import Until


def _points(ask: Ask) -> tuple[Point, ...]:
    threads: tuple[int, ...] = ask.parameters["threads"]
    server, model = server_for(max(threads), ask), ModelSettings(workers=ask.workers)
    loads = [ask.load(users, Until(successes=400, min_s=5.0, max_s=20.0)) for users in threads]
    return tuple(Point(server, model, load, predictions(load), values={"threads": load.users}) for load in loads)


BENCHMARK = Benchmark(
    name="concurrent_inference",
    summary="predictions by 1, 4, 7, 10 and 13 threads: how it scales",
    headline="throughput",
    points=_points,
    parameters=(Parameter("threads", (1, 4, 7, 10, 13), counts, "numbers of threads, as in 1,4,7"),),
    analysis="scalability",
)
