"""``summary.csv``: the columns of JMeter's aggregate report, one row a step of each run.

A row is of the measured time, in all of its columns: samples are the requests that were scheduled in it, successes and
failures, and the warm-up is in none of them. Times are in milliseconds: of an open loop responses, counted from the
schedule, of a closed one service times. Times and rates are of successes.
"""

from __future__ import annotations

import csv
from typing import TextIO

from servemark.result import Result, Statistic, StepSummary

COLUMNS = (
    "Label",
    "# Samples",
    "Average",
    "Median",
    "90% Line",
    "95% Line",
    "99% Line",
    "Min",
    "Max",
    "Error %",
    "Throughput",
    "Received KB/sec",
    "Std. Dev.",
)


def write(out: TextIO, result: Result) -> None:
    """Write the rows of `result` to `out`."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for benchmark in result.benchmarks:
        of = f"{benchmark.name} {benchmark.model or ''}".strip() + ": " if len(result.benchmarks) > 1 else ""
        for run in benchmark.runs:
            values = " ".join(f"{name}={value}" for name, value in run.point.items())
            writer.writerows(_row(step, f"{of}{step.name} {values}".strip()) for step in run.steps)


def _row(step: StepSummary, label: str) -> list[str]:
    latency, samples = step.headline_ms, step.requests_measured
    received_per_s = step.bytes_received_per_s
    return [
        label,
        str(samples),
        *(_number(value) for value in (latency.mean, latency.p50, latency.p90, latency.p95, latency.p99)),
        _number(latency.min),
        _number(latency.max),
        f"{step.measured_failed / samples:.2%}" if samples else "",
        _number(step.throughput_per_s),
        _number(None if received_per_s is None else received_per_s / 1024),
        _number(latency.stddev),
    ]


def _number(value: Statistic | float | None) -> str:
    plain = value.value if isinstance(value, Statistic) else value
    return "" if plain is None else f"{plain:.3f}"
