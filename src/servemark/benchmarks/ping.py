"""ping: how many health checks a second the server answers: its frontend alone, no model."""

from __future__ import annotations

from servemark.benchmarks import Benchmark, Point, fixed, without_model
from servemark.options import RunRequest
from servemark.workload.scenario import Step

_THREADS = 100


def _points(request: RunRequest) -> tuple[Point, ...]:
    return without_model(request, _THREADS, lambda dialect: Step("ping", (dialect.health(),)))


BENCHMARK = Benchmark(
    name="ping",
    summary="how fast GET /ping is answered, no model: 100 threads",
    headline="throughput",
    asks_highest_rate=True,
    threads=_THREADS,
    points=fixed(_points),
    models=lambda _request: (),
    needs=frozenset({"health"}),
    refuses=dict.fromkeys(
        ("model", "custom_model", "input", "content_type", "multipart", "workers", "gpus"), "it uses no model"
    ),
)
