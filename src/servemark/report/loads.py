"""How a run's load reads in the terminal, what its rate came to, and the table of the stages of a rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from servemark.benchmarks import Headline
from servemark.report.layout import Columns, Fact
from servemark.report.words import counted, decimal, digits_of, ms, percentile
from servemark.result import (
    KERNEL_CLOCK,
    OWN_CLOCK,
    BenchmarkResult,
    ClosedLoadResult,
    OpenLoadResult,
    RateSegmentResult,
    RunResult,
    StepSummary,
    TraceResult,
)

#: Steps of a profile of rates that are named one by one.
_MOST_NAMED = 5
#: Stages that are shown; all of them are in the result.
_MOST_STAGES = 40
#: An achieved rate that is lower than this share of what was offered is said.
_KEPT_UP_SHARE = 0.98
#: A p99 of the waiting for a connection that is more than the larger of these is said: that share of the response's.
_WAITING_MS, _WAITING_SHARE = 0.5, 0.05


def load_line(run: RunResult) -> str:
    """The load of the run that gives the headline: who sends, and for how long."""
    measured_s = run.window_s[1] - run.window_s[0]
    found = f", {run.warmup_s - run.load.warmup_s:.1f} s of it found" if run.warmup_s > run.load.warmup_s else ""
    warmup = f" after {run.warmup_s:.3g} s of warm-up{found}" if run.warmup_s else ""
    if isinstance(run.load, ClosedLoadResult):
        who = counted(run.load.users, "thread")
    else:
        most, asked = run.load.max_connections, run.load.requested_connections
        fewer = f" ({asked:,} need more file descriptors: ulimit -n)" if most < asked else ""
        who = f"{open_loop(run.load)}, at most {counted(most, 'connection')}{fewer}"
    return f"{who}, {measured_s:.1f} s measured{warmup}"


def less_exact(run: RunResult, step: StepSummary, headline: Headline) -> dict[str, tuple[float | None, float]]:
    """The figures less exact than was aimed at, of a run whose length adapts and that lasted for as long as it may.

    By figure half its interval, as a share of it, or None where there is no interval, and the aim.
    """
    until = run.load.until
    if until is None or until.precision is None or run.window_s[1] - run.load.warmup_s < until.max_s:
        return {}
    figures = {"p50": step.headline_ms.p50, "rate": step.throughput_per_s, "p99": step.headline_ms.p99}
    aims = {"rate" if headline == "throughput" else "p50": until.precision}
    if until.p99_precision is not None:
        aims = {"p50": until.precision, "rate": until.precision, "p99": until.p99_precision}
    found = {}
    for name, aim in aims.items():
        value, ci95 = figures[name].value, figures[name].ci95
        half_share = (ci95[1] - ci95[0]) / 2 / value if ci95 and value else None
        if half_share is None or half_share > aim:
            found[name] = (half_share, aim)
    return found


def length_fact(run: RunResult, step: StepSummary, headline: Headline) -> Iterator[Fact]:
    """Say that the longest time of a run did not make its figures as exact as was aimed at; else nothing."""
    words = [
        f"{name} has no interval" if half_share is None else f"{name} is exact to {half_share:.1%}, aim {aim:.1%}"
        for name, (half_share, aim) in less_exact(run, step, headline).items()
    ]
    if words:
        seconds = run.window_s[1] - run.load.warmup_s
        yield Fact("length", f"{seconds:.0f} s, the most that it takes unasked, did not suffice: {', '.join(words)}")


def whose_clock(run: RunResult) -> Iterator[Fact]:
    """Whose time of arrival answers have, unless it is the kernel's."""
    clock = run.load.receive_clock
    if clock == OWN_CLOCK:
        yield Fact("clock", "the engine's own, in whole milliseconds")
    elif clock != KERNEL_CLOCK:
        why = clock.partition(", ")[2]
        words = "answers have the time at which they were read, not that at which they came"
        yield Fact("clock", f"{words} ({why})" if why else words)


def open_loop(load: OpenLoadResult) -> str:
    """``open loop, 200/s poisson``."""
    if load.trace:
        trace = load.trace
        file = Path(trace.file).name if trace.file else "recorded"
        file += f":{trace.column}" if trace.column else ""
        return f"open loop, trace {file} ({trace.times:,} times{_in_unit(trace)}, {trace.length_s:g} s)"
    process = f"gamma (cv {load.cv:g})" if load.process == "gamma" else load.process
    return f"open loop, {_rates(load.profile)} {process}"


def _in_unit(trace: TraceResult) -> str:
    """Say what times were taken for that were not taken for seconds."""
    unit = trace.unit
    return "" if unit == "s" else f" in {unit}"


def _rates(profile: Sequence[RateSegmentResult]) -> str:
    first = profile[0]
    if first.from_per_s != first.to_per_s:
        return f"{_plain(first.from_per_s)} to {_plain(first.to_per_s)}/s in {first.duration_s:g} s,"
    rates = [segment.from_per_s for segment in profile]
    if len(rates) == 1:
        return f"{_plain(rates[0])}/s"
    if len(rates) > _MOST_NAMED:
        return f"{len(rates)} steps from {_plain(rates[0])}/s to {_plain(rates[-1])}/s, {first.duration_s:g} s each,"
    return f"{', '.join(f'{_plain(rate)}/s' for rate in rates)} for {first.duration_s:g} s each,"


def _plain(rate: float) -> str:
    return f"{rate:,.6f}".rstrip("0").rstrip(".")


def rate_facts(run: RunResult) -> Iterator[Fact]:
    """Say that the server did not achieve the rate that an open loop offered."""
    offered = None if isinstance(run.load, ClosedLoadResult) else run.load.offered_per_s
    achieved = sum(step.throughput_per_s.value or 0.0 for step in run.steps)
    if offered and achieved < _KEPT_UP_SHARE * offered:
        digits = digits_of(offered)
        figures = (
            f"{decimal(offered, digits)}/s; achieved {decimal(achieved, digits)}/s, {achieved / offered:.0%} of it"
        )
        yield Fact("offered", figures, "yellow")


def waited(run: RunResult, step: StepSummary) -> str | None:
    """The p99 of the waiting for a connection, where an open loop's is a part of the response that matters."""
    queue, response = step.client_queue_ms.p99.value, step.response_ms.p99.value
    if isinstance(run.load, ClosedLoadResult) or queue is None or response is None:
        return None
    return ms(step.client_queue_ms.p99) if queue > max(_WAITING_MS, _WAITING_SHARE * response) else None


def table_of_stages(benchmark: BenchmarkResult) -> Columns | None:
    """A row a stage of the only run's profile of rates; None where there is none, or several runs."""
    stages = (benchmark.analysis.stages if benchmark.analysis else None) or ()
    if not stages or len(benchmark.runs) > 1:
        return None
    headings = ("to s", "requests", "offered/s", "achieved/s", "p50 ms", "p99 ms", "max ms", "failed", "waited p99")
    table = Columns("from s", *headings, extra=("to s", "requests", "max ms"))
    start_s = stages[0].start_s
    for stage in stages[:_MOST_STAGES]:
        response, queue = stage.response_ms, stage.client_queue_ms
        digits, digits_ms = digits_of(stage.offered_per_s), digits_of(response.p50)
        succeeded = stage.requests - stage.failed
        table.add_row(
            f"{stage.start_s - start_s:g}",
            f"{stage.end_s - start_s:g}",
            f"{stage.requests:,}",
            decimal(stage.offered_per_s, digits),
            decimal(stage.achieved_per_s, digits),
            percentile(response, "p50", succeeded, digits_ms),
            percentile(response, "p99", succeeded, digits_ms),
            decimal(response.max, digits_ms),
            f"{stage.failed:,}",
            percentile(queue, "p99", succeeded, digits_ms),
        )
    if len(stages) > _MOST_STAGES:
        table.add_row(f"and {len(stages) - _MOST_STAGES} more")
    return table
