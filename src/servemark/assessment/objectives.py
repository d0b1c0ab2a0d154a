"""What runs say of an objective (``--slo``): a verdict for each condition, over all trials, and the goodput."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from servemark import _loadgen
from servemark.certificate.effects import figure_of
from servemark.options.objectives import BETWEEN, LATENCIES, OF_TOKENS, Condition
from servemark.result import Outcome, ProbeShare, Statistic, Verdict
from servemark.stats.dependence import effective_share
from servemark.stats.events import gaps_of_step
from servemark.stats.evidence import Evidence, Shares, StepEvidence, Window
from servemark.stats.percentiles import REPORTED
from servemark.stats.slo import Judged, judge_parts, judge_share
from servemark.stats.summary import rate, rate_over_runs
from servemark.units import NS_PER_MS, format_ms, four_digits

#: Latencies that a record has; the times between events are in histograms.
_OF_RECORDS = ("response", "service", "first_event", "first_token", "time_per_output_token")
#: Of a stream the longest of the times between its events with content, where it was read for its tokens.
_LONGEST_GAP = "longest_gap"
#: How often the share of a histogram below a time is halved.
_HALVINGS = 24


def limits_of(objective: Sequence[Condition]) -> tuple[tuple[str, int], ...]:
    """What is to be asked of the records for the verdicts on `objective`."""
    of_records = [(one.figure, int(one.limit)) for one in objective if one.figure in _OF_RECORDS]
    return (*of_records, *((_LONGEST_GAP, int(one.limit)) for one in objective if one.figure in BETWEEN))


def figures_asked(objective: Sequence[Condition], steps: Sequence[StepEvidence]) -> dict[str, frozenset[str]]:
    """The times that conditions are of, by the name of a step: the reported percentiles next to each, either side.

    Of a closed loop the response is judged as its headline is, the service.
    """
    found: dict[str, set[str]] = {}
    for condition in objective:
        step = _step(condition, steps)
        if step is None or condition.figure not in LATENCIES:
            continue
        what = step.headline if condition.figure == "response" else condition.figure
        below = [name for name, share in REPORTED.items() if share <= condition.share]
        above = [name for name, share in REPORTED.items() if share >= condition.share]
        near = {*below[-1:], *above[:1]}
        found.setdefault(step.name, set()).update(figure_of(percentile, what) for percentile in near)
    return {name: frozenset(figures) for name, figures in found.items()}


@dataclass(frozen=True)
class Trial:
    """What a run adds to the answer: its evidence, and the histograms of times between events, by the step's number.

    `content_gaps` are those between events with content.
    """

    evidence: Evidence
    event_gaps: Mapping[int, tuple[bytes, ...]]
    content_gaps: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _OfStep:
    """The same of the step that a condition is of."""

    step: StepEvidence
    gaps: tuple[bytes, ...]
    seconds: float

    @classmethod
    def of(cls, condition: Condition, trial: Trial) -> _OfStep | None:
        step, names = _step(condition, trial.evidence.steps), trial.evidence.step_names
        if step is None:
            return None
        of_events = trial.content_gaps if condition.figure == "between_content" else trial.event_gaps
        return cls(step, tuple(gaps_of_step(of_events, names, step.name)), trial.evidence.window.seconds)

    def lacks(self, condition: Condition) -> str:
        """What is lacking for the condition, where something was measured; empty where nothing is."""
        if condition.figure == "first_event" and self.step.measured and self.step.events is None:
            return "no response streamed"
        if condition.figure == "between_events" and self.step.measured and not self.gaps:
            return "no response had two events"
        if condition.figure in OF_TOKENS and self.step.measured and self.step.tokens is None:
            return "no answer was read for its tokens"
        if condition.figure == "between_content" and self.step.measured and not self.gaps:
            return "no response had two events with content"
        times = self.step.tokens.times_ns if self.step.tokens else {}
        if condition.figure in times and not times[condition.figure].count:
            return "no response had what it is of: streamed content, and a number of tokens"
        return ""


def lacking(objective: Sequence[Condition], trial: Trial) -> str:
    """Why a condition cannot be judged of a run that measured something; empty where all can."""
    for condition in objective:
        found = _OfStep.of(condition, trial)
        if found is not None and (lack := found.lacks(condition)):
            return f"{condition.text}: {lack}"
    return ""


def verdicts_on(objective: Sequence[Condition], trials: Sequence[Trial]) -> Iterator[Verdict]:
    """The verdict on each condition by all `trials` of a point together, as far as they have what it is of."""
    for condition in objective:
        found = [of for trial in trials if (of := _OfStep.of(condition, trial)) and not of.lacks(condition)]
        if not found:
            continue
        if condition.figure == "rate":
            runs = [(one.step.completed, one.seconds) for one in found]
            yield _of_rate(condition, rate_over_runs(runs), sum(one.seconds for one in found))
        elif condition.figure in BETWEEN:
            yield _of_share(condition, _of_gaps(condition, found), "gaps")
        else:
            seen = [_missed(condition, one.step) for one in found]
            above = [one.step.above for one in found if condition.figure != "errors"]
            yield _of_share(condition, judge_share(seen, condition.least_share, above), "requests")


def missed_by_lag(objective: Sequence[Condition], trials: Sequence[Trial]) -> Iterator[tuple[Condition, int, int]]:
    """The conditions that all `trials` together miss, and would not without the generator's lag.

    With each how many requests missed it by that alone, and how many in all.
    """
    for condition in objective:
        found = [of.step for trial in trials if (of := _OfStep.of(condition, trial))]
        late = [step.late.get((condition.figure, int(condition.limit)), 0.0) for step in found]
        if not sum(late):
            continue
        seen = [_missed(condition, step) for step in found]
        missed = [float(shares.meant.sum()) for shares in seen]
        punctual = [
            Shares(shares.meant * (1 - by_lag / max(of_all, 1.0)), shares.counts)
            for shares, by_lag, of_all in zip(seen, late, missed, strict=True)
        ]
        outcomes = [judge_share(shares, condition.least_share).outcome for shares in (seen, punctual)]
        if outcomes[0] == "missed" != outcomes[1]:
            yield condition, int(sum(late)), int(sum(missed))


def seen_of(objective: Sequence[Condition], trial: Trial) -> dict[str, ProbeShare]:
    """Count for each condition that `trial` can tell of, but a rate, the requests, what missed it, and their worth.

    The worth is how many independent ones they are, by what this trial alone shows.
    """
    seen = {}
    for condition in objective:
        found = _OfStep.of(condition, trial)
        if found is None or found.lacks(condition) or condition.figure == "rate":
            continue
        if condition.figure in BETWEEN:
            judged = _of_gaps(condition, [found])
            seen[condition.text] = ProbeShare(judged.requests, float(judged.missed), judged.independent)
        else:
            shares = _missed(condition, found.step)
            requests, missed = int(shares.counts.sum()), float(shares.meant.sum())
            worth = effective_share(shares.meant, shares.counts).times
            seen[condition.text] = ProbeShare(requests, missed, worth)
    return seen


def _missed(condition: Condition, step: StepEvidence) -> Shares:
    key = (condition.figure, int(condition.limit))
    return step.failures if condition.figure == "errors" else step.missed[key]


def _step(condition: Condition, steps: Sequence[StepEvidence]) -> StepEvidence | None:
    """The step that a condition is of."""
    return next((step for step in steps if condition.step in (None, step.name)), None)


def _of_share(condition: Condition, judged: Judged, of_what: str) -> Verdict:
    of_what = f"{of_what} of {condition.step}" if condition.step else of_what
    low, high = judged.low, judged.high
    if condition.figure == "errors":
        found = f"{1 - judged.share:.3%} of {judged.requests:,} {of_what} failed"
        low, high = 1 - judged.high, 1 - judged.low
        bound = {"met": f"at most {high:.3%}", "missed": f"at least {low:.3%}"}
    else:
        within = format_ms(condition.limit / NS_PER_MS)
        found = f"{judged.share:.3%} of {judged.requests:,} {of_what} within {within}"
        bound = {"met": f"at least {low:.3%}", "missed": f"at most {high:.3%}"}
    said = bound.get(judged.outcome)
    if said is None:
        more = f"{judged.needs_n:,} {of_what} would decide" if judged.needs_n else "no number of them would decide"
        said = f"{low:.3%} to {high:.3%}; {more}"
    times = judged.needs_n / judged.requests if judged.needs_n and judged.requests else None
    return _verdict(condition, judged.outcome, f"{found} ({said})", times)


def _of_rate(condition: Condition, found: Statistic, seconds: float) -> Verdict:
    """The verdict on a rate that was `found` over so long. An interval is half as wide after four times the time."""
    outcome: Outcome = "undecided"
    value = f"{four_digits(found.value or 0.0)}/s"
    if found.ci95 is None:
        needs = f", {math.ceil(found.needs_s)} s would tell" if found.needs_s else ""
        times = found.needs_s / seconds if found.needs_s else None
        return _verdict(condition, outcome, f"{value} (no interval{needs})", times)
    low, high = found.ci95
    apart = abs((found.value or 0.0) - condition.limit)
    times = ((high - low) / 2 / apart) ** 2 if apart else None
    if low >= condition.limit:
        outcome = "met"
    elif high < condition.limit:
        outcome = "missed"
    return _verdict(condition, outcome, f"{value} ({four_digits(low)} to {four_digits(high)})", times)


def _verdict(condition: Condition, outcome: Outcome, found: str, times: float | None) -> Verdict:
    return Verdict(
        f"objective {condition.text}",
        f"{condition.text} {outcome}: {found}",
        outcome,
        condition.text,
        needs_times=times if outcome == "undecided" else None,
    )


def _of_gaps(condition: Condition, found: Sequence[_OfStep]) -> Judged:
    """Judge times between events, worth no more than as many responses: those of one response depend on each other.

    Where it is known which responses had one that is too long, those of several do, too: a stall is in all at once.
    """
    gaps = [one for of in found for one in of.gaps]
    count = _loadgen.histogram_statistics(gaps, []).count
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _loadgen.histogram_statistics(gaps, [middle]).quantiles[0] < condition.limit:
            low = middle
        else:
            high = middle
    streams = sum(of.step.events.per_request.count for of in found if of.step.events)
    responses = [of.step.missed[_LONGEST_GAP, int(condition.limit)] for of in found]
    return judge_parts(count, round(count * (1 - high)), responses, streams, condition.share)


def limits_together(objective: Sequence[Condition], names: Sequence[str]) -> dict[str, dict[str, int]]:
    """The limits that a request has to keep at once, by the name of its step: nanoseconds by latency.

    They are the times of the highest percentiles that are asked for. `names` are those of all steps, in order.
    """
    highest: dict[str, dict[str, Condition]] = {}
    for condition in objective:
        if condition.figure in _OF_RECORDS:
            of_step = highest.setdefault(condition.step or names[0], {})
            before = of_step.get(condition.figure)
            of_step[condition.figure] = condition if before is None or before.share < condition.share else before
    return {name: {figure: int(one.limit) for figure, one in found.items()} for name, found in highest.items()}


def goodput(step: StepEvidence, window: Window) -> Statistic | None:
    """The rate of successes of a step that were within each limit of its objective; None where it has none.

    They are of those that make the throughput: the ones that ended in the `window`.
    """
    return None if step.within is None else rate(step.within, window.seconds)
