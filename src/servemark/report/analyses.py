"""What the runs of a benchmark show together, for the terminal: a table of points, a law, registrations, scaling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from servemark.report.words import (
    COLUMN_PADDING,
    columns,
    counted,
    decimal,
    digits_of,
    fact,
    failed_of_all,
    ms,
    per_s,
    subject,
)
from servemark.result import BenchmarkResult, RunResult, StepSummary

_POINT_LABELS = {"batch_size": "batch", "max_batch_delay_ms": "delay"}
#: Registrations of which each time is shown; of more, the slowest.
_MOST_EACH = 32
#: A share of serial work from which on the throughput of a law without other costs is the same at any number.
_SERIAL_SIGMA = 0.995


def headline(benchmark: BenchmarkResult) -> Text | None:
    """The first line of a benchmark whose answer is in its analysis, or in several runs; None of any other."""
    analysis = benchmark.analysis or {}
    if benchmark.runs and not benchmark.steps and "scaling" not in analysis:
        best = max(benchmark.runs, key=lambda run: run.steps[0].throughput_per_s.value or 0.0)
        figures = f"at best {per_s(best.steps[0].throughput_per_s)}, p99 {ms(best.steps[0].headline_ms.p99)}"
        return subject(benchmark).append(f"{figures} ({_described(best)})", style="bold green")
    if "registrations" in analysis:
        (step,) = benchmark.steps
        done = f"{step.succeeded} of {step.requests} registered in {analysis['registrations']['total_s']:.2f} s"
        return _with_failures(benchmark, f"{done}, p50 {ms(step.headline_ms.p50)}")
    if "scaling" in analysis:
        up, down = (analysis["scaling"][to] for to in ("up", "down"))
        figures = ", ".join(
            f"{to} p50 {ms(calls['settled_ms']['p50'])}, max {ms(calls['settled_ms']['max'])}"
            for to, calls in (("up", up), ("down", down))
            if calls and calls["settled_ms"]["max"] is not None
        )
        return _with_failures(benchmark, f"settled {figures}" if figures else "nothing was scaled")
    if len(benchmark.steps) > 1:
        return _with_failures(benchmark, f"{_total_per_s(benchmark.steps):.4g}/s in all")
    return None


def tables(benchmark: BenchmarkResult) -> Iterator[Table | Text]:
    """The tables of a benchmark of several steps or points, each with the line below it."""
    scaling = (benchmark.analysis or {}).get("scaling")
    if scaling and (scaling["up"] or scaling["down"]):
        yield _table_of_scaling(scaling)
        yield Text()
    yield table_of_steps(benchmark.steps) if benchmark.steps else table_of_points(benchmark)
    yield Text()


def _table_of_scaling(scaling: Mapping[str, Any]) -> Table:
    """A row a direction, of the calls that the headline is of."""
    table = columns("settled ms", "calls", "failed", "p50", "p99", "max")
    for to in ("up", "down"):
        calls = scaling[to]
        if calls:
            settled = calls["settled_ms"]
            digits = digits_of(settled["p50"])
            figures = (decimal(settled[name], digits) for name in ("p50", "p99", "max"))
            table.add_row(to, f"{calls['calls']:,}", f"{calls['failed']:,}", *figures)
    return table


def table_of_points(benchmark: BenchmarkResult) -> Table:
    """A row a run, for a benchmark of several points."""
    front = set((benchmark.analysis or {}).get("pareto_runs", ()))
    table = Table(box=None, pad_edge=False, padding=COLUMN_PADDING)
    for name in benchmark.runs[0].point:
        table.add_column(_POINT_LABELS.get(name, name), style="dim", justify="right")
    in_open_loop = benchmark.runs[0].load["kind"] == "open"
    waiting = ("waited p99",) if in_open_loop else ()
    for heading in ("per s", "95% interval", "p50 ms", "p99 ms", *waiting, "failed", *(("best",) if front else ())):
        table.add_column(heading, justify="right")
    for index, run in enumerate(benchmark.runs):
        step = run.steps[0]
        rate, latency = step.throughput_per_s, step.headline_ms
        digits, digits_ms = digits_of(rate.value), digits_of(latency.p50.value)
        table.add_row(
            *(str(value) for value in run.point.values()),
            decimal(rate.value, digits),
            f"{decimal(rate.ci95[0], digits)} to {decimal(rate.ci95[1], digits)}" if rate.ci95 else "-",
            decimal(latency.p50.value, digits_ms),
            decimal(latency.p99.value, digits_ms),
            *((decimal(step.client_queue_ms.p99.value, digits_ms),) if in_open_loop else ()),
            str(step.measured_failed),
            *(("*" if index in front else "",) if front else ()),
        )
    return table


def table_of_steps(steps: tuple[StepSummary, ...]) -> Table:
    """A row a step, with the latency that answers for it, for a benchmark whose users do several things."""
    latencies = " or ".join(sorted({step.headline for step in steps}))
    table = columns(f"{latencies} ms", "measured", "failed", "per s", "p50", "p95", "p99", "max")
    for step in steps:
        response = step.headline_ms
        digits = digits_of(response.p50.value)
        table.add_row(
            step.name,
            f"{step.requests_measured:,}",
            str(step.measured_failed),
            decimal(step.throughput_per_s.value, digits_of(step.throughput_per_s.value)),
            *(decimal(value, digits) for value in (response.p50.value, response.p95.value, response.p99.value)),
            decimal(response.max, digits),
        )
    return table


def facts(benchmark: BenchmarkResult) -> Iterator[Table]:
    """A line for each thing that the runs show together."""
    analysis = benchmark.analysis or {}
    if "scalability" in analysis:
        yield fact("scalability", law_in_words(analysis["scalability"]))
    if "registrations" in analysis:
        yield from _registrations(analysis["registrations"])
    if analysis.get("scaling"):
        yield from _scaling(analysis["scaling"])


def _with_failures(benchmark: BenchmarkResult, figures: str) -> Text:
    line = subject(benchmark).append(figures, style="bold green")
    for step in benchmark.steps:
        if step.failed:
            line.append(f"; {step.name}: {failed_of_all(step)}", style="red")
    return line


def _total_per_s(steps: tuple[StepSummary, ...]) -> float:
    return sum(step.throughput_per_s.value or 0.0 for step in steps)


def law_in_words(found: Mapping[str, Any]) -> str:
    """The fitted Universal Scalability Law in words: what was seen, and what is only the law's beyond it."""
    if "refused" in found:
        return f"not fitted: {found['refused']}"
    least, most = found["least_users"], found["most_users"]
    one = f"{found['lambda_per_s']:.1f}/s alone"
    if least > 1:
        one += f" by the law (measured from {least:.0f} threads on)"
    shares = f"sigma {found['sigma']:.3f}, kappa {found['kappa']:.2g}, off by {found['off_share']:.1%} at most"
    return f"{one}; {_where_most(found, least, most)} ({shares})"


def _where_most(found: Mapping[str, Any], least: float, most: float) -> str:
    peak = found["peak_users"]
    if peak is None:
        if found["sigma"] >= _SERIAL_SIGMA:
            return f"the same from {least:.0f} to {most:.0f} threads: one thing after the other"
        grows = "it only flattens" if found["sigma"] else "it grows in proportion"
        return f"no peak up to {most:.0f} threads, {grows}"
    if peak > most:
        return f"most at about {peak:.0f} threads by the law, which nobody saw: measured up to {most:.0f}"
    if peak <= least:
        return f"most at {least:.0f} thread{'s' * (least > 1)}, it falls from there"
    return f"most at {peak:.0f} threads"


def _registrations(found: Mapping[str, Any]) -> Iterator[Table]:
    took = sorted(found["models"].items(), key=lambda item: -item[1]["response_s"])
    label = "each, in s" if len(took) <= _MOST_EACH else "slowest, in s"
    each = (f"{name.rpartition('-')[2]}: {one['response_s']:.2f}" for name, one in took[:_MOST_EACH])
    yield fact(label, ", ".join(each))
    if found["removal_s"] is not None:
        kept = found["removal_failures"]
        failed = f"; {counted(len(kept), 'model')} could not be: {next(iter(kept.values()))}" if kept else ""
        yield fact("removed", f"in {found['removal_s']:.2f} s{failed}", "red" if kept else "")


def _scaling(found: Mapping[str, Any]) -> Iterator[Table]:
    """What the tables of scaling count, and what it did to predictions meanwhile."""
    yield fact("settled", "from a call until its workers were read back: as many READY as it wanted, and no others")
    yield fact("read_up, _down", "the requests that ask for the workers, again and again until they are so")
    unfinished = sum(calls["unfinished"] for to in ("up", "down") if (calls := found[to]))
    if unfinished:
        yield fact("cut off", f"{counted(unfinished, 'call')}, by the end: not among the settled")
    if found["background"]:
        yield from _background(found["background"])


def _background(found: Mapping[str, Any]) -> Iterator[Table]:
    alone, during = found["alone"], found["while_scaling"]

    def figures(some: Mapping[str, Any]) -> str:
        times = some["response_ms"]
        return f"{counted(some['requests'], 'prediction')}, p50 {ms(times['p50'])}, p99 {ms(times['p99'])}"

    yield fact("alone", f"{figures(alone)}, {alone['failed']} failed")
    slowed = "" if during["slowed"] is None else f", {during['slowed']} slower than the p99 alone"
    yield fact("while scaling", f"{figures(during)}{slowed}, {during['failed']} failed")


def _described(run: RunResult) -> str:
    return ", ".join(f"{_POINT_LABELS.get(name, name)} {value}" for name, value in run.point.items())
