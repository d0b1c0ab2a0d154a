"""throughput: how many predictions a second the server makes when every worker always has one waiting."""

from servemark.benchmarks import Benchmark

BENCHMARK = Benchmark(
    name="throughput",
    summary="predictions a second with every worker busy: 100 threads",
    headline="throughput",
    step="predict",
    needs_model=True,
    threads=100,
    asks_saturation=True,
)
