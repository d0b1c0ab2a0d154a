"""The summary for people, on stdout, and the progress of a run, on stderr. Fits 80 columns; plain when piped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from servemark.benchmarks import Headline, catalogue
from servemark.report import analyses
from servemark.report.loads import load_line, open_loop, rate_facts, table_of_stages, waited, whose_clock
from servemark.report.streams import streamed, streams_of_all
from servemark.report.words import (
    LABEL_WIDTH,
    columns,
    counted,
    decimal,
    digits_of,
    fact,
    first_error,
    interval,
    ms,
    per_s,
    per_s_interval,
    subject,
)
from servemark.result import STATISTICS, BenchmarkResult, LatencySummary, Result, RunResult, StepSummary
from servemark.units import format_ms

_LABELS = {"p99_9": "p99.9"}


def print_summary(result: Result, folder: Path) -> None:
    """Print what was measured, the headline first; of a suite, all headlines again at the end."""
    console = Console(highlight=False)
    several = len(result.benchmarks) + len(result.skipped) > 1
    with console.capture() as capture:  # rich itself would end the process when the reader of a pipe has left
        for benchmark in result.benchmarks:
            for line in _summary_lines(result, benchmark):
                console.print(line)
            if several:
                console.print()
        if several:
            for benchmark in result.benchmarks:
                console.print(_headline(benchmark))
        for skipped in result.skipped:
            console.print(Text(f"{skipped.name}: skipped: {skipped.reason}", style="yellow"))
        path = Text.assemble((f"{'results':{LABEL_WIDTH}}", "dim"), str(folder))
        console.print(path, soft_wrap=True)  # in one piece, so that it can be copied
    print(*(line.rstrip() for line in capture.get().splitlines()), sep="\n")


def _summary_lines(result: Result, benchmark: BenchmarkResult) -> Iterator[Text | Table]:
    yield _headline(benchmark)
    if not benchmark.runs:
        return
    yield Text(_server_line(result, benchmark), style="dim")
    headline_run = next((run for run in benchmark.runs if not run.point), None)
    if headline_run:
        yield Text(load_line(headline_run), style="dim")
    elif benchmark.runs[0].load["kind"] == "open":
        yield Text(open_loop(benchmark.runs[0].load), style="dim")
    yield Text()
    stages = table_of_stages(benchmark)
    if stages:
        yield stages
        yield Text()
    if len(benchmark.steps) == 1 and "registrations" not in (benchmark.analysis or {}):
        (step,) = benchmark.steps
        if step.measured:
            yield _latency_table(step)
            yield Text()
        yield from _facts(benchmark.runs[0], step)
    else:
        yield analyses.table_of_steps(benchmark.steps) if benchmark.steps else analyses.table_of_points(benchmark)
        yield Text()
        yield from rate_facts(headline_run) if headline_run else ()
        yield from streams_of_all(benchmark)
    yield from analyses.facts(benchmark)
    yield from whose_clock(benchmark.runs[0])
    if headline_run:
        yield from _memory(headline_run)
    if benchmark.cold_start_ms is not None:
        yield fact("cold start", f"{format_ms(benchmark.cold_start_ms)}, the first prediction after registering")
    yield from _judgements(benchmark)


def _headline(benchmark: BenchmarkResult) -> Text:
    line = _figures(benchmark)
    disturbed = [found.name for found in benchmark.certificate.disturbances] if benchmark.certificate else []
    return line.append(f" ({', '.join(disturbed)})", style="yellow") if disturbed else line


def _figures(benchmark: BenchmarkResult) -> Text:
    if benchmark.failure:
        return subject(benchmark).append(benchmark.failure.message, style="red")
    line = analyses.headline(benchmark)
    if line is not None and any(step.succeeded for run in benchmark.runs for step in run.steps):
        return line
    if not benchmark.steps:
        return subject(benchmark).append("nothing was measured", style="bold yellow")
    return _headline_of_step(benchmark, benchmark.steps[0], catalogue()[benchmark.name].headline)


def _headline_of_step(benchmark: BenchmarkResult, step: StepSummary, headline: Headline) -> Text:
    line = subject(benchmark)
    if step.requests and not step.succeeded:
        return line.append(f"every request failed: {first_error(step)}", style="bold red")
    if not step.measured:
        why = "" if benchmark.partial else ": every answer took too long; -l N measures exactly N a user"
        return line.append(f"nothing was measured{why}", style="bold yellow")
    latency = step.headline_ms
    figures = {
        "response": f"p50 {ms(latency.p50)}, p99 {ms(latency.p99)}",
        "throughput": f"{per_s(step.throughput_per_s)}, p50 {ms(latency.p50)}, p99 {ms(latency.p99)}",
    }
    line.append(figures[headline], style="bold green")
    waiting = waited(benchmark.runs[0], step)
    if waiting:
        line.append(f"; waiting for a connection: p99 {waiting}", style="yellow")
    if step.failed:
        line.append(f"; {step.failed / step.requests:.2%} failed: {first_error(step)}", style="red")
    return line


def _server_line(result: Result, benchmark: BenchmarkResult) -> str:
    server = benchmark.server or result.server or {}
    product = f"{server.get('product', 'server')} {server.get('version') or ''}".strip()
    words = [f"{product}, {server.get('launcher')}{_built_from(server.get('source') or {})}"]
    words += [f"{options['method']} {options['url']}"] if (options := benchmark.options).get("url") else []
    words += [benchmark.backend] if benchmark.backend else []
    words += ["preload_model"] if server.get("preload_model") else []
    workers = {run.server["read_back"].get("workers") for run in benchmark.runs}
    words += [counted(number, "worker") for number in workers if number] if len(workers) == 1 else []
    return "; ".join(words)


def _built_from(source: Mapping[str, Any]) -> str:
    """The commit of the checkout that the server was built from, and whether it was edited since."""
    if not source.get("commit"):
        return ""
    return f" {source['commit'][:7]}" + (" with changes" if source.get("dirty") else "")


def _latency_table(step: StepSummary) -> Table:
    """The latency that answers for the step with its intervals, beside the service time of an open loop, and how late
    the generator sent in a closed one.
    """
    shown = step.headline_ms
    beside, also = ("service", step.service_ms) if step.headline == "response" else ("sent late", step.generator_lag_ms)
    table = columns("ms", step.headline, "95% interval", beside)
    digits = digits_of(shown.p50.value)  # the same in every row, so that they compare at a glance
    digits_beside = digits if step.headline == "response" else digits_of(also.p99.value)
    for name in STATISTICS:
        first, second = getattr(shown, name), getattr(also, name)
        row = (decimal(first.value, digits), interval(first, digits), decimal(second.value, digits_beside))
        table.add_row(_LABELS.get(name, name), *row)
    for name in ("min", "max"):
        table.add_row(name, decimal(getattr(shown, name), digits), "", decimal(getattr(also, name), digits_beside))
    return table


def _facts(run: RunResult, step: StepSummary) -> Iterator[Table]:
    yield fact("throughput", f"{per_s(step.throughput_per_s)} {per_s_interval(step.throughput_per_s)}")
    yield from rate_facts(run)
    counts = f"{step.requests} sent, {step.succeeded} succeeded, {step.failed} failed; {step.measured} measured"
    yield fact("requests", counts, "red" if step.failed else "")
    if step.failed and step.failed_response_ms.max is not None:
        failed = step.failed_response_ms
        yield fact("failures", f"took {ms(failed.p50)} at the median, {ms(failed.max)} at most")
    yield from streamed(step)
    if step.measured:
        style = "bold yellow" if waited(run, step) else ""
        yield fact("in the client", _client_side(step.client_queue_ms, step.generator_lag_ms), style)


def _client_side(queue: LatencySummary, lag: LatencySummary) -> str:
    return f"p99 {ms(queue.p99)} waiting for a connection, {ms(lag.p99)} sending late"


def _memory(run: RunResult) -> Iterator[Table]:
    before, after = (run.telemetry.get(f"server_memory_{when}_mib") for when in ("before", "after"))
    if before is not None and after is not None:
        yield fact("server memory", f"{before:,.0f} MiB before, {after:,.0f} MiB after")


def _judgements(benchmark: BenchmarkResult) -> Iterator[Table]:
    for verdict in benchmark.verdicts:
        if verdict.passed is not True:
            style = "red" if verdict.passed is False else "yellow" if verdict.answer.startswith("not") else ""
            yield fact("verdict", verdict.answer, style)
    certificate = benchmark.certificate
    if certificate is None:
        return
    if certificate.valid:
        passed = sum(check.passed is True for check in certificate.checks)
        yield fact("certificate", f"valid, {counted(passed, 'check')} passed")
    for check in certificate.checks:
        if check.passed is False:
            yield fact("INVALID", f"{check.name}: {check.reason}", "bold red")
    for found in certificate.disturbances:
        yield fact("warning", f"{found.name}: {found.reason}", "yellow")
