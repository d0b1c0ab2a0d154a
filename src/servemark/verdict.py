"""Verdicts: answers to the questions that were asked of a benchmark."""

from __future__ import annotations

from servemark.errors import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_OK,
    EXIT_SERVER_FAILED,
    EXIT_UNEXPECTED,
    EXIT_USAGE,
    EXIT_VERDICT_FAILED,
)
from servemark.result import INTERRUPTED, Answer, BenchmarkResult, Capacity, Outcome, Result, StepSummary, Verdict
from servemark.units import four_digits

#: What the answer to a comparison means to the question whether it is slower.
_OUTCOMES: dict[Answer, Outcome] = {
    "fails more": "missed",
    "slower": "missed",
    "undecided": "undecided",
    "faster": "met",
    "no difference": "met",
}
#: Behind the name of a step: how the question begins whether too many of its requests failed.
_AT_MOST = ": at most "


def errors_within(step: StepSummary, limit_share: float) -> Verdict:
    """Did no more than `limit_share` of the requests fail?"""
    share = step.failed / step.requests if step.requests else 0.0
    answer = f"{step.failed} of all {step.requests} sent failed ({share:.2%})"
    return Verdict(
        f"{step.name}{_AT_MOST}{100 * limit_share:g}% of the requests failed",
        answer,
        "met" if share <= limit_share else "missed",
    )


def too_many_failed(benchmark: BenchmarkResult, step: str, place: str) -> bool:
    """Whether more requests of a step failed than ``--max-errors`` allows, at the point with that `place`."""
    of_step = (verdict for verdict in benchmark.verdicts if verdict.question.startswith(f"{step}{_AT_MOST}"))
    return any(
        verdict.outcome == "missed" and verdict.answer.endswith(f" ({place})" if place else "") for verdict in of_step
    )


def saturated(least_in_flight: int | None, needed: int | None, *, held_back: bool = False) -> Verdict:
    """Did the load keep every worker busy? A finding: it changes no exit status.

    `held_back` says that users waited for the generator: more of them would be no more load.
    """
    question = "the load saturated the server"
    if needed is None:
        return Verdict(question, "undecided: how many requests keep the server's workers busy is not known", "finding")
    if least_in_flight is None:
        return Verdict(question, "undecided: too few requests", "finding")
    figures = f"at least {least_in_flight} in flight, {needed} keep all workers busy"
    if least_in_flight >= needed:
        return Verdict(question, f"saturated: {figures}", "finding")
    if held_back:
        return Verdict(
            question, f"undecided whether saturated: the generator held the load back ({figures})", "finding"
        )
    return Verdict(question, f"not saturated: raise -t ({figures})", "finding")


def capacity_found(objective: str, capacity: Capacity) -> Verdict:
    """Is there a load that meets the objective?

    Missed where the least one misses it; undecided where none was shown to meet it, or the end is not known.
    """
    question = f"a load that meets {objective}"
    unit = "/s" if capacity.by == "rate" else " threads"
    holds, fails = (
        None if load is None else f"{four_digits(load)}{unit}"
        for load in (capacity.feasible_max, capacity.infeasible_min)
    )
    if capacity.ending == "impossible":
        return Verdict(question, f"{objective} fails at the lowest load, {fails}", "missed", objective)
    if holds is None:
        return Verdict(question, f"{objective} was not shown to hold at any load", "undecided", objective)
    answer = f"{objective} holds at {holds}" + (f" and fails at {fails}" if fails else "")
    return Verdict(question, answer, "met" if capacity.ending in {"decided", "budget"} else "undecided", objective)


def no_slower(than: str, threshold_share: float, answer: Answer, words: str) -> Verdict:
    """Is it no slower than the result `than`? `words` say how it compares."""
    return Verdict(f"no slower than {than} by {100 * threshold_share:.3g}% or more", words, _OUTCOMES[answer])


def comparison_status(answer: Answer, *, strict: bool) -> int:
    """The exit status of a comparison; `strict` has what is undecided fail."""
    failed = _OUTCOMES[answer] == "missed" or (strict and answer == "undecided")
    return EXIT_VERDICT_FAILED if failed else EXIT_OK


def exit_status(result: Result, *, allow_invalid: bool, strict: bool = False) -> int:
    """The exit status that a finished result deserves: the first that applies, in the order of the design.

    `strict` has a question that stays undecided fail.
    """
    failures = {benchmark.failure.exit_status for benchmark in result.benchmarks if benchmark.failure}
    if result.error == INTERRUPTED:
        return EXIT_INTERRUPTED
    for status in (EXIT_UNEXPECTED, EXIT_USAGE):
        if status in failures:
            return status
    if result.comparison is not None and result.comparison.refused:
        return EXIT_USAGE
    if result.skipped and not result.benchmarks:
        return EXIT_SERVER_FAILED
    if failures or any(map(has_failed, result.benchmarks)):
        return EXIT_SERVER_FAILED
    certificates = [benchmark.certificate for benchmark in result.benchmarks if benchmark.certificate]
    if not allow_invalid and not all(certificate.valid for certificate in certificates):
        return EXIT_INVALID
    failing = {"missed", "undecided"} if strict else {"missed"}
    if any(verdict.outcome in failing for benchmark in result.benchmarks for verdict in benchmark.verdicts):
        return EXIT_VERDICT_FAILED
    return EXIT_OK


def has_failed(benchmark: BenchmarkResult) -> bool:
    """Whether every request of a step failed and was not allowed to, or answers came and none within the time."""
    if benchmark.capacity is not None:  # a load that is far too high may well have every request fail
        return not any(probe.response_s for found in benchmark.capacities for probe in found.probes)
    if failed_altogether(benchmark):
        return not allows_failures(benchmark)
    return any(not any(step.measured for step in run.steps) for run in benchmark.runs)


def failed_altogether(benchmark: BenchmarkResult) -> bool:
    """Whether every request of a step failed."""
    return any(step.requests and not step.succeeded for run in benchmark.runs for step in run.steps)


def allows_failures(benchmark: BenchmarkResult) -> bool:
    """Whether as many requests may fail as did (``--max-errors``): all of its verdicts are known, and none is a no."""
    return bool(benchmark.verdicts) and all(verdict.outcome != "missed" for verdict in benchmark.verdicts)
