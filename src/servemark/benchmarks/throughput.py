"""throughput: how many predictions a second the server makes when every worker always has one waiting."""

from functools import partial

from servemark.benchmarks import Benchmark, fixed, one_point

BENCHMARK = Benchmark(
    name="throughput",
    summary="predictions a second with every worker busy: 100 threads",
    headline="throughput",
    asks_highest_rate=True,
    threads=100,
    points=fixed(partial(one_point, users=100)),
    asks_saturation=True,
)
