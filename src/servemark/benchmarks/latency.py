"""latency: how long one user waits for a prediction when nobody else asks."""

from functools import partial

from servemark.benchmarks import Benchmark, fixed, one_point

BENCHMARK = Benchmark(
    name="latency",
    summary="how long a prediction takes: 1 thread",
    headline="response",
    threads=1,
    points=fixed(partial(one_point, users=1)),
)
