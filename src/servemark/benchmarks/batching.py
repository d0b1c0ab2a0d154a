"""batching: which batch size, max batch delay and number of workers give the most throughput for how much latency."""

from __future__ import annotations

import itertools

from servemark.benchmarks import Benchmark, Parameter, Point, counts, fixed, predictions, server_for
from servemark.options import RunRequest
from servemark.servers import ModelSettings
from servemark.units import seconds_of
from servemark.workload.load import Until


def _points(request: RunRequest) -> tuple[Point, ...]:
    sizes, delays = request.parameters["batch_size"], request.parameters["max_batch_delay"]
    workers = request.parameters["workers"] or (request.server.workers_of_model,)
    # A batch of one never waits, so its delay is nothing to try.
    shapes = [(1, delays[0])] if 1 in sizes else []
    shapes += [shape for shape in itertools.product(sizes, delays) if shape[0] > 1]
    known_workers = [number for number in workers if number]
    users = request.load.threads or 2 * max(sizes) * (max(known_workers) if known_workers else 2)
    load = request.load.of(users, Until(successes=400, min_s=5.0, max_s=20.0, longest_s=20.0))
    server = server_for(load.most_in_flight, request)
    return tuple(
        Point(
            server,
            ModelSettings(workers=number, batch_size=size, max_batch_delay_ms=delay_ms, batches=True),
            load,
            predictions(load),
            values={"batch_size": size, "max_batch_delay_ms": delay_ms} | ({"workers": number} if number else {}),
        )
        for number in workers
        for size, delay_ms in shapes
    )


def _delays_ms(text: str) -> tuple[int, ...]:
    """Times, of which a plain number is in milliseconds, as the server has it."""

    def in_ms(word: str) -> str:
        delay_s = seconds_of(word) if word.strip()[-1:].isalpha() else None
        return word if delay_s is None else f"{delay_s * 1000:g}"

    return counts(",".join(map(in_ms, text.split(","))))


BENCHMARK = Benchmark(
    name="batching",
    summary="batch sizes by max batch delays: throughput against p99",
    headline="throughput",
    asks_highest_rate=True,
    points=fixed(_points),
    repeats_invalid=True,
    needs=frozenset({"batches"}),
    parameters=(
        Parameter("batch_size", (1, 2, 4, 8), counts, "batch sizes, as in 1,2,4"),
        Parameter("max_batch_delay", (10, 50), _delays_ms, "max batch delays in ms, as in 10,50"),
        Parameter("workers", (), counts, "numbers of workers, as in 1,2"),
    ),
    analysis="pareto",
)
