"""How several generators of a run read: a line in the terminal, and a table of them on the page."""

from __future__ import annotations

from collections.abc import Iterator

from servemark.report.layout import Columns, Fact
from servemark.report.words import decimal
from servemark.result import BenchmarkResult, GeneratorResult, RunResult
from servemark.units import format_ms


def sent_by(run: RunResult) -> Iterator[Fact]:
    """How many generators sent it, and which of them was lost, or sent latest; nothing where this process did."""
    generators = run.generators
    if not generators:
        return
    lost = [one for one in generators if one.lost]
    words = f"{len(generators)} on {', '.join(dict.fromkeys(one.host for one in generators))}"
    if lost:
        names = ", ".join(f"{one.number}" for one in lost)
        yield Fact("generators", f"{words}; lost: {names}", "bold red")
        return
    if len(generators) == 1:
        yield Fact("generators", words)
        return
    latest = max(generators, key=lambda one: one.generator_lag_p99_ms or 0.0)
    late_ms = latest.generator_lag_p99_ms
    if late_ms is not None:
        words += f"; number {latest.number} sent latest: p99 {format_ms(late_ms)}"
    within_ms = sum(sorted(one.clock_bound_ms or 0.0 for one in generators)[-2:])
    if within_ms:
        words += f"; begun within {format_ms(within_ms)}"
    yield Fact("generators", words)


def condensed_words(run: RunResult) -> Iterator[Fact]:
    """Say that records were condensed, and what of that is in the figures; nothing of a run that has all."""
    if run.condensed:
        exact = (
            f"latencies are exact to {run.condensed.within_share:.1%}, intervals of parts of {run.condensed.slot_s:g} s"
        )
        yield Fact("records", f"{run.condensed.records:,} condensed, more than --max-records: {exact}")


def tables_of(benchmark: BenchmarkResult) -> Iterator[Columns]:
    """A row for each generator, of each run that answers and was sent by others than this process."""
    for run in benchmark.answering.values():
        if run.generators:
            where = f"generator ({run.place})" if run.place else "generator"
            table = Columns(
                where, "host", "requests", "late p99 ms", "waited for CPU ms", "self-test ms", "clock ms", ""
            )
            for one in run.generators:
                table.add_row(*_row(one))
            yield table


def _row(one: GeneratorResult) -> Iterator[str]:
    yield f"{one.number}"
    yield one.host
    yield f"{one.recorded:,}"
    for value in (one.generator_lag_p99_ms, one.run_queue_delay_ms, one.loopback_p50_ms, one.clock_bound_ms):
        yield "" if value is None else decimal(value, 3)
    yield f"lost {one.lost}" if one.lost else one.realtime
