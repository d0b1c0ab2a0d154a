"""How figures read in the terminal: units, digits, intervals, and the mark of those that no check has looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from rich.text import Text

from servemark.printable import printable
from servemark.report.layout import Fact
from servemark.result import BenchmarkResult, Distribution, LatencySummary, RunResult, Statistic, StepSummary
from servemark.stats.percentiles import REPORTED, least_n
from servemark.terminals import shortened
from servemark.units import format_ms

#: Before a figure of too few values for an interval: the checks of the certificate look at none of these.
UNCERTIFIED = "~"
LEGEND = "too few requests for an interval: it may be far off"


def subject(benchmark: BenchmarkResult) -> Text:
    """What was measured, behind what must be known of the measurement."""
    line = Text()
    if benchmark.failure:
        line.append("FAILED ", style="bold red")
    elif benchmark.partial:
        line.append("PARTIAL ", style="bold yellow")
    line.append_text(if_invalid(benchmark))
    if benchmark.certificate and benchmark.certificate.is_imported:
        line.append("IMPORTED ", style="bold yellow")
    return line.append(f"{named(benchmark)}: ", style="bold")


def if_invalid(benchmark: BenchmarkResult) -> Text:
    """What stands before whatever is said of what is INVALID; else nothing."""
    is_valid = benchmark.certificate is None or benchmark.certificate.valid
    return Text() if is_valid else Text("INVALID ", style="bold red")


def named(benchmark: BenchmarkResult) -> str:
    """The benchmark, with its model or endpoint."""
    what = benchmark.model or urlsplit(benchmark.options.url or "").netloc
    return f"{benchmark.name} {shortened(what)}" if what else benchmark.name


def counted(how_many: int, noun: str) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{how_many:,} {noun}" if how_many == 1 else f"{how_many:,} {noun}s"


def ms(value: Statistic | float | None) -> str:
    """A time in milliseconds, in the unit that a person reads; of a statistic without an interval marked."""
    if isinstance(value, Statistic):
        return marked(ms(value.value), certain=value.ci95 is not None)
    return "-" if value is None else format_ms(value)


def p50_and_p99_ms(latency: LatencySummary) -> str:
    """The median, with its interval where it has one, and the 99th percentile."""
    p50 = latency.p50
    interval = f" ({ms(p50.ci95[0])} to {ms(p50.ci95[1])})" if p50.ci95 else ""
    return f"p50 {ms(p50)}{interval}, p99 {ms(latency.p99)}"


def percentile_ms(distribution: Distribution, name: str, values: int) -> str:
    """The percentile `name` of the distribution of so many `values`, in the unit that a person reads."""
    return marked(ms(getattr(distribution, name)), certain=has_interval(name, values))


def per_s(statistic: Statistic) -> str:
    """A rate."""
    if statistic.value is None:
        return "-"
    return marked(f"{plain(statistic.value)}/s", certain=statistic.ci95 is not None)


def per_s_interval(statistic: Statistic, noun: str = "requests") -> str:
    """The interval of a rate, in brackets, or how many of `noun` it would take."""
    digits = digits_of(statistic.ci95[1]) if statistic.ci95 else 0
    return in_brackets(statistic, lambda value: decimal(value, digits), noun)


def in_brackets(statistic: Statistic, shown: Callable[[float], str], noun: str = "requests") -> str:
    """An interval, of bounds as they are `shown`, or how many of `noun` it would take."""
    if statistic.ci95 is None:
        needed = _needed(statistic, f" {noun}")
        return f"(no interval below {needed})" if needed else "(no interval)"
    low, high = map(shown, statistic.ci95)
    return f"({low} to {high})"


def interval(statistic: Statistic, digits: int) -> str:
    """An interval, or how many values it would take."""
    if statistic.ci95 is None:
        needed = _needed(statistic)
        return f"- needs {needed}" if needed else "-"
    return f"{decimal(statistic.ci95[0], digits)} to {decimal(statistic.ci95[1], digits)}"


def _needed(statistic: Statistic, of_what: str = "") -> str:
    """How much would have to be measured for an interval; empty where that is not said."""
    if statistic.needs_n is None and statistic.needs_s:
        return f"{math.ceil(statistic.needs_s)} s" if statistic.needs_s >= 1 else f"{statistic.needs_s:.1g} s"
    return "" if statistic.needs_n is None else f"{statistic.needs_n:,}{of_what}"


def figure(statistic: Statistic, digits: int) -> str:
    """A statistic with that many decimals, marked where it has no interval."""
    return marked(decimal(statistic.value, digits), certain=statistic.ci95 is not None)


def percentile(distribution: Distribution, name: str, values: int, digits: int) -> str:
    """The percentile `name` of the distribution of so many `values`, with that many decimals."""
    return marked(decimal(getattr(distribution, name), digits), certain=has_interval(name, values))


def marked(text: str, *, certain: bool) -> str:
    """A figure, behind the mark where it is not certain."""
    return text if certain or text == "-" else f"{UNCERTIFIED}{text}"


def has_interval(name: str, values: int) -> bool:
    """Whether the percentile `name` of so many values has an interval."""
    return values >= least_n(REPORTED[name])


def percentile_name(name: str) -> str:
    """What a percentile is called: ``p99.9`` of ``p99_9``."""
    return name.replace("_", ".")


def decimal(value: float | None, digits: int) -> str:
    """A number with that many decimals."""
    return "-" if value is None else f"{value:,.{digits}f}"


def plain(value: float | None) -> str:
    """A number by itself, to about four significant digits."""
    return decimal(value, digits_of(value))


def digits_of(value: float | None) -> int:
    """Decimals that leave about four significant digits, at most three."""
    size = abs(value or 0.0)
    return 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0


def counts(run: RunResult, steps: Sequence[StepSummary]) -> Iterator[Fact]:
    """How many requests of `steps` were measured; on a line of its own how many were sent, where that is more."""
    measured, failed = (sum(getattr(step, name) for step in steps) for name in ("requests_measured", "measured_failed"))
    yield Fact("requests", _outcome(f"{measured} measured", measured, failed), "red" if failed else "")
    sent, failed = (sum(getattr(step, name) for step in steps) for name in ("requests", "failed"))
    if sent != measured:
        label = "with warm-up" if run.warmup_s else "in all"
        yield Fact(label, _outcome(f"{sent} sent", sent, failed), "red" if failed else "")


def _outcome(of: str, requests: int, failed: int) -> str:
    return f"{of}: {requests - failed} succeeded, {failed} failed"


def steps_told(benchmark: BenchmarkResult) -> list[tuple[str, StepSummary]]:
    """The steps of a benchmark, or those of each of its points, behind what a table calls them."""
    if benchmark.steps:
        return [(step.name, step) for step in benchmark.steps]
    return [
        (" ".join(map(str, run.point.values())), step) for run in benchmark.answering.values() for step in run.steps
    ]


def failed_of_all(step: StepSummary) -> str:
    """The share of everything that was sent, the warm-up too, that failed, and the first of it."""
    share = f"{step.failed / step.requests:.2%}" if step.requests else "none"
    return f"{share} of all {step.requests} sent failed: {first_error(step)}"


def first_error(step: StepSummary) -> str:
    """How many failures of which kind, and what the first of them was."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in step.errors.items())
    if not step.error_examples:
        return kinds
    example = min(step.error_examples, key=lambda item: item.at_s)
    return f"{kinds}; first at {example.at_s:.3f} s: {shortened(' '.join(printable(example.message).split()), 500)}"
