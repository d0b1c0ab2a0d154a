"""``summary.csv``: the columns of JMeter's aggregate report, one row a step of each run; and which are not certified.

A row is of the measured time, in all of its columns: samples are the requests that were scheduled in it, successes and
failures, and the warm-up is in none of them. Times are in milliseconds: of an open loop responses, counted from the
schedule, of a closed one service times. Times and rates are of successes. The last column names those of its figures
that no check of the certificate has looked at, for lack of an interval, or all of them where the run is INVALID
or was imported: figures stay numbers, for whatever reads them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TextIO

from servemark.report.labels import labels_of_answering
from servemark.report.recorded import RecordedResult
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
    "Not certified",
)
#: The columns with an interval, by the name of their statistic.
_JUDGED = {"mean": "Average", "p50": "Median", "p90": "90% Line", "p95": "95% Line", "p99": "99% Line"}


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write the rows of the result to `out`."""
    write(out, recorded.result)


def write(out: TextIO, result: Result) -> None:
    """Write the rows of `result` to `out`."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run, labels in labels_of_answering(result):
        all_of_it = "all: imported" if run.certificate.is_imported else "" if run.certificate.valid else "all: INVALID"
        writer.writerows(_row(step, labels.of(step.name), all_of_it) for step in run.steps)


def _row(step: StepSummary, label: str, all_of_it: str) -> list[str]:
    latency, samples = step.headline_ms, step.requests_measured
    received_per_s = step.bytes_received_per_s
    return [
        label,
        str(samples),
        *(_number(getattr(latency, name)) for name in _JUDGED),
        _number(latency.min),
        _number(latency.max),
        f"{step.measured_failed / samples:.2%}" if samples else "",
        _number(step.throughput_per_s),
        _number(None if received_per_s is None else received_per_s / 1024),
        _number(latency.stddev),
        all_of_it or ", ".join(_not_certified(step)),
    ]


def _not_certified(step: StepSummary) -> Iterator[str]:
    judged = {column: getattr(step.headline_ms, name) for name, column in _JUDGED.items()}
    for column, statistic in (judged | {"Throughput": step.throughput_per_s}).items():
        if statistic.value is not None and statistic.ci95 is None:
            yield column


def _number(value: Statistic | float | None) -> str:
    plain = value.value if isinstance(value, Statistic) else value
    return "" if plain is None else f"{plain:.3f}"
