"""The page of a result: a section a benchmark, the answer first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from servemark.printable import printable_in
from servemark.report.comparison import details_of_comparison
from servemark.report.generators import tables_of
from servemark.report.html import of_benchmark, of_run, of_tokens
from servemark.report.html.charts import SERIES, Chart
from servemark.report.html.drawn import Room, drawn_of
from servemark.report.html.of_comparison import answer_of
from servemark.report.html.over_time import Drawn
from servemark.report.html.page import Answer, Band, Block, Entry, Labelled, Page, RunCharts, Section, blocks_of
from servemark.report.html.percentiles import Curve, curve_of, percentile_chart, without_curve
from servemark.report.inside import tables_of_inside
from servemark.report.judgements import judgements
from servemark.report.layout import Line, texts_of
from servemark.report.objectives import answer, seen
from servemark.report.recorded import drawn_in_reports
from servemark.report.suite import HEADINGS, SuiteRow, answer_of_suite, outcome_of_suite, rows_of_suite
from servemark.report.terminal import detail_lines, figure_lines, headline, legend_of, measured_lines
from servemark.report.words import decimal, digits_of, figure, interval, named
from servemark.result import BenchmarkResult, Result, RunResult, StepSummary

#: Labels of what the table of conditions says.
_CONDITIONS = {"SLO", "verdict"}


def result_page(result: Result, folder: Path) -> Page:
    """The page of `result`, whose records are in `folder`; those that cannot be read are said there."""
    shown = printable_in(result)
    sections = [_comparison(shown)] if shown.comparison is not None else []
    rows = rows_of_suite(shown, headline)
    sections += [_suite(shown, rows)] if rows else []
    room = Room([len(benchmark.answering) for benchmark in result.benchmarks])
    for place, (benchmark, raw) in enumerate(zip(shown.benchmarks, result.benchmarks, strict=True)):
        section = _section(shown, benchmark, raw, folder, room)
        sections.append(replace(section, anchor=_anchor(place)) if rows else section)
    if not rows and (shown.skipped or not shown.benchmarks):
        sections.append(_not_run(shown))
    names = dict.fromkeys(named(benchmark) for benchmark in shown.benchmarks)
    environment = shown.environment
    machine = [environment.cpu_model or environment.machine]
    machine += [f"{environment.cpus} CPUs"] if environment.cpus else []
    machine += [f"{environment.memory_mib / 1024:.1f} GiB", environment.os]
    return Page(
        title=f"{', '.join(names) or 'nothing'}: servemark",
        kind="report",
        sections=tuple(sections),
        footer=(
            f"servemark {shown.tool.version}, engine {shown.tool.engine}; {shown.started_at}",
            f"result {shown.id}, seed {shown.seed}",
            f"generator on {', '.join(machine)}; Python {environment.python}",
        ),
        command=" ".join((*shown.command[:1], shlex.join(shown.command[1:]))),
    )


def _section(result: Result, benchmark: BenchmarkResult, raw: BenchmarkResult, folder: Path, room: Room) -> Section:
    drawn, notes = drawn_of(benchmark, raw, folder, room, drawn_in_reports([benchmark]))
    curves = _curves(drawn) if drawn else _reported_curves(benchmark)
    together = list(of_benchmark.charts_of(benchmark))
    if len(drawn) > 1:
        together += _curves_of_points(benchmark, drawn)
    elif not drawn:
        together += _chart_of_reported(curves, benchmark)
    # The run that gives the headline, or the only one, is drawn at once; others when they are asked for.
    headlines = drawn if len(drawn) == 1 else [one for one in drawn if not one.run.point][:1]
    charts = [*together, *(chart for one in headlines for chart in _charts_of(one))]
    runs = tuple(RunCharts(_title(one.run), tuple(_charts_of(one))) for one in drawn if one not in headlines)
    figures: list[Line] = list(figure_lines(benchmark)) if benchmark.capacity is None else []
    summary: list[Line] = list(detail_lines(benchmark))
    figures += legend_of(texts_of(figures))
    summary += [] if legend_of(texts_of(figures)) else legend_of(texts_of(summary))
    tables = [*tables_of_inside(benchmark), *tables_of(benchmark)]
    answers = [headline(benchmark)] if benchmark.capacity is not None else [*answer(benchmark), headline(benchmark)]
    return Section(
        title=named(benchmark),
        answers=tuple(Answer(line.plain, _outcome(line.plain)) for line in answers),
        measured=tuple(line.plain for line in measured_lines(result, benchmark)),
        figures=blocks_of(figures),
        band=_band(benchmark),
        conditions=tuple(
            (verdict.question, verdict.outcome, seen(verdict))
            for verdict in benchmark.verdicts
            if verdict.outcome != "finding" and (verdict.objective or verdict.outcome != "met")
        ),
        charts=tuple(charts),
        summary=blocks_of([*summary, *tables]),
        steps=_steps(benchmark),
        tokens=of_tokens.tables_of(benchmark),
        runs=runs,
        notes=(*filter(None, (*_without_curves(curves, drawn), *_beyond(benchmark, drawn))), *notes),
        checks=_checks(benchmark),
    )


def _charts_of(drawn: Drawn) -> Iterator[Chart]:
    """All charts of a run: of what is sent and answered, and of tokens, where answers were read for them."""
    yield from of_run.charts_of(drawn)
    yield from of_tokens.charts_of(drawn)


def _outcome(text: str) -> str:
    """The class of a sentence: of an objective whether it was met; of what failed, or is INVALID, as if it was not."""
    if text.startswith(("FAILED", "INVALID", "PARTIAL INVALID")):
        return "missed"
    return next((word for word in ("missed", "undecided", "met") if text.startswith(f"SLO {word}")), "")


def _band(benchmark: BenchmarkResult) -> Band | None:
    certificate = benchmark.certificate
    if certificate is None:
        return None
    facts = tuple(
        Labelled(fact.label, fact.text.plain) for fact in judgements(benchmark) if fact.label not in _CONDITIONS
    )
    is_sure = certificate.valid and not certificate.is_imported and not certificate.disturbances
    return Band("valid" if is_sure else "unsure" if certificate.valid else "invalid", facts)


def _curves_of_points(benchmark: BenchmarkResult, drawn: Sequence[Drawn]) -> list[Chart]:
    """The percentiles of the points together, where each is told from the others."""
    series = _curve_by_point(benchmark, drawn)
    if len(series) < 2:
        return []
    chart = percentile_chart(dict(islice(series.items(), len(SERIES))), drawn[0].latency, "point")
    return [] if chart is None else [chart]


def _curve_by_point(benchmark: BenchmarkResult, drawn: Sequence[Drawn]) -> dict[str, Curve]:
    shown = [(one.run.place, one.shown()) for one in drawn if one.run.place and benchmark.capacity is None]
    return {place: curve_of(*steps[0]) for place, steps in shown if steps}


def _beyond(benchmark: BenchmarkResult, drawn: Sequence[Drawn]) -> Iterator[str]:
    """Say that there are more points or steps than a chart has colours for."""
    of_runs = [len(list(one.steps())) for one in drawn] or [len(_reported_steps(benchmark))]
    for what, count in (("points", len(_curve_by_point(benchmark, drawn))), ("steps", max(of_runs))):
        if count > len(SERIES):
            yield f"Of {count} {what} the percentiles of the first {len(SERIES)} are drawn together."


def _curves(drawn: Sequence[Drawn]) -> dict[str, Curve]:
    """The percentiles of the runs whose time is drawn, each behind what tells it from the others."""
    return {_told(one.run, name): curve for one in drawn for name, curve in of_run.curves_of(one).items()}


def _reported_curves(benchmark: BenchmarkResult) -> dict[str, Curve]:
    """The reported percentiles alone of the runs that answer, where there are no records to have those between."""
    return {_told(run, step.name): curve_of(step) for run, step in _reported_steps(benchmark)[: len(SERIES)]}


def _reported_steps(benchmark: BenchmarkResult) -> list[tuple[RunResult, StepSummary]]:
    return [(run, step) for run in benchmark.answering.values() for step in run.steps if step.measured]


def _told(run: RunResult, step: str) -> str:
    return _joined(run.place, step if len(run.steps) > 1 else "") or step


def _chart_of_reported(curves: Mapping[str, Curve], benchmark: BenchmarkResult) -> list[Chart]:
    latency = next((step.headline for run in benchmark.runs for step in run.steps), "response")
    chart = percentile_chart(curves, latency)
    return [] if chart is None else [chart]


def _without_curves(latencies: Mapping[str, Curve], drawn: Sequence[Drawn]) -> Iterator[str]:
    """Why percentiles are not drawn: of latencies, and of the times of tokens of the runs whose time is."""
    tokens: dict[str, Curve] = {}
    for one in drawn:
        tokens |= {_joined(name, one.run.place): curve for name, curve in of_tokens.curves_of(one).items()}
    yield without_curve(latencies)
    yield without_curve(tokens, of_tokens.BY_PERCENTILE, "streams")


def _joined(*names: str) -> str:
    return ", ".join(filter(None, names))


def _title(run: RunResult) -> str:
    invalid = "" if run.certificate.valid else " (INVALID)"
    return f"{run.place or f'trial {run.trial}'}{invalid}: its time"


def _steps(benchmark: BenchmarkResult) -> Block | None:
    """Each step of each run that answers."""
    headings = (
        "step",
        "point",
        "measured",
        "failed",
        "per s",
        "95%",
        "mean ms",
        "p50",
        "p90",
        "p95",
        "p99",
        "p99.9",
        "max",
    )
    rows = tuple((step.name, run.place, *_figures(step)) for run in benchmark.answering.values() for step in run.steps)
    return Block(headings=headings, rows=rows) if rows else None


def _figures(step: StepSummary) -> Iterator[str]:
    rate, latency = step.throughput_per_s, step.headline_ms
    yield f"{step.requests_measured:,}"
    yield f"{step.measured_failed:,}"
    yield figure(rate, digits_of(rate.value))
    yield interval(rate, digits_of(rate.value))
    digits = digits_of(latency.p50.value)
    for name in ("mean", "p50", "p90", "p95", "p99", "p99_9"):
        yield figure(getattr(latency, name), digits)
    yield decimal(latency.max, digits)


def _checks(benchmark: BenchmarkResult) -> tuple[tuple[str, ...], ...]:
    if benchmark.certificate is None:
        return ()
    outcomes = {True: "passed", False: "failed", None: "not applicable"}
    return tuple((check.name, outcomes[check.passed], check.reason) for check in benchmark.certificate.checks)


def _comparison(result: Result) -> Section:
    comparison = result.comparison
    assert comparison is not None
    details = list(details_of_comparison(comparison))
    summary = blocks_of([*details, *legend_of(texts_of(details))])
    return Section(title="Comparison", answers=(answer_of(comparison),), summary=summary)


def _suite(result: Result, rows: tuple[SuiteRow, ...]) -> Section:
    answers = [Answer(answer_of_suite(result, rows), outcome_of_suite(rows))]
    if not result.benchmarks and result.error:
        answers.append(Answer(result.error))
    entries = tuple(Entry(row.cells, "" if row.place is None else _anchor(row.place)) for row in rows)
    return Section(title="", answers=tuple(answers), entries=entries, headings_of_entries=HEADINGS)


def _anchor(place: int) -> str:
    """The name of the section of a benchmark, for links to it."""
    return f"benchmark-{place + 1}"


def _not_run(result: Result) -> Section:
    rows = tuple((skipped.name, skipped.reason) for skipped in result.skipped)
    text = f"{len(rows)} skipped" if rows else result.error or "nothing was measured"
    return Section(
        title="Not run", answers=(Answer(text),), summary=(Block(headings=("", "why"), rows=rows),) if rows else ()
    )
