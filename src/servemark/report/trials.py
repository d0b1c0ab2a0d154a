"""The trials of a benchmark for the terminal: the median over them, and what they differ by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.text import Text

from servemark.report.layout import Columns, Fact, Line
from servemark.report.words import counted, decimal, digits_of, interval, marked
from servemark.result import BenchmarkResult, PointTrials, Statistic, StepSummary, TrialStatistic

#: Of a benchmark of one point what is told over trials; of each of several, the first of them.
_TOLD = {"throughput_per_s": "per s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}


def medians(benchmark: BenchmarkResult, point: tuple[Any, ...], step: StepSummary) -> dict[str, Statistic]:
    """The figures of `step`, whose run is shown: over several trials their medians, which are as certain as its own."""
    over = next((one for one in _points(benchmark) if tuple(one.point.items()) == point), None)
    known = next((one.figures for one in over.steps if one.name == step.name), {}) if over else {}
    return {
        name: replace(figure, value=known[name].median.value) if name in known else figure
        for name, figure in step.figures.items()
    }


def over_trials(benchmark: BenchmarkResult, point: tuple[Any, ...], step: StepSummary) -> dict[str, Statistic]:
    """The medians of a point's figures of `step` with their intervals between trials; empty of a single trial."""
    over = next((one for one in _points(benchmark) if tuple(one.point.items()) == point), None)
    if over is None or len(over.counted) < 2:
        return {}
    known = next((one.figures for one in over.steps if one.name == step.name), {})
    return {name: one.median for name, one in known.items()}


def in_words(benchmark: BenchmarkResult) -> str:
    """``, median of 5 trials``; empty where there was one."""
    points = _points(benchmark)
    number = min((len(point.counted) for point in points), default=0)
    return f", median of {counted(number, 'trial')}" if number > 1 else ""


def lines(benchmark: BenchmarkResult) -> Iterator[Line]:
    """How many trials there were, and what each statistic was over them."""
    trials, points = benchmark.trials, _points(benchmark)
    if trials is None or not points:
        return
    left_out = sum(point.left_out for point in points)
    number = counted(min(len(point.counted) for point in points), "trial")
    number += f" ({left_out} INVALID left out)" if left_out else ""
    between = "restarted" if trials.fresh_server else "kept running"
    shown = benchmark.runs[points[0].shown].trial
    which = f"; shown is that with the median headline, run {shown}" if len(points) == 1 else ""
    yield Fact("trials", f"{number} of {trials.asked} asked for, server {between} between them{which}")
    table = Columns("over trials", "median", "95% interval", "within", "between")
    for point in points:
        _add_rows(table, benchmark, point, several=len(points) > 1)
    yield Text()
    yield table
    yield Text()


def _add_rows(table: Columns, benchmark: BenchmarkResult, point: PointTrials, *, several: bool) -> None:
    where = " ".join(f"{name} {value}" for name, value in point.point.items())
    own = {step.name: step.figures for step in benchmark.runs[point.shown].steps}
    for step in point.steps[:1] if several else point.steps:
        for name, label in _TOLD.items():
            if name in step.figures and (not several or name != "p50_ms"):
                over = step.figures[name]
                digits = digits_of(over.median.value)
                table.add_row(
                    " ".join(filter(None, (where, step.name if len(point.steps) > 1 else "", label))),
                    marked(decimal(over.median.value, digits), certain=own[step.name][name].ci95 is not None),
                    _interval(over, digits),
                    *(_share(deviation, over) for deviation in (over.within_stddev, over.between_stddev)),
                )


def _interval(over: TrialStatistic, digits: int) -> str:
    return f"{interval(over.median, digits)} trials" if over.median.ci95 is None else interval(over.median, digits)


def _share(deviation: float | None, over: TrialStatistic) -> str:
    """A standard deviation as a share of the median."""
    return "-" if deviation is None or not over.median.value else f"{deviation / over.median.value:.1%}"


def _points(benchmark: BenchmarkResult) -> tuple[PointTrials, ...]:
    return benchmark.trials.points if benchmark.trials is not None else ()
