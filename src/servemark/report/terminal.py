"""The summary for people, on stdout. No word is cut on narrow terminals, wide ones show more; plain when piped."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

from servemark.benchmarks import Headline, headline_of
from servemark.printable import printable, printable_in
from servemark.report import analyses, capacity, trials
from servemark.report.calibration import calibration_lines
from servemark.report.comparison import (
    answer_of_comparison,
    comparison_in_words,
    comparison_lines,
    details_of_comparison,
)
from servemark.report.generators import condensed_words, sent_by
from servemark.report.inside import inside_facts
from servemark.report.judgements import judgements
from servemark.report.key_figures import key_figures
from servemark.report.layout import LABEL_WIDTH, Columns, Fact, Line, lines_of
from servemark.report.loads import length_fact, load_line, open_loop, rate_facts, table_of_stages, waited, whose_clock
from servemark.report.objectives import answer, goodput_fact, trend_facts
from servemark.report.recorded import RecordedResult
from servemark.report.sparkline import ramp_for
from servemark.report.streams import streamed, streams_of_all
from servemark.report.suite import rows_of_suite, table_of_suite
from servemark.report.tokens import prompts_of, tokens_of, tokens_of_all
from servemark.report.words import (
    LEGEND,
    UNCERTIFIED,
    counted,
    counts,
    decimal,
    digits_of,
    failed_of_all,
    figure,
    first_error,
    if_invalid,
    interval,
    ms,
    per_s,
    percentile_name,
    subject,
)
from servemark.result import (
    STATISTICS,
    BenchmarkResult,
    Comparison,
    LatencySummary,
    OpenLoadResult,
    Result,
    RunResult,
    StepSummary,
    mapping_in,
)
from servemark.terminals import shortened, takes_escapes
from servemark.units import format_ms
from servemark.verdict import allows_failures

if TYPE_CHECKING:
    from servemark.assessment.calibration import Calibration

_WIDTH_OF_FILES = 80
#: A figure with the mark before it, and not the home of somebody in a path.
_MARKED = re.compile(rf"(?<![\w/.-]){UNCERTIFIED}\d")


def print_summary(result: Result, folder: Path, next_step: str = "") -> None:
    """Print what was measured, the answer first; of a suite, a table of all at the end. `next_step` is a command."""
    with _printing() as console:
        _print_result(console, result, folder, next_step)


def report(out: TextIO, recorded: RecordedResult) -> None:
    """Write what is printed of the result to `out`: plain, and 80 columns wide."""
    console = Console(highlight=False, color_system=None, width=_WIDTH_OF_FILES)
    with console.capture() as capture:
        _print_result(console, recorded.result, recorded.folder)
    out.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def print_lines(lines: Iterable[Line]) -> None:
    """Print `lines`, in which nobody else's words are left as they came, as a summary is printed."""
    with _printing() as console:
        _print(console, lines)


def print_comparison(comparison: Comparison, next_steps: Sequence[str] = ()) -> None:
    """Print a comparison, its answer first; `next_steps` are the commands that would decide what is undecided."""
    with _printing() as console:
        _print(console, comparison_lines(printable_in(comparison)))
        _print_whole(console, *(("next", next_step) for next_step in next_steps))


def print_pair(result: Result, folder: Path) -> None:
    """Print what was measured in turns: how the two compare, and the first line of each."""
    result = printable_in(result)
    with _printing() as console:
        compared = [] if result.comparison is None else [*comparison_lines(result.comparison), Text()]
        _print(console, [*compared, *_both_sides(result)])
        _print_whole(console, ("results", printable(str(folder))))


def print_calibration(result: Result, folder: Path, calibration: Calibration) -> None:
    """Print which changes trials can show, how the same compared with itself, and the first line of both."""
    result = printable_in(result)
    with _printing() as console:
        same = [] if result.comparison is None else [Fact("the same", comparison_in_words(result.comparison))]
        _print(console, [*calibration_lines(calibration), Text(), *same, *_both_sides(result)])
        _print_whole(console, ("results", printable(str(folder))))


def _both_sides(result: Result) -> Iterator[Line]:
    """The first line of each of two that were measured in turns, and what is made of it."""
    for name, benchmark in zip("AB", result.benchmarks, strict=False):
        yield Text(f"{name}  ").append(headline(benchmark))
        yield from judgements(benchmark)


def _print_result(console: Console, result: Result, folder: Path, next_step: str = "") -> None:
    # A server's words are in errors, verdicts and reasons, and rich passes them on as they are.
    result = printable_in(result)
    rows = rows_of_suite(result, headline)
    lines: list[Line] = [] if result.comparison is None else [answer_of_comparison(result.comparison), Text()]
    for benchmark in result.benchmarks:
        lines += [*summary_lines(result, benchmark), *([Text()] if rows else [])]
    if rows:
        lines.append(table_of_suite(rows))
    if result.comparison is not None and not result.comparison.refused:
        lines += [*details_of_comparison(result.comparison), Text()]
    _print(console, lines)
    _print_whole(console, ("results", printable(str(folder))), ("next", next_step))


@contextmanager
def _printing() -> Iterator[Console]:
    """A console; what is printed on it goes to stdout at the end."""
    # Without colours: NO_COLOR is for whoever wants plain text, bold and dim are no plainer.
    plain = bool(os.environ.get("NO_COLOR")) or (sys.stdout.isatty() and not takes_escapes(sys.stdout))
    console = Console(highlight=False, color_system=None if plain else "auto")
    with console.capture() as capture:  # rich itself would end the process when the reader of a pipe has left
        yield console
    print(*(line.rstrip() for line in capture.get().splitlines()), sep="\n")


def _print_whole(console: Console, *labelled: tuple[str, str]) -> None:
    """Print texts behind their labels, each in one piece, so that it can be copied; what is empty is left out."""
    for label, text in labelled:
        if text:
            console.print(Text.assemble((label.ljust(LABEL_WIDTH), "dim"), text), soft_wrap=True)


def _print(console: Console, lines: Iterable[Line]) -> None:
    """Print `lines`, and below them what the mark means, if it is in one of them."""
    shown = [text for line in lines for text in lines_of(line, console.width)]
    for fact in legend_of(text.plain for text in shown):
        legend = list(fact.lines(console.width))
        shown[-1:] = [*legend, shown[-1]] if not shown[-1].plain else [shown[-1], *legend]
    for text in shown:
        console.print(text, soft_wrap=True)


def legend_of(texts: Iterable[str]) -> tuple[Fact, ...]:
    """What the mark of a figure means, where one of `texts` has it."""
    return (Fact(UNCERTIFIED, LEGEND),) if any(map(_MARKED.search, texts)) else ()


def summary_lines(result: Result, benchmark: BenchmarkResult) -> Iterator[Line]:
    """The summary of a benchmark: its answer, what was measured, what that came to, and what is made of it."""
    found = benchmark.capacity
    yield from answer_lines(benchmark)
    if found is None:
        if not benchmark.runs:
            return
        figures = list(figure_lines(benchmark))
        yield from [*figures, Text()] if figures else ()
    yield from measured_lines(result, benchmark)
    yield Text()
    yield from detail_lines(benchmark)
    # Of a search the first line has said whether the objective is met.
    yield from (fact for fact in judgements(benchmark) if found is None or fact.label != "SLO")


def answer_lines(benchmark: BenchmarkResult) -> Iterator[Text]:
    """What a summary begins with: whether an objective is met, and the headline; of a search the capacity."""
    if benchmark.capacity is None:
        yield from answer(benchmark)
    elif benchmark.failure is None:
        yield if_invalid(benchmark).append_text(capacity.answer(benchmark.capacity))
        return
    yield headline(benchmark)


def figure_lines(benchmark: BenchmarkResult) -> Iterator[Line]:
    """The three figures that matter, and how latencies lie; of several steps those of the first, of several points
    those of the point with the highest rate.
    """
    best = analyses.best_point(benchmark)
    if best is not None and best.steps[0].succeeded:
        of_all = f"the one of {len(benchmark.answering)} with the highest rate"
        yield Fact("point", f"{analyses.described(best.point)}, {of_all}")
        yield from key_figures(benchmark, best.steps[0], ramp_for(sys.stdout), tuple(best.point.items()))
        return
    step = _headline_step(benchmark)
    if step is not None and benchmark.runs:
        if len(benchmark.steps) > 1:
            yield Fact("step", f"{step.name}, the first of {len(benchmark.steps)}: length and comparisons go by it")
        yield from key_figures(benchmark, step, ramp_for(sys.stdout))


def measured_lines(result: Result, benchmark: BenchmarkResult) -> Iterator[Text]:
    """What was measured: the server, and the load."""
    server = _server_line(result, benchmark)
    if benchmark.capacity is not None:
        yield subject(benchmark).append(server, style="dim")
        return
    yield Text(server, style="dim")
    headline_run = _headline_run(benchmark)
    if headline_run:
        yield Text(load_line(headline_run), style="dim")
    elif benchmark.runs and isinstance(benchmark.runs[0].load, OpenLoadResult):
        yield Text(open_loop(benchmark.runs[0].load), style="dim")


def detail_lines(benchmark: BenchmarkResult) -> Iterator[Line]:
    """What was found, in tables and facts; nothing where nothing ran."""
    if benchmark.capacity is not None:
        if benchmark.capacity_over:
            yield from capacity.configurations(benchmark.capacity_over, benchmark.capacity)
        yield from capacity.lines(benchmark.capacity)
        return
    if not benchmark.runs:
        return
    headline_run, only = _headline_run(benchmark), _only_step(benchmark)
    stages = table_of_stages(benchmark)
    if stages:
        yield stages
        yield Text()
    if only is not None:
        if only.measured:
            yield _latency_table(only)
            yield Text()
        yield from _facts(headline_run or benchmark.runs[0], only, headline_of(benchmark.name))
    else:
        yield from analyses.tables(benchmark)
        yield from counts(headline_run, benchmark.steps) if headline_run else ()
        yield from rate_facts(headline_run) if headline_run else ()
        yield from streams_of_all(benchmark)
        yield from tokens_of_all(benchmark)
    yield from trials.lines(benchmark)
    yield from analyses.facts(benchmark)
    yield from whose_clock(benchmark.runs[0])
    yield from sent_by(headline_run or benchmark.runs[0])
    yield from condensed_words(headline_run or benchmark.runs[0])
    if headline_run:
        yield from prompts_of(headline_run)
        yield from inside_facts(headline_run)
        yield from _memory(headline_run)
    if benchmark.cold_start_ms is not None:
        yield Fact("cold start", f"{format_ms(benchmark.cold_start_ms)}, the first prediction after registering")


def _headline_run(benchmark: BenchmarkResult) -> RunResult | None:
    """The run that gives the headline; None where several points do."""
    return next((run for run in benchmark.answering.values() if not run.point), None)


def _only_step(benchmark: BenchmarkResult) -> StepSummary | None:
    """The step that all of the summary is of; None where there are several, or points, or registrations."""
    return _headline_step(benchmark) if len(benchmark.steps) == 1 else None


def _headline_step(benchmark: BenchmarkResult) -> StepSummary | None:
    """The step by which the benchmark goes; None where that is what it did to the server, or several points."""
    analysis = benchmark.analysis
    changes = analysis is not None and (analysis.registrations is not None or analysis.scaling is not None)
    return benchmark.steps[0] if benchmark.steps and not changes else None


def headline(benchmark: BenchmarkResult) -> Text:
    """The first line of a benchmark: its answer, and what has to be known of it."""
    line = _figures(benchmark)
    disturbed = [found.name for found in benchmark.certificate.disturbances] if benchmark.certificate else []
    return line.append(f" ({', '.join(disturbed)})", style="yellow") if disturbed else line


def _figures(benchmark: BenchmarkResult) -> Text:
    if benchmark.failure:
        return subject(benchmark).append(shortened(benchmark.failure.message, 1000), style="red")
    if benchmark.capacity is not None:
        return subject(benchmark).append_text(capacity.answer(benchmark.capacity))
    line = analyses.headline(benchmark)
    if line is not None and any(step.succeeded for run in benchmark.runs for step in run.steps):
        return line
    if not benchmark.steps:
        return subject(benchmark).append("nothing was measured", style="bold yellow")
    return _headline_of_step(benchmark, benchmark.steps[0], headline_of(benchmark.name))


def _headline_of_step(benchmark: BenchmarkResult, step: StepSummary, headline: Headline) -> Text:
    line = subject(benchmark)
    if step.requests and not step.succeeded:
        allowed = ", as --max-errors allows" if allows_failures(benchmark) else ""
        return line.append(f"every request failed{allowed}: {first_error(step)}", style="bold red")
    if not step.measured:
        why = ": every answer took too long; -l N measures exactly N a user"
        if benchmark.partial:
            nothing_sent = not any(one.requests for one in benchmark.steps)
            why = ": it was interrupted before anything was sent" if nothing_sent else ""
        return line.append(f"nothing was measured{why}", style="bold yellow")
    found = trials.medians(benchmark, (), step)
    p50, p99 = ms(found["p50_ms"]), ms(found["p99_ms"])
    figures = {
        "response": f"p50 {p50}, p99 {p99}",
        "throughput": f"{per_s(found['throughput_per_s'])}, p50 {p50}, p99 {p99}",
    }
    line.append(f"{figures[headline]}{trials.in_words(benchmark)}", style="bold green")
    waiting = waited(next(iter(benchmark.answering.values())), step)
    if waiting:
        line.append(f"; waiting for a connection: p99 {waiting}", style="yellow")
    if step.failed:
        line.append(f"; {failed_of_all(step)}", style="red")
    return line


def _server_line(result: Result, benchmark: BenchmarkResult) -> str:
    server = benchmark.server or result.server or {}
    product = f"{server.get('product', 'server')} {server.get('version') or ''}".strip()
    words = [f"{product}, {server.get('launcher')}{_built_from(mapping_in(server, 'source'))}"]
    words += [f"{benchmark.options.method} {shortened(url)}"] if (url := benchmark.options.url) else []
    words += [f"through {server['unix_socket']}"] if server.get("unix_socket") else []
    words += [benchmark.backend] if benchmark.backend else []
    words += ["preload_model"] if server.get("preload_model") else []
    workers = [mapping_in(run.server, "read_back").get("workers") for run in benchmark.runs]
    if workers and all(number == workers[0] for number in workers) and isinstance(workers[0], int) and workers[0]:
        words.append(counted(workers[0], "worker"))
    return "; ".join(words)


def _built_from(source: Mapping[str, Any]) -> str:
    """The commit of the checkout that the server was built from, and whether it was edited since."""
    if not source.get("commit"):
        return ""
    return f" {str(source['commit'])[:7]}" + (" with changes" if source.get("dirty") else "")


def _latency_table(step: StepSummary) -> Columns:
    """The latency that answers for the step with its intervals, beside the service time of an open loop, and how late
    the generator sent in a closed one. Where there is room, the other latencies too.
    """
    is_open, shown = step.headline == "response", step.headline_ms
    lag, waiting = ("sent late", step.generator_lag_ms), ("waited", step.client_queue_ms)
    beside = [("service", step.service_ms), waiting, lag] if is_open else [lag, ("response", step.response_ms), waiting]
    headings = [heading for heading, _ in beside]
    table = Columns("ms", step.headline, "95% interval", *headings, extra=headings[1:])
    digits = digits_of(shown.p50.value)  # the same in every row, so that they compare at a glance
    others = [
        (latency, digits if heading in {"service", "response"} else digits_of(latency.p99.value))
        for heading, latency in beside
    ]
    for name in STATISTICS:
        found = getattr(shown, name)
        also = (figure(getattr(latency, name), digits_beside) for latency, digits_beside in others)
        table.add_row(percentile_name(name), figure(found, digits), interval(found, digits), *also)
    for name in ("min", "max"):
        also = (decimal(getattr(latency, name), digits_beside) for latency, digits_beside in others)
        table.add_row(name, decimal(getattr(shown, name), digits), "", *also)
    return table


def _facts(run: RunResult, step: StepSummary, headline: Headline) -> Iterator[Fact]:
    yield from goodput_fact(step)
    yield from rate_facts(run)
    yield from counts(run, (step,))
    yield from length_fact(run, step, headline)
    yield from trend_facts(step)
    if step.failed_response_ms.max is not None:
        failed = step.failed_response_ms
        yield Fact("failures", f"took {ms(failed.p50)} at the median, {ms(failed.max)} at most")
    yield from streamed(step)
    yield from tokens_of(step)
    if step.measured:
        style = "bold yellow" if waited(run, step) else ""
        yield Fact("in the client", _client_side(step.client_queue_ms, step.generator_lag_ms), style)


def _client_side(queue: LatencySummary, lag: LatencySummary) -> str:
    return f"p99 {ms(queue.p99)} waiting for a connection, {ms(lag.p99)} sending late"


def _memory(run: RunResult) -> Iterator[Fact]:
    before, after = run.telemetry.server_memory_before_mib, run.telemetry.server_memory_after_mib
    if before is not None and after is not None:
        yield Fact("server memory", f"{before:,.0f} MiB before, {after:,.0f} MiB after")
