"""What the parts of a result keep to beyond their kinds, as far as whoever reads them relies on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from servemark.result.document import BenchmarkResult, Result, RunResult
from servemark.result.figures import Histogram
from servemark.result.loads import OpenLoadResult
from servemark.result.trials import PointTrials

#: Later than any run, in seconds: what nanoseconds in 64 bits can say.
_LATEST_S = 2**63 / 1e9


def broken_rules(made: Any) -> Iterator[str]:
    """What a part of a result does not keep to, in words, the first of it first."""
    rules = _RULES.get(type(made))
    if rules is not None:
        yield from rules(made)


def _of_result(result: Result) -> Iterator[str]:
    for benchmark in result.benchmarks:
        if not benchmark.steps and benchmark.capacity is None and not all(run.steps for run in benchmark.runs):
            yield "benchmarks: runs: one of them has no steps"


def _of_benchmark(benchmark: BenchmarkResult) -> Iterator[str]:
    runs = len(benchmark.runs)
    if benchmark.steps and not runs:
        yield "it has steps, and no runs that they are of"
    if benchmark.analysis is not None and benchmark.analysis.registrations is not None and len(benchmark.steps) != 1:
        yield f"it has {len(benchmark.steps)} steps, and registrations are of one"
    if benchmark.trials is not None:
        places = {place for point in benchmark.trials.points for place in (*point.counted, point.shown)}
        beyond = [place for place in sorted(places) if not 0 <= place < runs]
        if beyond:
            yield f"trials: run {beyond[0]} is none of its {runs}"


def _of_run(run: RunResult) -> Iterator[str]:
    yield from _of_point(run.point)
    start_s, end_s = run.window_s
    if not 0 <= start_s <= end_s < _LATEST_S:
        yield f"window_s: it begins at {start_s:g} s and ends at {end_s:g} s"
    yield from (f"records: {name!a} names no file" for name in run.record_files if not _can_name_a_file(name))


def _can_name_a_file(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _of_point(point: Mapping[str, Any]) -> Iterator[str]:
    """Points are told apart by their values."""
    yield from (f"point: {name} is no single value" for name, value in point.items() if isinstance(value, (dict, list)))


def _of_open_load(load: OpenLoadResult) -> Iterator[str]:
    segments = load.profile
    if load.trace is None and not segments:
        yield "it has neither a profile nor a trace"
    elif (
        segments
        and segments[0].duration_s is None
        and (len(segments) > 1 or segments[0].from_per_s != segments[0].to_per_s)
    ):
        yield "profile: its first part has no duration_s, though it changes or others follow"


def _of_histogram(histogram: Histogram) -> Iterator[str]:
    bounds, counts = len(histogram.bounds_ms), len(histogram.counts)
    if not counts or bounds != counts + 1:
        yield f"it has {bounds} bounds and {counts} counts"
    elif min(histogram.counts) < 0 or not any(histogram.counts):
        yield "its counts are of nothing"


_RULES: dict[type, Callable[[Any], Iterator[str]]] = {
    Result: _of_result,
    BenchmarkResult: _of_benchmark,
    RunResult: _of_run,
    PointTrials: lambda trials: _of_point(trials.point),
    OpenLoadResult: _of_open_load,
    Histogram: _of_histogram,
}
