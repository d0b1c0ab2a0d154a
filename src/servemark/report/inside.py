"""What the server itself counted, for the terminal: where a request's time went there, beside what it took here."""

from __future__ import annotations

from collections.abc import Iterator

from servemark.report.layout import Fact
from servemark.report.words import counted, ms
from servemark.result import InsideServer, RunResult

_PARTS = (("queue", "queue_ms"), ("input", "input_ms"), ("infer", "infer_ms"), ("output", "output_ms"))


def inside_facts(run: RunResult) -> Iterator[Fact]:
    """A line a model of what the server counted, where it did; of the only step, what a request took from here, too."""
    several = len(run.inside or ()) > 1
    for one in run.inside or ():
        if not one.requests:
            continue
        service = ""
        if not several and len(run.steps) == 1 and run.steps[0].service_ms.mean.value is not None:
            service = f", of {ms(run.steps[0].service_ms.mean.value)} service"
        what = f"{one.model}: " if several else ""
        yield Fact("in the server", f"{what}{_parts(one)}{service}; mean of {_counts(one)}, the warm-up's too")


def _parts(one: InsideServer) -> str:
    told = ((word, getattr(one, name)) for word, name in _PARTS)
    return ", ".join(f"{word} {ms(value)}" for word, value in told if value is not None)


def _counts(one: InsideServer) -> str:
    batches = one.executions is not None and one.executions < one.requests
    return counted(one.requests, "request") + (f" in {counted(one.executions or 0, 'execution')}" if batches else "")
