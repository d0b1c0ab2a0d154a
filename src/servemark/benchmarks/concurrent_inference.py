"""concurrent_inference: predictions by more and more users: where throughput stops growing and latency begins to.

In an open loop, at one rate over more and more connections: what finds them all busy waits in the client.
"""

from __future__ import annotations

from servemark.benchmarks import Benchmark, Parameter, Point, counts, fixed, predictions, server_for
from servemark.options import RunRequest
from servemark.servers import ModelSettings
from servemark.workload.load import Until


def _points(request: RunRequest) -> tuple[Point, ...]:
    threads: tuple[int, ...] = request.parameters["threads"]
    server, model = server_for(max(threads), request), ModelSettings(workers=request.server.workers_of_model)
    name = "threads" if request.load.arrivals is None else "connections"
    until = Until(successes=400, min_s=5.0, max_s=20.0, longest_s=20.0)
    loads = [request.load.of(number, until, max_connections=number) for number in threads]
    return tuple(Point(server, model, load, predictions(load), values={name: load.most_in_flight}) for load in loads)


BENCHMARK = Benchmark(
    name="concurrent_inference",
    summary="predictions by 1, 4, 7, 10 and 13 threads: how it scales",
    headline="throughput",
    asks_highest_rate=True,
    points=fixed(_points),
    repeats_invalid=True,
    parameters=(Parameter("threads", (1, 4, 7, 10, 13), counts, "numbers of threads, as in 1,4,7"),),
    refuses={"max_connections": "its points are numbers of connections; give --options threads 1,4"},
    analysis="scalability",
)
