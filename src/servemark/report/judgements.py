"""What is made of a measurement, for the terminal: verdicts, the certificate, and what disturbed it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from servemark.report.layout import Fact
from servemark.report.words import counted
from servemark.result import BenchmarkResult, Certificate, Check, RunResult, trials_by_point

#: Of what happened to the server in a run so much is told.
_MOST_INCIDENTS = 3
#: Checks that look at the times of requests.
_OF_TIMES = {"generator lag", "clock", "receive lag", "loopback self-test"}


def judgements(benchmark: BenchmarkResult) -> Iterator[Fact]:
    """A line for each verdict on an objective, or that is no plain yes; the certificate; each disturbance."""
    for verdict in benchmark.verdicts:
        if verdict.objective:
            yield Fact("SLO", verdict.answer, {"met": "green", "missed": "red"}.get(verdict.outcome, "yellow"))
        elif verdict.outcome != "met":
            style = "red" if verdict.outcome == "missed" else "yellow" if verdict.answer.startswith("not") else ""
            yield Fact("verdict", verdict.answer, style)
    certificate = benchmark.certificate
    if certificate is None:
        return
    yield from _valid(certificate) if certificate.valid else _invalid(certificate)
    repeated = _repeated(benchmark)
    if repeated:
        number = f"{len(repeated)} of {counted(len(benchmark.runs), 'run')}"
        where = "; ".join(dict.fromkeys(run.place for run in repeated if run.place))
        left_out = f"repeated: {number} INVALID, measured once more and left out"
        yield Fact("warning", f"{left_out} ({where})" if where else left_out, "yellow")
    yield from _incidents(benchmark)
    for found in certificate.disturbances:
        yield Fact("warning", f"{found.name}: {found.reason}", "yellow")


def _incidents(benchmark: BenchmarkResult) -> Iterator[Fact]:
    """What happened to the server and nobody asked for, of each run that answers."""
    for run in benchmark.answering.values():
        told = [f"{one.what} at {one.at_s:.1f} s" for one in run.incidents[:_MOST_INCIDENTS]]
        more = len(run.incidents) - len(told)
        if told:
            where = f" ({run.place})" if run.place else ""
            yield Fact("warning", f"server: {', '.join(told)}{f' and {more} more' if more else ''}{where}", "yellow")


def _repeated(benchmark: BenchmarkResult) -> list[RunResult]:
    """The runs that another one stands for: of a single trial of each point all but the last."""
    if benchmark.capacity is not None:
        return []
    if benchmark.trials is None:
        return [run for place, run in enumerate(benchmark.runs) if place not in benchmark.answering]
    trials = (places for of_point in trials_by_point(benchmark.runs).values() for places in of_point)
    return [benchmark.runs[place] for places in trials for place in places[:-1]]


def _valid(certificate: Certificate) -> Iterator[Fact]:
    if certificate.is_imported:
        yield Fact("certificate", f"none: {'; '.join(check.reason for check in certificate.checks)}", "yellow")
        return
    passed = [check for check in certificate.checks if check.passed is True]
    of_times = any(_kind(check) in _OF_TIMES for check in passed)
    unseen = "" if of_times else "; none of them looks at the times of requests"
    yield Fact("certificate", f"valid, {counted(len(passed), 'check')} passed{unseen}")


def _invalid(certificate: Certificate) -> Iterator[Fact]:
    """Each kind of check that failed, where it did most and where else; then once why, and what can be done here."""
    failed = [check for check in certificate.checks if check.passed is False]
    for kind in dict.fromkeys(map(_kind, failed)):
        first, *others = sorted((check for check in failed if _kind(check) == kind), key=_severity, reverse=True)
        also = f"; less so: {', '.join(map(_where, others))}" if others else ""
        yield Fact("INVALID", f"{first.name}: {first.reason}{also}", "bold red")
    by_severity = sorted(failed, key=_severity, reverse=True)
    causes = _each_once(check.cause for check in by_severity)
    if causes:
        yield Fact("why", "; ".join(causes))
    advice = _each_once(action for check in by_severity for action in check.advice)
    if advice:
        yield Fact("what to do", _listed(advice))


def _kind(check: Check) -> str:
    return check.name.partition(" (")[0]


def _where(check: Check) -> str:
    """The step and the point that a check is of, as its name has them."""
    return check.name.partition(" (")[2].removesuffix(")") or check.name


def _severity(check: Check) -> float:
    """How many times its limit a check measured; of one whose limit is none at all, more than any."""
    return abs(check.measured or 0.0) / check.limit if check.limit else float("inf")


def _each_once(texts: Iterable[str]) -> list[str]:
    """The texts without those that say the same with other numbers."""
    first: dict[str, str] = {}
    for text in filter(None, texts):
        first.setdefault(re.sub(r"[\d.,%]+", "", text), text)
    return list(first.values())


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"
