"""The summary for people, on stdout, and the progress of a run, on stderr. Fits 80 columns; plain when piped."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from servemark.benchmarks import Headline, catalogue
from servemark.engines import ProgressReport
from servemark.result import STATISTICS, BenchmarkResult, LatencySummary, Result, RunResult, Statistic, StepSummary
from servemark.units import NS_PER_S, format_ms
from servemark.workload.load import ClosedLoad

_LABELS = {"p99_9": "p99.9"}
_POINT_LABELS = {"batch_size": "batch", "max_batch_delay_ms": "delay"}
_LABEL_WIDTH = 15


def print_summary(result: Result, folder: Path) -> None:
    """Print what was measured, the headline first."""
    console = Console(highlight=False)
    with console.capture() as capture:  # rich itself would end the process when the reader of a pipe has left
        for benchmark in result.benchmarks:
            for line in _summary_lines(result, benchmark):
                console.print(line)
        path = Text.assemble((f"{'results':{_LABEL_WIDTH}}", "dim"), str(folder))
        console.print(path, soft_wrap=True)  # in one piece, so that it can be copied
    print(*(line.rstrip() for line in capture.get().splitlines()), sep="\n")


def _summary_lines(result: Result, benchmark: BenchmarkResult) -> Iterator[Text | Table]:
    if benchmark.runs and not benchmark.steps:
        yield from _lines_of_points(result, benchmark)
        return
    headline = catalogue()[benchmark.name].headline
    for step in benchmark.steps:
        yield _headline(benchmark, step, headline)
    yield Text(_server_line(result, benchmark), style="dim")
    yield Text(_load_line(benchmark), style="dim")
    yield Text()
    for step in benchmark.steps:
        if step.measured:
            yield _latency_table(step)
            yield Text()
        yield from _facts(step)
    if benchmark.cold_start_ms is not None:
        yield _fact("cold start", f"{format_ms(benchmark.cold_start_ms)}, the first prediction after registering")
    yield from _judgements(benchmark)


def _lines_of_points(result: Result, benchmark: BenchmarkResult) -> Iterator[Text | Table]:
    """A benchmark of several points: the best of them, a table with a row a point, and what they show together."""
    best = max(benchmark.runs, key=lambda run: run.steps[0].throughput_per_s.value or 0.0)
    figures = f"at best {_rate(best.steps[0].throughput_per_s)}, p99 {_ms(best.steps[0].response_ms.p99)}"
    yield _subject(benchmark).append(f"{figures} ({_described(best)})", style="bold green")
    yield Text(_server_line(result, benchmark), style="dim")
    yield Text()
    yield _table_of_points(benchmark)
    yield Text()
    scalability = (benchmark.analysis or {}).get("scalability")
    if scalability:
        yield _fact("scalability", _law(scalability))
    yield from _judgements(benchmark)


def _table_of_points(benchmark: BenchmarkResult) -> Table:
    front = set((benchmark.analysis or {}).get("pareto_runs", ()))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in benchmark.runs[0].point:
        table.add_column(_POINT_LABELS.get(name, name), style="dim", justify="right")
    for heading in ("per s", "95% interval", "p50 ms", "p99 ms", "failed", *(("best",) if front else ())):
        table.add_column(heading, justify="right")
    for index, run in enumerate(benchmark.runs):
        step = run.steps[0]
        rate, response = step.throughput_per_s, step.response_ms
        digits = _digits(rate.value or 0.0)
        table.add_row(
            *(str(value) for value in run.point.values()),
            _number(rate.value, digits),
            f"{_number(rate.ci95[0], digits)} to {_number(rate.ci95[1], digits)}" if rate.ci95 else "-",
            _number(response.p50.value, _digits(response.p50.value or 0.0)),
            _number(response.p99.value, _digits(response.p50.value or 0.0)),
            str(step.failed),
            *(("*" if index in front else "",) if front else ()),
        )
    return table


def _law(scalability: Mapping[str, Any]) -> str:
    """The fitted Universal Scalability Law in words."""
    if "refused" in scalability:
        return f"not fitted: {scalability['refused']}"
    peak = scalability["peak_users"]
    where = f"most at {peak:.0f} threads" if peak else "no peak, it only flattens"
    shares = f"sigma {scalability['sigma']:.3f}, kappa {scalability['kappa']:.2g}"
    return f"{scalability['lambda_per_s']:.1f}/s alone; {where} ({shares}, R2 {scalability['r2']:.3f})"


def _described(run: RunResult) -> str:
    return ", ".join(f"{_POINT_LABELS.get(name, name)} {value}" for name, value in run.point.items())


def _subject(benchmark: BenchmarkResult) -> Text:
    """What was measured, behind what must be known of the measurement."""
    line = Text()
    if benchmark.partial:
        line.append("PARTIAL ", style="bold yellow")
    if benchmark.certificate and not benchmark.certificate.valid:
        line.append("INVALID ", style="bold red")
    subject = f"{benchmark.name} {benchmark.model}" if benchmark.model else benchmark.name
    return line.append(f"{subject}: ", style="bold")


def _headline(benchmark: BenchmarkResult, step: StepSummary, headline: Headline) -> Text:
    line = _subject(benchmark)
    if step.requests and not step.succeeded:
        return line.append(f"every request failed: {_first_error(step)}", style="bold red")
    if not step.measured:
        return line.append("nothing was measured", style="bold yellow")
    response = step.response_ms
    figures = {
        "response": f"p50 {_ms(response.p50)}, p99 {_ms(response.p99)}",
        "throughput": f"{_rate(step.throughput_per_s)}, p50 {_ms(response.p50)}, p99 {_ms(response.p99)}",
    }
    line.append(figures[headline], style="bold green")
    if step.failed:
        line.append(f"; {step.failed / step.requests:.2%} failed: {_first_error(step)}", style="red")
    return line


def _first_error(step: StepSummary) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in step.errors.items())
    if not step.error_examples:
        return kinds
    example = min(step.error_examples, key=lambda item: item.at_s)
    # A server's words must not steer the terminal.
    words = "".join(letter if letter.isprintable() else " " for letter in example.message).split()
    return f"{kinds}; first at {example.at_s:.3f} s: {' '.join(words)}"


def _server_line(result: Result, benchmark: BenchmarkResult) -> str:
    server = result.server or {}
    product = f"{server.get('product', 'server')} {server.get('version') or ''}".strip()
    words = [f"{product}, {server.get('launcher')}{_built_from(server.get('source') or {})}"]
    words += [benchmark.backend] if benchmark.backend else []
    workers = {run.server["read_back"].get("workers") for run in benchmark.runs}
    words += [_count(number, "worker") for number in workers if number] if len(workers) == 1 else []
    return "; ".join(words)


def _built_from(source: Mapping[str, Any]) -> str:
    """The commit of the checkout that the server was built from, and whether it was edited since."""
    if not source.get("commit"):
        return ""
    return f" {source['commit'][:7]}" + (" with changes" if source.get("dirty") else "")


def _load_line(benchmark: BenchmarkResult) -> str:
    run = benchmark.runs[0]
    measured_s = run.window_s[1] - run.window_s[0]
    warmup = f" after {run.warmup_s:g} s of warm-up" if run.warmup_s else ""
    return f"{_count(run.load['users'], 'thread')}, {measured_s:.1f} s measured{warmup}"


def _latency_table(step: StepSummary) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("ms", style="dim")
    for heading in ("response", "95% interval", "service"):
        table.add_column(heading, justify="right")
    digits = _digits(step.response_ms.p50.value or 0.0)  # the same in every row, so that they compare at a glance
    for name in STATISTICS:
        response, service = getattr(step.response_ms, name), getattr(step.service_ms, name)
        row = (_number(response.value, digits), _interval(response, digits), _number(service.value, digits))
        table.add_row(_LABELS.get(name, name), *row)
    for name in ("min", "max"):
        response_ms, service_ms = getattr(step.response_ms, name), getattr(step.service_ms, name)
        table.add_row(name, _number(response_ms, digits), "", _number(service_ms, digits))
    return table


def _facts(step: StepSummary) -> Iterator[Table]:
    yield _fact("throughput", f"{_rate(step.throughput_per_s)} {_rate_interval(step.throughput_per_s)}")
    counts = f"{step.requests} sent, {step.succeeded} succeeded, {step.failed} failed; {step.measured} measured"
    yield _fact("requests", counts, "red" if step.failed else "")
    if step.failed and step.failed_response_ms.max is not None:
        failed = step.failed_response_ms
        yield _fact("failures", f"took {_ms(failed.p50)} at the median, {format_ms(failed.max or 0.0)} at most")
    if step.measured:
        yield _fact("in the client", _client_side(step.client_queue_ms, step.generator_lag_ms))


def _client_side(queue: LatencySummary, lag: LatencySummary) -> str:
    return f"p99 {_ms(queue.p99)} waiting for a connection, {_ms(lag.p99)} sending late"


def _judgements(benchmark: BenchmarkResult) -> Iterator[Table]:
    for verdict in benchmark.verdicts:
        if verdict.passed is not True:
            style = "red" if verdict.passed is False else "yellow" if verdict.answer.startswith("not") else ""
            yield _fact("verdict", verdict.answer, style)
    certificate = benchmark.certificate
    if certificate is None:
        return
    if certificate.valid:
        passed = sum(check.passed is True for check in certificate.checks)
        yield _fact("certificate", f"valid, {_count(passed, 'check')} passed")
    for check in certificate.checks:
        if check.passed is False:
            yield _fact("INVALID", f"{check.name}: {check.reason}", "bold red")


def _fact(label: str, text: str, style: str = "") -> Table:
    """A line with its label; a long text goes on below itself."""
    line = Table.grid()
    line.add_column(width=_LABEL_WIDTH)
    line.add_column()
    line.add_row(Text(label, style="dim"), Text(text, style=style))
    return line


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _ms(statistic: Statistic) -> str:
    return "-" if statistic.value is None else format_ms(statistic.value)


def _rate(statistic: Statistic) -> str:
    return "-" if statistic.value is None else f"{statistic.value:.{_digits(statistic.value)}f}/s"


def _rate_interval(statistic: Statistic) -> str:
    if statistic.ci95 is None:
        return f"(no interval below {statistic.needs_n} requests)"
    digits = _digits(statistic.ci95[1])
    return f"({statistic.ci95[0]:.{digits}f} to {statistic.ci95[1]:.{digits}f})"


def _interval(statistic: Statistic, digits: int) -> str:
    if statistic.ci95 is None:
        return f"- needs {statistic.needs_n:,}"
    return f"{_number(statistic.ci95[0], digits)} to {_number(statistic.ci95[1], digits)}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _digits(value: float) -> int:
    """Decimals that leave about four significant digits, at most three."""
    size = abs(value)
    return 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0


class ProgressLine:
    """The counts of the run under way: one line that is rewritten on a terminal, one every 10 s elsewhere."""

    _EVERY_S = 10.0

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._next_s = 0.0 if self._terminal else self._EVERY_S

    def show(self, progress: ProgressReport, load: ClosedLoad) -> None:
        """Show `progress` of a run under `load`, if it is time to."""
        elapsed_s = progress.elapsed_ns / NS_PER_S
        if elapsed_s < self._next_s:
            return
        self._next_s = elapsed_s + (0.0 if self._terminal else self._EVERY_S)
        limit = f" of at most {load.longest_s:g}" if load.longest_s is not None else ""
        failed = f", {progress.failed} failed" if progress.failed else ""
        line = f"measuring: {elapsed_s:.0f}{limit} s, {progress.succeeded} succeeded{failed}"
        if self._terminal:
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
            self._shown = True
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
            self._shown = False
