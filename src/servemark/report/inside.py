"""What the server itself counted: where a request's time went there, beside what it took here, a line or a table."""

from __future__ import annotations

from collections.abc import Iterator

from servemark.report.layout import Columns, Fact
from servemark.report.words import counted, decimal, ms
from servemark.result import BenchmarkResult, InsideServer, RunResult

_PARTS = (("queue", "queue_ms"), ("input", "input_ms"), ("infer", "infer_ms"), ("output", "output_ms"))


def inside_facts(run: RunResult) -> Iterator[Fact]:
    """A line a model of what the server counted, where it did; of the only step, what a request took from here, too."""
    several = len(run.inside or ()) > 1
    for one in run.inside or ():
        if not one.requests:
            continue
        sent = run.steps[0].requests if not several and len(run.steps) == 1 else None
        what = f"{one.model}: " if several else ""
        if not (parts := _parts(one)):
            whole = "all that it answered" if sent is None else f"the {counted(sent, 'request')} that were sent"
            why = "it was started again, or several answer there: what it counted of their times is left out"
            yield Fact("in the server", f"{what}{counted(one.requests, 'request')}, not {whole}: {why}")
            continue
        service = ""
        if not several and (service_ms := _service_ms(run)) is not None:
            service = f", of {ms(service_ms)} service"
        others = sent is not None and one.requests > sent
        whose = f"{one.requests - (sent or 0):,} of them of others" if others else "the warm-up's too"
        yield Fact("in the server", f"{what}{parts}{service}; mean of {_counts(one)}, {whose}")


#: Of the table: what each column is.
HEADINGS = ("in the server", "requests", "executions", *(f"{word} ms" for word, _ in _PARTS), "service ms")


def rows_of_inside(benchmark: BenchmarkResult) -> Iterator[tuple[str, ...]]:
    """A row of `HEADINGS` for each model of each run that answers, where the server counted any of its requests.

    Times are means a request; the last is ours, of a run of one model and one step.
    """
    for run in benchmark.answering.values():
        several = len(run.inside or ()) > 1
        for one in run.inside or ():
            if one.requests:
                where = ", ".join(filter(None, (one.model, run.place)))
                executions = "" if one.executions is None else f"{one.executions:,}"
                times = [getattr(one, name) for _, name in _PARTS]
                times.append(None if several else _service_ms(run))
                yield (where, f"{one.requests:,}", executions, *("" if ms is None else decimal(ms, 3) for ms in times))


def tables_of_inside(benchmark: BenchmarkResult) -> Iterator[Columns]:
    """The table of what the server counted, where it counted anything."""
    rows = list(rows_of_inside(benchmark))
    if rows:
        table = Columns(*HEADINGS)
        for row in rows:
            table.add_row(*row)
        yield table


def _service_ms(run: RunResult) -> float | None:
    """The mean service time of its only step."""
    return run.steps[0].service_ms.mean.value if len(run.steps) == 1 else None


def _parts(one: InsideServer) -> str:
    told = ((word, getattr(one, name)) for word, name in _PARTS)
    return ", ".join(f"{word} {ms(value)}" for word, value in told if value is not None)


def _counts(one: InsideServer) -> str:
    batches = one.executions is not None and one.executions < one.requests
    return counted(one.requests, "request") + (f" in {counted(one.executions or 0, 'execution')}" if batches else "")
