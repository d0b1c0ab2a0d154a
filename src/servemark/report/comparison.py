"""A comparison for the terminal: the answer in one sentence, what it is made of, and what could have been seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from rich.text import Text

from servemark.report.layout import Columns, Fact, Line
from servemark.report.words import counted, decimal, digits_of, marked
from servemark.result import ERRORS, Change, ComparedBenchmark, Comparison

_STYLES = {
    "fails more": "bold red",
    "slower": "bold red",
    "faster": "bold green",
    "undecided": "bold yellow",
    "no difference": "bold green",
}
#: Answers that say what is another now.
_TELLING = {"fails more", "slower", "faster"}
#: Changes that the first line names one by one.
_MOST_NAMED = 3
_NAMES = {
    "throughput_per_s": "per s",
    "events_per_s": "events per s",
    "output_tokens_per_s": "tokens per s",
    "p99_9_ms": "p99.9 ms",
    ERRORS: "errors %",
}
#: What figures of one kind begin with, and what that is called.
_KINDS = {"first_event_": "first event ", "first_token_": "first token ", "time_per_output_token_": "per token "}


def comparison_lines(comparison: Comparison) -> Iterator[Line]:
    """The whole comparison: the answer, and of each benchmark its table and what has to be known of it."""
    yield answer_of_comparison(comparison)
    yield from details_of_comparison(comparison)


def answer_of_comparison(comparison: Comparison) -> Text:
    """The answer in one sentence."""
    return Text(comparison_in_words(comparison), style=_STYLES[comparison.answer])


def details_of_comparison(comparison: Comparison) -> Iterator[Line]:
    """The table of each benchmark and what has to be known of it; nothing where it is not compared."""
    if comparison.refused:
        return
    several = len([*comparison.benchmarks, *comparison.only_in_base, *comparison.only_in_new]) > 1
    for one in comparison.benchmarks:
        yield Text()
        if several:
            yield Text(f"{one.name}: {answer_in_words(one)}", style="bold")
        if one.changes:
            yield _table(one)
            yield Text()
        yield from _facts(one, comparison)
    for what, names in (("the base", comparison.only_in_base), ("the new", comparison.only_in_new)):
        if names:
            yield Fact("not compared", f"only {what} has {', '.join(names)}")


def comparison_in_words(comparison: Comparison) -> str:
    """The answer in one sentence, which says that it was insisted on where the results are unlike."""
    if comparison.refused:
        return f"undecided: {comparison.refused}"
    decisive = next(one for one in comparison.benchmarks if one.answer == comparison.answer)
    name = f" ({decisive.name})" if len(comparison.benchmarks) > 1 else ""
    forced = "; of unlike runs, as --force has it" if comparison.forced else ""
    return f"{answer_in_words(decisive)}{name}{forced}"


def answer_in_words(one: ComparedBenchmark) -> str:
    """``slower: predict p99 +7.3% (+4.1 to +10.9), p 0.012``."""
    decisive = sorted((change for change in one.changes if change.answer == one.answer), key=_strength)
    if one.answer == "undecided":
        return f"undecided: {_why_undecided(one)}"
    if one.answer == "no difference":
        smallest = max(change.smallest_share or 0.0 for change in decisive)
        shown = f"{_how_many(one, *one.trials)} could have shown {smallest:.1%}"
        return f"no difference: {', '.join(_named(decisive))}; {shown}"
    if one.answer == "fails more":
        return "; ".join([f"fails more: {_failing(decisive[0], one)}", *_named(decisive)[1:]])
    first = decisive[0]
    found = f"{one.answer}: {first.step} {_in_words(first)}{_interval(first)}, p {_p(first)}"
    return "; ".join([found, *_named(decisive)[1:]])


def _failing(change: Change, one: ComparedBenchmark) -> str:
    """``40% of the requests of predict, 0% in the base, p 0.008``."""
    before, after = (f"{_percent(values)}%" for values in (change.base, change.new))
    why = "more than --max-errors allows" if change.p is None else f"p {_p(change)}"
    side = "A" if one.by_block else "the base"
    return f"{after} of the requests of {change.step}{_where(change)}, {before} in {side}, {why}"


def _named(changes: Sequence[Change]) -> list[str]:
    more = [f"{len(changes) - _MOST_NAMED} more"] if len(changes) > _MOST_NAMED else []
    return [*map(_in_words, changes[:_MOST_NAMED]), *more]


def _strength(change: Change) -> float:
    """What is told first: the greatest change."""
    return -abs(fmean(change.new) - fmean(change.base) if change.figure == ERRORS else change.change_share or 0.0)


def _why_undecided(one: ComparedBenchmark) -> str:
    if not one.changes or one.needs_trials is None:
        return "; ".join(one.lacking) or "nothing of it can be compared"
    needed = one.needs_trials if one.by_block else f"{one.needs_trials} and {one.needs_trials}"
    return f"{_how_many(one, *one.trials)} can show nothing, {needed} could"


def _how_many(one: ComparedBenchmark, base: int, new: int) -> str:
    """``5 trials and 4``, or blocks, of which both have as many."""
    return counted(new, "block") if one.by_block else f"{counted(base, 'trial')} and {new}"


def _in_words(change: Change) -> str:
    if change.figure == ERRORS:
        return f"{_percent(change.new)}% of {change.step}{_where(change)}"
    name = {"throughput_per_s": "rate"}.get(change.figure, _name(change).removesuffix(" ms"))
    return f"{name}{_where(change)} {_share(change.change_share)}"


def _where(change: Change) -> str:
    return "".join(f" ({key} {value})" for key, value in change.point.items())


def _interval(change: Change) -> str:
    return f" ({_signed(change.ci95[0])} to {_signed(change.ci95[1])})" if change.ci95 else ""


def _table(one: ComparedBenchmark) -> Columns:
    sides = ("A", "B") if one.by_block else ("base", "new")
    table = Columns("", *sides, "%", "95% interval", "p", "", left=("",), wraps=True)
    for change, row in zip(one.changes, _rows(one), strict=True):
        table.add_row(*row, style=_STYLES[change.answer] if change.answer in _TELLING else "dim")
    return table


def _rows(one: ComparedBenchmark) -> list[list[str]]:
    """A row a statistic: of both the median over trials, the change with its interval, and what was judged of it.

    Of the share that failed it is the mean: what fails now and then has a median of 0.
    """
    rows = []
    steps = {(change.step, *change.point.items()) for change in one.changes}
    for change in one.changes:
        where = [change.step, *(f"{key} {value}" for key, value in change.point.items())] if len(steps) > 1 else []
        middles = [_median(values) for values in (change.base, change.new)]
        digits = digits_of(middles[0])
        told = [marked(decimal(value, digits), certain=change.certain) for value in middles]
        if change.figure == ERRORS:
            told = [_percent(values) for values in (change.base, change.new)]
        rows.append(
            [
                " ".join([*where, _name(change)]),
                *told,
                "-" if change.change_share is None else _signed(change.change_share),
                f"{_signed(change.ci95[0])} to {_signed(change.ci95[1])}" if change.ci95 else "-",
                _p(change) if change.p is not None else "",
                _judgement(change),
            ]
        )
    return rows


def _judgement(change: Change) -> str:
    if change.answer == "no difference" and change.smallest_share is not None:
        return f"no difference ({change.smallest_share:.1%})"
    return change.answer or ""


def _facts(one: ComparedBenchmark, comparison: Comparison) -> Iterator[Fact]:
    left_out = "; left out, INVALID, cut off or failed: {} and {}".format(*one.left_out) if any(one.left_out) else ""
    if one.by_block:
        yield Fact("blocks", f"{one.trials[0]}, each with a value of A and of B{left_out}")
    else:
        yield Fact("trials", f"{one.trials[0]} of the base, {one.trials[1]} of the new{left_out}")
    if any(change.answer == "no difference" for change in one.changes):
        yield Fact("(in brackets)", "the smallest change that so many would have shown, 8 times in 10")
    if one.needs_trials is None:
        judged = (
            f"a change of {100 * comparison.threshold_share:.3g}% of the base, and p below 0.05 over all that is judged"
        )
        yield Fact("needed", judged)
    yield from _inexact(one)
    for what in one.lacking if one.changes else ():
        yield Fact("not compared", what)
    for name, (base, new) in one.told.items():
        yield Fact("changed", f"{name} {base}, now {new}")
    for name, (base, new) in one.unlike.items():
        yield Fact("unlike", f"{name} {base} and {new}", "yellow")


def _inexact(one: ComparedBenchmark) -> Iterator[Fact]:
    """Say that records were condensed, and which changes are no more than what that leaves open."""
    inexact = max((change.inexact_share for change in one.changes), default=0.0)
    if not inexact:
        return
    found = f"percentiles are of condensed records: a change of one is exact to {inexact:.1%} of the base"
    hidden = [change for change in one.changes if abs(change.change_share or 0.0) < change.inexact_share]
    yield Fact("condensed", f"{found}; no more than that: {', '.join(_named(hidden))}" if hidden else found)


def _name(change: Change) -> str:
    if change.figure in _NAMES:
        return _NAMES[change.figure]
    name = change.figure.replace("_ms", " ms")
    for kind, called in _KINDS.items():
        name = name.replace(kind, called)
    return name


def _median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _percent(shares: Sequence[float]) -> str:
    """Their mean in per cent, without its sign of per cent."""
    return f"{100 * fmean(shares):.3g}"


def _signed(share: float) -> str:
    """In per cent, without its sign of per cent: ``+7.3``."""
    return f"{100 * share:+.1f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{_signed(share)}%"


def _p(change: Change) -> str:
    """Two digits of what is small, one beyond."""
    p = change.p or 0.0
    return f"{p:.1g}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
