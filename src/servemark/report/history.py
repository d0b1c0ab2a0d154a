"""The history for people: the list of results, one that is gone, and trends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from servemark.history.index import Indexed
from servemark.history.measurements import CAPACITY, Measurement
from servemark.history.trends import Change, Series
from servemark.printable import printable
from servemark.report.layout import Columns, Fact, Line
from servemark.report.sparkline import BLOCKS, PLAIN, marks, sparkline
from servemark.report.words import counted, ms, per_s
from servemark.result import Statistic
from servemark.stats.change_points import LEAST_N
from servemark.terminals import shortened
from servemark.units import format_ms

_LONGEST_NAME = 40
#: What a person calls a statistic that grew: it is worse or better.
_GREW, _SHRANK = {"rate": "faster"}, {"rate": "slower"}


def table_of_results(results: Sequence[Indexed]) -> Columns:
    """A row for each benchmark of each result; of one with several points the point with the highest rate."""
    table = Columns(
        "",
        "date",
        "benchmark",
        "rate",
        "p50",
        "p99",
        "",
        "setup",
        extra=("setup",),
        left=("date", "benchmark", "", "setup"),
        shorten=("benchmark", ""),
    )
    for result in results:
        for place, (of_benchmark, points) in enumerate(_best(result)):
            told = of_benchmark.entry == result.measurements[0].entry
            table.add_row(
                str(result.number) if place == 0 else "",
                result.started_at[:10] if place == 0 else "",
                _named(of_benchmark),
                per_s(of_benchmark.rate),
                ms(of_benchmark.p50),
                ms(of_benchmark.p99),
                ", ".join(_remarks(result, of_benchmark, points, told_names=told)),
                printable("; ".join(filter(None, (_sought(of_benchmark), of_benchmark.setup)))),
                style="bold" if result.baselines else "dim",
            )
    return table


def gone(result: Indexed) -> Iterator[Line]:
    """What the history knows of a result whose folder is gone."""
    yield table_of_results([result])
    yield Text()
    yield Fact("gone", f"{printable(str(result.folder))}: all that is left of it is this")


def trend(series: Series, statistic: str, width: int, *, blocks: bool) -> Iterator[Line]:
    """How a statistic of a series went: its sparkline, and where it changed."""
    values = [member.value for member in series.members]
    name, colon, rest = title_of(series, statistic).rpartition(": ")
    yield Text.assemble((name, "bold"), colon, rest)
    yield Text(printable("; ".join(filter(None, (series.point, series.setup, series.machine)))), style="dim")
    yield Text(sparkline(values, width, BLOCKS if blocks else PLAIN))
    if series.changes:
        yield Text(marks([change.at for change in series.changes], len(values), width), style="bold")
    yield from facts_of(series, statistic)


def title_of(series: Series, statistic: str) -> str:
    """What a series is of, and from when to when it is."""
    first, last = series.members[0], series.members[-1]
    days = " to ".join(dict.fromkeys(member.result.started_at[:10] for member in (first, last)))
    return f"{_named(last.measured)}: {statistic} of {counted(len(series.members), 'result')}, {days}"


def facts_of(series: Series, statistic: str) -> Iterator[Fact]:
    """Between what a statistic of a series was, and where it changed."""
    values, last = [member.value for member in series.members], series.members[-1]
    lowest, highest = (_shown(value, statistic) for value in (min(values), max(values)))
    yield Fact("range", f"{lowest} to {highest}, last {_shown(last.value, statistic)}")
    for change in series.changes:
        yield _change(series, change, statistic)
    if len(values) < LEAST_N:
        yield Fact("changes", f"fewer than {LEAST_N} results tell none")
    elif not series.changes:
        yield Fact("changes", "none")
    absent = sum(member.result.is_gone for member in series.members)
    if absent:
        yield Fact("gone", f"the folders of {counted(absent, 'result')}: servemark history prune --gone forgets them")


def verdict_of(change: Change, statistic: str) -> str:
    """Whether it was for the better: faster or slower."""
    grew = change.after > change.before
    return _GREW.get(statistic, "slower") if grew else _SHRANK.get(statistic, "faster")


def _change(series: Series, change: Change, statistic: str) -> Fact:
    at = series.members[change.at].result
    share = "" if change.share is None else f" ({change.share:+.1%}, {verdict_of(change, statistic)})"
    text = f"{at.started_at[:10]}, with result {at.number}: "
    text += f"{_shown(change.before, statistic)} to {_shown(change.after, statistic)}{share}"
    since = [f"{name.replace('_', ' ')} {then} to {now}" for name, (then, now) in change.differs.items()]
    text += f"; with it: {printable('; '.join(since))}" if since else ""
    return Fact("changed", text, "yellow" if verdict_of(change, statistic) == "slower" else "green")


def _best(result: Indexed) -> Iterator[tuple[Measurement, int]]:
    """The measurement that stands for each benchmark, and how many there are of it."""
    for entry in dict.fromkeys(one.entry for one in result.measurements):
        of_entry = [one for one in result.measurements if one.entry == entry]
        yield max(of_entry, key=lambda one: one.rate.value or 0.0), len(of_entry)


def _named(one: Measurement) -> str:
    model = one.model.partition("://")[2] or one.model
    return printable(f"{one.benchmark} {shortened(model, _LONGEST_NAME)}".strip())


def _sought(one: Measurement) -> str:
    """What a search sought."""
    return one.point if one.is_capacity else ""


def _remarks(result: Indexed, one: Measurement, points: int, *, told_names: bool) -> Iterator[str]:
    """What has to be known of a row; what is of the whole result stands in its first."""
    if not one.valid:
        yield "INVALID"
    if one.is_imported:
        yield "IMPORTED"
    if one.is_capacity:
        yield " ".join(filter(None, (CAPACITY, one.fingerprint.get(CAPACITY))))
    if one.partial:
        yield "PARTIAL"
    if points > 1:
        yield f"best of {points}"
    if told_names:
        yield from result.baselines
        if result.is_gone:
            yield "gone"


def _shown(value: float, statistic: str) -> str:
    return per_s(Statistic(value, (value, value))) if statistic == "rate" else format_ms(value)
