"""What the runs of a benchmark show together, for the terminal: a table of points, registrations, scaling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from servemark.report.law import law_in_words
from servemark.report.layout import Columns, Fact
from servemark.report.trials import in_words, medians
from servemark.report.words import (
    counted,
    decimal,
    digits_of,
    failed_of_all,
    figure,
    interval,
    marked,
    ms,
    per_s,
    percentile,
    percentile_ms,
    subject,
)
from servemark.result import (
    Analysis,
    Background,
    BenchmarkResult,
    OpenLoadResult,
    Predictions,
    Registrations,
    RunResult,
    Scaling,
    ScalingCalls,
    StepSummary,
)
from servemark.units import four_digits

_POINT_LABELS = {"batch_size": "batch", "max_batch_delay_ms": "delay"}
#: Registrations of which each time is shown; of more, the slowest.
_MOST_EACH = 32


def headline(benchmark: BenchmarkResult) -> Text | None:
    """The first line of a benchmark whose answer is in its analysis, or in several runs; None of any other."""
    analysis = benchmark.analysis or Analysis()
    best = best_point(benchmark)
    if best is not None:
        found = medians(benchmark, tuple(best.point.items()), best.steps[0])
        figures = f"at best {per_s(found['throughput_per_s'])}, p99 {ms(found['p99_ms'])}"
        where = f"{described(best.point)}{in_words(benchmark)}"
        return subject(benchmark).append(f"{figures} ({where})", style="bold green")
    if analysis.registrations:
        (step,) = benchmark.steps
        done = f"{step.succeeded} of {step.requests} registered in {analysis.registrations.total_s:.2f} s"
        return _with_failures(benchmark, f"{done}, p50 {ms(step.headline_ms.p50)}")
    if analysis.scaling:
        figures = ", ".join(_settled(to, calls) for to, calls in analysis.scaling.directions.items() if calls.calls)
        return _with_failures(benchmark, f"settled {figures}" if figures else "nothing was scaled")
    if len(benchmark.steps) > 1:
        return _with_failures(benchmark, f"{_total_per_s(benchmark.steps)} in all")
    return None


def best_point(benchmark: BenchmarkResult) -> RunResult | None:
    """The run of the point with the highest rate of a benchmark of several; None of any other benchmark."""
    analysis = benchmark.analysis
    if not benchmark.runs or benchmark.steps or benchmark.capacity is not None or (analysis and analysis.scaling):
        return None

    def rate_per_s(run: RunResult) -> float:
        figures = medians(benchmark, tuple(run.point.items()), run.steps[0])
        return figures["throughput_per_s"].value or 0.0

    return max(benchmark.answering.values(), key=rate_per_s)


def _settled(to: str, calls: ScalingCalls) -> str:
    settled = calls.settled_ms
    if settled.max is None:
        return f"{to} never"
    p50 = percentile_ms(settled, "p50", calls.calls - calls.failed)
    return f"{to} p50 {p50}, max {ms(settled.max)}"


def tables(benchmark: BenchmarkResult) -> Iterator[Columns | Text]:
    """The tables of a benchmark of several steps or points, each with the line below it."""
    scaling = benchmark.analysis.scaling if benchmark.analysis else None
    if scaling and scaling.directions:
        yield _table_of_scaling(scaling)
        yield Text()
    yield _table_of_steps(benchmark.steps) if benchmark.steps else _table_of_points(benchmark)
    yield Text()


def _table_of_scaling(scaling: Scaling) -> Columns:
    """A row a direction, of the calls that the headline is of."""
    table = Columns("settled ms", "calls", "failed", "p50", "p99", "max")
    for to, calls in scaling.directions.items():
        settled, succeeded = calls.settled_ms, calls.calls - calls.failed
        digits = digits_of(settled.p50)
        figures = (percentile(settled, name, succeeded, digits) for name in ("p50", "p99"))
        table.add_row(to, f"{calls.calls:,}", f"{calls.failed:,}", *figures, decimal(settled.max, digits))
    return table


def _table_of_points(benchmark: BenchmarkResult) -> Columns:
    """A row a run, for a benchmark of several points."""
    front = set((benchmark.analysis.pareto_runs if benchmark.analysis else None) or ())
    in_open_loop = isinstance(benchmark.runs[0].load, OpenLoadResult)
    waiting = ("waited p99",) if in_open_loop else ()
    first, *names = (_POINT_LABELS.get(name, name) for name in benchmark.runs[0].point)
    extra = ("p90 ms", "p95 ms", "p99 95% interval", "max ms")
    figures = ("per s", "95% interval", "p50 ms", *extra[:2], "p99 ms", *extra[2:])
    table = Columns(first, *names, *figures, *waiting, "failed", *(("best",) if front else ()), extra=extra)
    for index, run in benchmark.answering.items():
        step = run.steps[0]
        rate, latency = step.throughput_per_s, step.headline_ms
        digits, digits_ms = digits_of(rate.value), digits_of(latency.p50.value)
        table.add_row(
            *(str(value) for value in run.point.values()),
            figure(rate, digits),
            f"{decimal(rate.ci95[0], digits)} to {decimal(rate.ci95[1], digits)}" if rate.ci95 else "-",
            *(figure(value, digits_ms) for value in (latency.p50, latency.p90, latency.p95, latency.p99)),
            interval(latency.p99, digits_ms),
            decimal(latency.max, digits_ms),
            *((figure(step.client_queue_ms.p99, digits_ms),) if in_open_loop else ()),
            str(step.measured_failed),
            *(("*" if index in front else "",) if front else ()),
        )
    return table


def _table_of_steps(steps: tuple[StepSummary, ...]) -> Columns:
    """A row a step, with the latency that answers for it, for a benchmark whose users do several things."""
    latencies = " or ".join(sorted({step.headline for step in steps}))
    headings = ("measured", "failed", "per s", "mean", "p50", "p90", "p95", "p99", "p99 95% interval", "max")
    table = Columns(f"{latencies} ms", *headings, extra=("mean", "p90", "p99 95% interval"))
    for step in steps:
        rate, found = step.throughput_per_s, step.headline_ms
        digits = digits_of(found.p50.value)
        table.add_row(
            step.name,
            f"{step.requests_measured:,}",
            str(step.measured_failed),
            figure(rate, digits_of(rate.value)),
            *(figure(value, digits) for value in (found.mean, found.p50, found.p90, found.p95, found.p99)),
            interval(found.p99, digits),
            decimal(found.max, digits),
        )
    return table


def facts(benchmark: BenchmarkResult) -> Iterator[Fact]:
    """A line for each thing that the runs show together."""
    analysis = benchmark.analysis or Analysis()
    if analysis.scalability:
        yield Fact("scalability", law_in_words(analysis.scalability))
    if analysis.registrations:
        yield from _registrations(analysis.registrations)
    if analysis.scaling:
        yield from _scaling(analysis.scaling)


def _with_failures(benchmark: BenchmarkResult, figures: str) -> Text:
    line = subject(benchmark).append(figures, style="bold green")
    for step in benchmark.steps:
        if step.failed:
            line.append(f"; {step.name}: {failed_of_all(step)}", style="red")
    return line


def _total_per_s(steps: tuple[StepSummary, ...]) -> str:
    rates = [step.throughput_per_s for step in steps]
    total = four_digits(sum(rate.value or 0.0 for rate in rates))
    return marked(f"{total}/s", certain=all(rate.ci95 for rate in rates))


def _registrations(found: Registrations) -> Iterator[Fact]:
    took = sorted(found.models.items(), key=lambda item: -item[1].response_s)
    label = "each, in s" if len(took) <= _MOST_EACH else "slowest, in s"
    each = (f"{name.rpartition('-')[2]}: {one.response_s:.2f}" for name, one in took[:_MOST_EACH])
    yield Fact(label, ", ".join(each))
    if found.removal_s is not None:
        kept = found.removal_failures
        failed = f"; {counted(len(kept), 'model')} could not be: {next(iter(kept.values()))}" if kept else ""
        yield Fact("removed", f"in {found.removal_s:.2f} s{failed}", "red" if kept else "")


def _scaling(found: Scaling) -> Iterator[Fact]:
    """What the tables of scaling count, and what it did to predictions meanwhile."""
    if found.directions:
        yield Fact("settled", "from a call until its workers were read back: as many READY as it wanted, and no others")
        yield Fact("read_up, _down", "the requests that ask for the workers, again and again until they are so")
    unfinished = sum(calls.unfinished for calls in found.directions.values())
    if unfinished:
        yield Fact("cut off", f"{counted(unfinished, 'call')}, by the end: not among the settled")
    if found.background:
        yield from _background(found.background)


def _background(found: Background) -> Iterator[Fact]:
    alone, during = found.alone, found.while_scaling

    def figures(some: Predictions) -> str:
        times, succeeded = some.response_ms, some.requests - some.failed
        p50, p99 = (percentile_ms(times, name, succeeded) for name in ("p50", "p99"))
        return f"{counted(some.requests, 'prediction')}, p50 {p50}, p99 {p99}"

    yield Fact("alone", f"{figures(alone)}, {alone.failed} failed")
    slowed = "" if during.slowed is None else f", {during.slowed} slower than the p99 alone"
    yield Fact("while scaling", f"{figures(during)}{slowed}, {during.failed} failed")


def described(point: Mapping[str, Any]) -> str:
    """What tells a point from the others: ``threads 4``."""
    return ", ".join(f"{_POINT_LABELS.get(name, name)} {value}" for name, value in point.items())
