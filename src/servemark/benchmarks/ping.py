"""ping: how many health checks a second the server answers: its frontend alone, no model."""

from servemark.benchmarks import Benchmark

BENCHMARK = Benchmark(
    name="ping",
    summary="how fast GET /ping is answered, no model: 100 threads",
    headline="throughput",
    step="ping",
    needs_model=False,
    threads=100,
)
