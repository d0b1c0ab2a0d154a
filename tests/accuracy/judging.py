"""Judgements: what was reported, against what the oracle recorded and against what a law promises.

Each judgement is a pure function of samples, so that a test can spoil a sample and see the judgement turn red.

The oracle's sojourn is from when the kernel received a request to when its answer left. servemark's response is from
when the request was *scheduled* to when the kernel received its answer. They differ by what the generator was late, by
two crossings of the loopback interface, and by what waited in the client: never less than nothing, and at most the
bound where nothing has to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import laws
import numpy as np
from laws import Floats, Times
from measuring import Sample, reported
from queues import MOST_LATE_MS
from stalls import Stall

MS = 1_000_000
#: How far a reported percentile may be from the truth: a share of it, and the time of two crossings and wake-ups.
SHARE, SLACK_MS = 0.02, 0.3
#: How far the percentiles of a stall may be from the exact ones.
STALL_SLACK_MS = 5.0
#: How far a closed loop's percentile must be from the truth, for a stall to tell the two apart.
STALL_APART_MS = 500.0
#: Confidence of the t intervals: seeds are fixed, so which law is doubted by chance does not change from run to run.
CONFIDENCE = 0.999
#: Two readings of the clock by two threads.
CLOCKS_NS = 50_000
PERCENTILES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True)
class Finding:
    """A figure, what it is compared with, and the bounds that it must keep (both included)."""

    what: str
    figure: float
    truth: float
    low: float
    high: float
    unit: str = "ms"

    @property
    def passed(self) -> bool:
        """Whether the figure keeps its bounds."""
        return self.low <= self.figure <= self.high

    def __str__(self) -> str:
        mark = "ok    " if self.passed else "FAILED"
        return (
            f"{mark} {self.what}: {self.figure:.6g} {self.unit}, truth {self.truth:.6g}, "
            f"bounds {self.low:.6g} to {self.high:.6g}"
        )


def near(what: str, figure: float, truth: float, reach: float, unit: str = "ms") -> Finding:
    """`figure` is within `reach` of `truth`."""
    return Finding(what, figure, truth, truth - reach, truth + reach, unit)


def equal(what: str, figure: float, truth: float) -> Finding:
    """`figure` is `truth`."""
    return Finding(what, figure, truth, truth, truth, "")


def assert_all(findings: Sequence[Finding]) -> None:
    """Print what was found, and fail unless all of it is within bounds."""
    text = "\n".join(map(str, findings))
    print(text)
    assert findings, "nothing was judged"
    assert all(finding.passed for finding in findings), text


def failed(findings: Sequence[Finding]) -> list[str]:
    """What is out of bounds."""
    return [finding.what for finding in findings if not finding.passed]


def percentiles_of_response(samples: Sequence[Sample]) -> dict[str, float]:
    """The reported percentiles of the response of the runs together, in ms."""
    response = reported(samples).response_ms
    return {name: getattr(response, name).value for name in PERCENTILES}


def judge_response(samples: Sequence[Sample]) -> list[Finding]:
    """The reported p50 and p99 of the response are those of the oracle's sojourns, and of the answers' real times.

    Three truths, of the same requests: the sojourns that the oracle recorded; from the schedule to the oracle's
    writing, on the clock that both read; and, of one queue, what it makes of the schedule without any network.
    """
    truths: dict[str, list[Times]] = {"the oracle's sojourn": [], "schedule to the oracle's answer": []}
    for sample in samples:
        log, measured = sample.log, sample.measured
        truths["the oracle's sojourn"].append((log["departed"] - log["arrival"])[measured])
        due = sample.schedule + sample.origin_ns
        truths["schedule to the oracle's answer"].append((log["departed"] - due)[measured])
    return _judge_percentiles(samples, truths)


def judge_queue(samples: Sequence[Sample]) -> list[Finding]:
    """The reported p50 and p99 are what one queue makes of the times of sending and the drawn services, by its law.

    It is fed when requests were sent, for how late that may be is the certificate's to say; responses count from the
    schedule all the same.
    """
    responses = []
    for sample in samples:
        sent = sample.rows["sent"]
        order = np.argsort(sent, kind="stable")
        ended = np.empty_like(sent)
        ended[order] = laws.departures(sent[order], sample.log["service"][order])
        responses.append((ended - sample.schedule)[sample.measured])
    return _judge_percentiles(samples, {"one queue's law": responses})


def _judge_percentiles(samples: Sequence[Sample], truths: dict[str, list[Times]]) -> list[Finding]:
    found = []
    for name, figure_ms in percentiles_of_response(samples).items():
        for what, times in truths.items():
            truth_ms = laws.nearest_rank(np.concatenate(times), PERCENTILES[name]) / MS
            found.append(near(f"{name} of the response, by {what}", figure_ms, truth_ms, SHARE * truth_ms + SLACK_MS))
    return found


def judge_causes(samples: Sequence[Sample]) -> list[Finding]:
    """No request arrives before it was sent, and no answer before it left: each request, on one clock."""
    too_soon = 0
    for sample in samples:
        rows, log = sample.rows, sample.log
        too_soon += int((log["arrival"] < rows["sent"] + sample.origin_ns - CLOCKS_NS).sum())
        too_soon += int((log["due"] > log["departed"]).sum())
        too_soon += int((log["departed"] > rows["end"] + sample.origin_ns + CLOCKS_NS).sum())
        too_soon += int((rows["scheduled"] > rows["sent"]).sum())
        too_soon += int((rows["end"] > rows["read"]).sum())
    return [equal("times before their cause", too_soon, 0)]


def judge_theory(samples: Sequence[Sample], mean_ms: float, percentiles_ms: dict[str, float]) -> list[Finding]:
    """What a law promises lies in the t interval of independent runs: of the mean, and of each percentile.

    Percentiles of short runs are skewed, so that a t interval of theirs would fail too often; their logarithms are
    not, and their geometric mean is judged. What was measured has two crossings of the loopback interface more than
    the law: up to `SLACK_MS`.
    """
    summaries = [reported([sample]).response_ms for sample in samples]
    runs = f"of {len(samples)} runs"
    low, high = laws.t_interval([summary.mean.value or 0.0 for summary in summaries], CONFIDENCE)
    found = [_by_spread(f"mean of the response, mean {runs}", mean_ms, low, (low + high) / 2, high)]
    for name, truth_ms in percentiles_ms.items():
        logarithms = [math.log(getattr(summary, name).value) for summary in summaries]
        low, high = laws.t_interval(logarithms, CONFIDENCE)
        ends = (math.exp(low), math.exp((low + high) / 2), math.exp(high))
        found.append(_by_spread(f"{name} of the response, geometric mean {runs}", truth_ms, *ends))
    return found


def _by_spread(what: str, truth_ms: float, low_ms: float, figure_ms: float, high_ms: float) -> Finding:
    """The truth is between the ends of an interval about the figure; told as bounds about the truth."""
    spread = high_ms - figure_ms, figure_ms - low_ms + SLACK_MS
    return Finding(what, figure_ms, truth_ms, truth_ms - spread[0], truth_ms + spread[1])


def judge_oracle(samples: Sequence[Sample]) -> list[Finding]:
    """The oracle kept to one queue's law exactly, and was itself on time: else it is the judge who is at fault."""
    wrong, late_ms = 0, []
    for sample in samples:
        log = sample.log[np.argsort(sample.log["due"], kind="stable")]
        wrong += int((laws.departures(log["arrival"], log["service"]) != log["due"]).sum())
        late_ms.append((sample.log["departed"] - sample.log["due"]) / MS)
    late = laws.nearest_rank(np.concatenate(late_ms), 0.99)
    return [
        equal("departures that the oracle did not plan by its law", wrong, 0),
        Finding("p99 of the oracle's own lateness", late, 0.0, 0.0, MOST_LATE_MS),
    ]


def judge_counts(samples: Sequence[Sample]) -> list[Finding]:
    """Planned = scheduled = sent = received by the oracle = answered = recorded, each request of each run once."""
    return _together([_judge_counts(sample) for sample in samples])


def _judge_counts(sample: Sample) -> list[Finding]:
    rows, log = sample.rows, sample.log
    figures = {
        "scheduled": sample.scheduled,
        "sent": int((rows["sent"] >= 0).sum()),
        "received by the oracle": len(log),
        "answered by the oracle": int((log["departed"] >= 0).sum()),
        "recorded": len(rows),
        "recorded as ok": int((rows["kind"] == 0).sum()),
        "numbers that both sides have, once each": len(np.intersect1d(rows["seq"], log["seq"])),
    }
    return [equal(what, figure, sample.planned) for what, figure in figures.items()]


def judge_schedule(samples: Sequence[Sample]) -> list[Finding]:
    """The `scheduled` of each record is the pure function's, bit for bit, and so is the number that the oracle read."""
    return _together([_judge_schedule(sample) for sample in samples])


def _judge_schedule(sample: Sample) -> list[Finding]:
    users = sample.rows["user"]
    each_once = np.intersect1d(users, np.arange(len(users)))
    return [
        equal("records of the first arrivals, each once", len(each_once), len(users)),
        equal(
            "scheduled as by the pure function", int((sample.schedule == sample.rows["scheduled"]).sum()), len(users)
        ),
        equal("received under the same number", int((sample.log["user"] == users).sum()), len(users)),
    ]


def _together(of_each: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The same counts of several runs, added up; where one is wrong, that one alone."""
    found = []
    for same in zip(*of_each, strict=True):
        wrong = next((finding for finding in same if not finding.passed), None)
        figures, truths = ([getattr(finding, which) for finding in same] for which in ("figure", "truth"))
        found.append(wrong or equal(same[0].what, sum(figures), sum(truths)))
    return found


def judge_stall(sample: Sample, stall: Stall) -> list[Finding]:
    """The reported p99 and p99.9 of the response are the exact open loop's, and nowhere near a closed loop's."""
    schedule = np.sort(sample.schedule)
    begin = int(schedule[0]) + round(stall.after_s * 1000 * MS)
    service, silence = round(stall.service_ms * MS), (begin, begin + round(stall.lasting_s * 1000 * MS))
    truth = laws.open_loop_responses(schedule, service, stall.connections, silence)
    closed = laws.closed_loop_responses(schedule, service, 1, silence)
    response = reported([sample]).response_ms
    found = []
    for name, q in (("p99", 0.99), ("p99_9", 0.999)):
        figure_ms = getattr(response, name).value
        truth_ms, closed_ms = laws.nearest_rank(truth, q) / MS, laws.nearest_rank(closed, q) / MS
        found.append(near(f"{name} of the response", figure_ms, truth_ms, STALL_SLACK_MS))
        what = f"{name} of the response, far from a closed loop's"
        found.append(Finding(what, figure_ms, closed_ms, closed_ms + STALL_APART_MS, np.inf))
    return found


def judge_distances(
    what: str, times: Times, expected: Callable[[Floats], Floats], spread: Callable[[Floats], Floats]
) -> list[Finding]:
    """Arrivals at a rate whose integral is `expected` (of seconds) have distances of mean 1 that follow `spread`.

    By that integral every rate becomes 1 (time rescaling). Neighbouring distances are not correlated. Times are whole
    nanoseconds, so that a distance is known to within one.
    """
    cumulated = expected(times / 1e9)
    distances = np.diff(cumulated, prepend=0.0)
    a_ns = float((expected((times + 1) / 1e9) - cumulated).max())
    n = len(distances)
    centred = distances - distances.mean()
    correlation = float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
    return [
        Finding(
            f"{what}: Kolmogorov-Smirnov distance",
            laws.ks_distance(distances, spread, a_ns),
            0,
            0,
            laws.ks_limit(n),
            "",
        ),
        near(f"{what}: correlation of neighbours", correlation, 0.0, 3.29 / n**0.5, ""),
    ]
