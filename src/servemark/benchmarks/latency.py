"""latency: how long one user waits for a prediction when nobody else asks."""

from servemark.benchmarks import Benchmark

BENCHMARK = Benchmark(
    name="latency",
    summary="how long a prediction takes: 1 thread",
    headline="response",
    step="predict",
    needs_model=True,
    threads=1,
)
