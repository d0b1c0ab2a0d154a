"""What a summary says of an objective, and of figures that drift."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from servemark.report.layout import Fact
from servemark.report.words import if_invalid, per_s, per_s_interval
from servemark.result import BenchmarkResult, StepSummary, Trend, Verdict
from servemark.units import four_digits

_STYLES = {"met": "bold green", "missed": "bold red", "undecided": "bold yellow"}


def answer(benchmark: BenchmarkResult) -> Iterator[Text]:
    """Whether the objective is met, in a sentence; nothing where there is none. What is INVALID says so first."""
    verdicts = [verdict for verdict in benchmark.verdicts if verdict.objective]
    if not verdicts:
        return
    for outcome in ("missed", "undecided"):
        found = [verdict for verdict in verdicts if verdict.outcome == outcome]
        if found:
            also = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            text = f"SLO {outcome}: {seen(found[0])}, {found[0].objective} asked{also}"
            yield if_invalid(benchmark).append(text, _STYLES[outcome])
            return
    asked = ", ".join(dict.fromkeys(filter(None, (one.objective for one in verdicts))))
    yield if_invalid(benchmark).append(f"SLO met: {asked}", _STYLES["met"])


def seen(verdict: Verdict) -> str:
    """What was found of an objective, without what it was and whether it is met."""
    return verdict.answer.removeprefix(f"{verdict.objective} {verdict.outcome}: ")


def goodput_fact(step: StepSummary) -> Iterator[Fact]:
    """The rate of the successes within the objective."""
    if step.goodput_per_s is not None:
        found = step.goodput_per_s
        rate = f"{per_s(found)} {per_s_interval(found)} within the SLO's times"
        yield Fact("goodput", rate if found.value else "0/s: no request was within the SLO's times")


def trend_facts(step: StepSummary) -> Iterator[Fact]:
    """Which figures stood, and how those which did not have changed."""
    steady = [name for name, trend in step.trends.items() if trend.verdict == "steady"]
    if steady:
        yield Fact("steady", ", ".join(steady))
    for name, trend in step.trends.items():
        if trend.verdict == "drifting":
            yield Fact("drifting", f"{name}: {_change(name, trend)}", "yellow")


def _change(name: str, trend: Trend) -> str:
    if name == "rate":
        return f"{four_digits(trend.start)}/s at the beginning, {four_digits(trend.end)}/s at the end"
    start, end = (min(max(share, 0.0), 1.0) for share in (trend.start, trend.end))
    return f"{start:.2%} of the responses above it at the beginning, {end:.2%} at the end"
