"""The three figures that matter of one step, in words, and how its latencies lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from servemark.report.histogram import Chart
from servemark.report.layout import Fact, Line
from servemark.report.trials import medians, over_trials
from servemark.report.words import in_brackets, ms, per_s, per_s_interval
from servemark.result import BenchmarkResult, StepSummary


def key_figures(
    benchmark: BenchmarkResult, step: StepSummary, ramp: str, point: tuple[Any, ...] = ()
) -> Iterator[Line]:
    """p50, p99 and the rate of `step` with their intervals, over trials where there were several, and its histogram.

    `point` has the names and values that tell the point of the step from the others, where there are several.

    `ramp` has the characters that the histogram is drawn of.
    """
    over, shown = over_trials(benchmark, point, step), medians(benchmark, point, step)
    noun = "trials" if over else "requests"
    for name in ("p50", "p99") if step.measured else ():
        found = over.get(f"{name}_ms", getattr(step.headline_ms, name))
        yield Fact(name, f"{ms(shown[f'{name}_ms'])} {in_brackets(found, ms, noun)}")
    rate = over.get("throughput_per_s", step.throughput_per_s)
    yield Fact("throughput", f"{per_s(shown['throughput_per_s'])} {per_s_interval(rate, noun)}")
    if step.distribution is not None:
        yield Chart(step.headline, step.distribution, ramp)
