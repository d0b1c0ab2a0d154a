"""The charts and tables of answers that were read for their tokens: when the first came, how the others followed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from servemark.report.html.charts import INK, MAIN, SERIES, TAIL, WARN, Chart, Spec, colour_by, data, quantity, tooltip
from servemark.report.html.over_time import Drawn, background, lines_by_part, rows_of, rules, seconds, thinned
from servemark.report.html.page import Block
from servemark.report.html.percentiles import Curve, percentile_chart
from servemark.report.words import decimal, digits_of, figure, marked, plain
from servemark.result import BenchmarkResult, StepSummary, TokenSummary
from servemark.stats.percentiles import REPORTED
from servemark.stats.token_timeline import TokenTimeline

#: What the times are called.
_NAMES = {
    "first_token": "first token",
    "time_per_output_token": "per output token",
    "longest_gap": "longest gap",
    "tail": "tail",
}
#: The same of a table, which has one more; an answer without reasoning has no such time.
_IN_TABLE = {"first_token": "first token", "first_said": "first said"} | _NAMES
#: A part of the time with fewer streams has no such percentile.
_LEAST_OF = {"p50": 3, "p99": 50}
#: What is less in the median is in the table alone: beside the others it would be all that the axis has room for.
_LEAST_DRAWN_MS = 0.1
_HEADINGS = ("time", "step", "point", "streams", "mean ms", "p50", "p90", "p95", "p99", "p99.9", "max")
#: The title of the percentiles.
BY_PERCENTILE = "Times of tokens by percentile"
_REASONS = ("finish reason", "step", "point", "answers", "shorter than asked for")


def charts_of(drawn: Drawn) -> Iterator[Chart]:
    """The charts of a run's tokens; of several steps that have any those of the one with the most answers."""
    read = _read(drawn)
    if not read:
        return
    name, summary, tokens = read[0]
    of = f", {name}" if len(read) > 1 else ""
    if summary.streams:
        by_percentile = _percentiles(summary, tokens, of)
        if by_percentile is not None:
            yield by_percentile
        yield _over_time(drawn, tokens, "first_token", f"First token over time{of}", "From where the latency counts to")
        yield _over_time(
            drawn, tokens, "time_per_output_token", f"Time per output token over time{of}", "Of each stream from"
        )
    if tokens.tokens.any():
        yield _rate(drawn, tokens, of)
    yield _reasons(summary, of)


def curves_of(drawn: Drawn) -> dict[str, Curve]:
    """The times of tokens whose percentiles are drawn, by what they are called."""
    read = _read(drawn)
    if not read:
        return {}
    _, summary, tokens = read[0]
    return _curves(summary, tokens) if summary.streams else {}


def _read(drawn: Drawn) -> list[tuple[str, TokenSummary, TokenTimeline]]:
    """The steps whose answers were read for their tokens, and what happened to these over time; first the one with the
    most answers.
    """
    found = [
        (step.name, step.tokens, drawn.tokens[step.name])
        for step in drawn.run.steps
        if step.tokens is not None and step.name in drawn.tokens
    ]
    return sorted(found, key=lambda one: -one[1].answers)


def tables_of(benchmark: BenchmarkResult) -> tuple[Block, ...]:
    """The times of tokens of each step of each run that answers, and why its answers ended."""
    read = [(step, run.place) for run in benchmark.answering.values() for step in run.steps if step.tokens is not None]
    times = tuple(row for step, place in read for row in _times(step, place))
    reasons = tuple(row for step, place in read for row in _ends(step, place))
    tables = ((_HEADINGS, times), (_REASONS, reasons))
    return tuple(Block(headings=headings, rows=rows) for headings, rows in tables if rows)


def _times(step: StepSummary, place: str) -> Iterator[tuple[str, ...]]:
    tokens = step.tokens
    assert tokens is not None
    for name, called in _IN_TABLE.items():
        times = getattr(tokens, f"{name}_ms")
        if times is not None and times.max is not None:
            digits = digits_of(times.p50.value)
            shown = (figure(getattr(times, one), digits) for one in ("mean", "p50", "p90", "p95", "p99", "p99_9"))
            yield (called, step.name, place, f"{tokens.streams:,}", *shown, decimal(times.max, digits))
    gaps = tokens.between_content_ms
    if gaps is not None:
        digits = digits_of(gaps.p50)
        found = (gaps.mean, gaps.p50, gaps.p90, None, gaps.p99, None)  # of a histogram, and without intervals
        shown = ("-" if value is None else marked(decimal(value, digits), certain=False) for value in found)
        yield ("between content", step.name, place, f"{tokens.streams:,}", *shown, decimal(gaps.max, digits))


def _ends(step: StepSummary, place: str) -> Iterator[tuple[str, ...]]:
    tokens = step.tokens
    assert tokens is not None
    for reason, count in tokens.finish_reasons.items():
        short = f"{tokens.short.get(reason, 0):,}" if tokens.asked else "not known"
        yield (reason, step.name, place, f"{count:,}", short)


def _curves(summary: TokenSummary, tokens: TokenTimeline) -> dict[str, Curve]:
    return {
        called: Curve(getattr(summary, f"{name}_ms"), tokens.times[name].distribution.quantiles_ms)
        for name, called in _NAMES.items()
        if tokens.times[name].distribution.count and (getattr(summary, f"{name}_ms").p50.value or 0) >= _LEAST_DRAWN_MS
    }


def _percentiles(summary: TokenSummary, tokens: TokenTimeline, of: str) -> Chart | None:
    return percentile_chart(
        _curves(summary, tokens),
        "time",
        "what",
        f"{BY_PERCENTILE}{of}",
        "What so many streams do not exceed, as far as an interval of 95% exists, which the band is: the time to the "
        "first event with content, the time per output token after it, the longest gap between two events with "
        "content, and what came behind the last one. What is less than 0.1 ms in the median is in the table alone.",
    )


def _over_time(drawn: Drawn, tokens: TokenTimeline, name: str, title: str, from_where: str) -> Chart:
    """Two percentiles of a time, by when the requests were due."""
    times = tokens.times[name]
    middles = (drawn.edges_s[:-1] + drawn.edges_s[1:]) / 2
    found = {one: times.percentiles_ms(REPORTED[one], least) for one, least in _LEAST_OF.items()}
    values = [
        {"s": at, "ms": value, "of": one}
        for one, parts in found.items()
        for at, value in zip(middles.tolist(), parts.tolist(), strict=True)
        if not np.isnan(value)
    ]
    line: Spec = {
        "data": data(values),
        "mark": {"type": "line", "strokeWidth": 1.6, "point": {"size": 18}},
        "encoding": {
            "x": seconds("s"),
            "y": quantity("ms", f"{_NAMES[name]} ms"),
            "color": colour_by("of", list(_LEAST_OF), (INK, TAIL)),
            "tooltip": tooltip(of="percentile", s="at s", ms="ms"),
        },
    }
    end = "the first event with content" if name == "first_token" else "the first event with content to the last one"
    over = "" if name == "first_token" else ", over the tokens that came after those of the first"
    return Chart(
        title,
        f"{from_where} {end}{over}: median and p99 of the streams of each part of the time, by when their requests "
        "were due, where it has enough of them.",
        {"layer": [layer for layer in (*background(drawn), line, *rules(drawn)) if layer["data"]["values"]]},
        ("at s", *(f"{one} ms" for one in _LEAST_OF)),
        tuple((plain(at), *(_cell(found[one], part) for one in _LEAST_OF)) for part, at in thinned(middles)),
    )


def _cell(values: NDArray[np.float64], part: int) -> str:
    return "-" if np.isnan(values[part]) else plain(values[part])


def _rate(drawn: Drawn, tokens: TokenTimeline, of: str) -> Chart:
    rates = {"tokens/s": tokens.tokens / drawn.timeline.width_s}
    return Chart(
        f"Tokens a second over time{of}",
        "Tokens of the answers that ended in each part of the time, over it, of all users. An answer counts where it "
        "ends.",
        lines_by_part(drawn, rates, "tokens/s", (MAIN,)),
        ("from s", *rates),
        rows_of(drawn, rates),
    )


def _reasons(summary: TokenSummary, of: str) -> Chart:
    """Why answers ended, and how many of them are shorter than was asked for."""
    kinds = ("as long as asked for", "shorter than asked for") if summary.asked else ("answers",)
    rows = []
    for reason, count in summary.finish_reasons.items():
        short = summary.short.get(reason, 0)
        rows.append((reason, (count - short, short) if summary.asked else (count,)))
    values = [
        {"reason": reason, "kind": kind, "answers": count}
        for reason, counts in rows
        for kind, count in zip(kinds, counts, strict=True)
    ]
    spec: Spec = {
        "data": data(values),
        "mark": {"type": "bar", "height": {"band": 0.7}},
        "encoding": {
            "y": {"field": "reason", "type": "nominal", "sort": "-x", "axis": {"title": None, "labelLimit": 120}},
            "x": quantity("answers", "answers"),
            "color": colour_by("kind", kinds, (SERIES[0], WARN)),
            "tooltip": tooltip(reason="finish reason", kind="answers that are", answers="answers"),
        },
        "height": 90 + 44 * len(rows),
    }
    return Chart(
        f"Why answers ended{of}",
        "How many of the measured answers ended why, as they say themselves"
        + (", and how many of them have fewer tokens than their request asked for." if summary.asked else "."),
        spec,
        ("finish reason", *kinds),
        tuple((reason, *(f"{count:,}" for count in counts)) for reason, counts in rows),
    )
