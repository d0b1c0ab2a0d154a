"""What makes no sense with a benchmark, of the options that are given. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

from servemark.benchmarks import Benchmark
from servemark.errors import UsageError
from servemark.options.table import Option
from servemark.servers.dialect import Dialect, lacking

_OF_URLS = ("url", "method", "body_file", "unix_socket")
_OF_BODIES = ("content_type", "multipart")


def check_needs(benchmark: Benchmark, dialect: Dialect) -> None:
    """Refuse to measure what a server that speaks `dialect` cannot.

    Raises:
        UsageError: says what it lacks.
    """
    if why := lacking(dialect, benchmark.needs):
        raise UsageError(
            f"{benchmark.name} makes no sense with a {dialect.product}",
            cause=why,
            next_step="measure its predictions: latency, throughput or concurrent_inference",
        )


def check_given(benchmark: Benchmark, given: Mapping[str, Option]) -> None:
    """Refuse what `benchmark` has no use for.

    Raises:
        UsageError: names the option and the reason.
    """
    for name, why in benchmark.refuses.items():
        if name in given:
            raise UsageError(f"{given[name].flags[0]} makes no sense with {benchmark.name}", cause=why)
    for parameter in benchmark.parameters:
        if parameter.key in given:
            flag = given[parameter.key].flags[0]
            raise UsageError(
                f"{flag} makes no sense with {benchmark.name}", next_step=f"give --options {parameter.key} 1,2"
            )
    if not benchmark.takes_url:
        for name in _OF_URLS:
            if name in given:
                step = "give -i" if name == "body_file" else "measure any endpoint with the benchmark http"
                flag = given[name].flags[-1]
                raise UsageError(
                    f"{flag} makes no sense with {benchmark.name}", cause="only http has it", next_step=step
                )
        return
    if "url" not in given:
        raise UsageError(f"{benchmark.name} needs --url", next_step="as in --url http://127.0.0.1:8080/health")
    if "body_file" not in given:
        for name in _OF_BODIES:
            if name in given:
                why = "without a body there is nothing of that type"
                raise UsageError(f"{given[name].flags[-1]} needs --body-file", cause=why)
