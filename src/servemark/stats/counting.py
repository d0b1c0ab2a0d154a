"""Samples of records: their order statistics, what their values are worth, and how many lie above what, by batch.

Each of these takes the passes over the records that ``_loadgen.Tally`` makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from servemark import _loadgen
from servemark.result import HeadlineLatency
from servemark.stats.dependence import LEAST_TIMES, Effective, effective_quantiles
from servemark.stats.histograms import edges_ns
from servemark.stats.percentiles import REPORTED, SPREAD, interval_ranks, point_ranks, rank
from servemark.stats.samples import Sample
from servemark.stats.warm_up import slow_ns

FloatArray = NDArray[np.float64]

LATENCIES = ("response", "service", "client_queue", "generator_lag")
#: The samples of a step name, in the order of the tally, with the quantiles that are wanted of each.
_REPORTED, _MEDIAN = tuple(REPORTED.values()), (0.5,)
SAMPLES: Mapping[str, tuple[float, ...]] = {
    **dict.fromkeys(LATENCIES, _REPORTED),
    **dict.fromkeys(("punctual", "stamped", "unpaused", "failed", "first_event"), _REPORTED),
    "events": _MEDIAN,
    **dict.fromkeys(("first_token", "first_said", "time_per_output_token", "longest_gap", "tail"), _REPORTED),
    "tokens": _MEDIAN,
    **dict.fromkeys(("punctual_first_event", "punctual_first_token"), _REPORTED),
}
#: What the times that count from the schedule are in an open loop without the generator's lag.
PUNCTUAL: Mapping[str, str] = {
    "response": "punctual",
    "first_event": "punctual_first_event",
    "first_token": "punctual_first_token",
}
#: Those whose quantiles have intervals.
_WITH_INTERVALS = (
    *(*LATENCIES, "failed", "first_event"),
    *("first_token", "first_said", "time_per_output_token", "longest_gap"),
)


@dataclass(frozen=True)
class CountedSample:
    """A counted sample: the values by rank that its quantiles are, and by batch how many there are, and above what.

    `edges_ns` are the bounds of its histogram, each of which is in `above`, as is from where on a value is slow
    (``slow_ns``); empty where it is to have none. `has_intervals` is whether its quantiles are to have any.
    """

    ordered: Mapping[int, int]
    counts: FloatArray
    above: Mapping[int, FloatArray]
    edges_ns: Sequence[int] = ()
    has_intervals: bool = False


@dataclass(frozen=True)
class Counted:
    """What is counted of the samples, by number, and which quantiles each is to have; stages come after the steps."""

    samples: tuple[CountedSample, ...]
    quantiles: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, tally: _loadgen.Tally, names: int, limits: Sequence[tuple[str, int]]) -> Counted:
        """Count the samples of `names` step names; `limits` are times in nanoseconds of latencies, by name."""
        moments = tally.samples
        quantiles = [*(of for _ in range(names) for of in SAMPLES.values())]
        quantiles += [SPREAD] * (len(moments) - len(quantiles))
        ordered = _ordered(tally, [point_ranks(one.count, of) for one, of in zip(moments, quantiles, strict=True)])
        names_of = [_name_of(number, names) for number in range(len(moments))]
        edges = [_edges_ns(tally, number, name, ordered[number]) for number, name in enumerate(names_of)]
        thresholds = [
            _thresholds_ns(name, moments[number].count, ordered[number], edges[number], limits)
            for number, name in enumerate(names_of)
        ]
        wanted = [number for number, name in enumerate(names_of) if name in _WITH_INTERVALS or thresholds[number]]
        found = dict(zip(wanted, tally.above([(number, thresholds[number]) for number in wanted]), strict=True))
        samples = []
        for number, values in enumerate(ordered):
            counts, *above = (np.array(by_batch, dtype=np.float64) for by_batch in found.get(number, [[]]))
            by_threshold = dict(zip(thresholds[number], above, strict=True))
            has_intervals = names_of[number] in _WITH_INTERVALS
            samples.append(CountedSample(values, counts, by_threshold, edges[number], has_intervals))
        return cls(tuple(samples), tuple(quantiles))

    def of_step(self, number: int) -> Mapping[str, CountedSample]:
        """The samples of the step name of that number, by name."""
        first = number * len(SAMPLES)
        return dict(zip(SAMPLES, self.samples[first : first + len(SAMPLES)], strict=True))

    def worth(self, number: int) -> dict[float, Effective]:
        """What the values of a sample are worth for each of its quantiles, as far as that can be told."""
        sample = self.samples[number]
        count = int(sample.counts.sum())
        if count < LEAST_TIMES or not sample.has_intervals:
            return {}
        above = {q: sample.above[sample.ordered[rank(count, q)]] for q in self.quantiles[number]}
        return effective_quantiles(above, sample.counts)

    def independent(self, number: int) -> Iterator[tuple[int, int] | None]:
        """The ranks of the intervals that a sample would have if its values were independent of each other."""
        sample = self.samples[number]
        count = int(sample.counts.sum()) if sample.has_intervals else 0
        return (interval_ranks(count, q, Effective.of_independent(count)) for q in self.quantiles[number] if count)


def _name_of(number: int, names: int) -> str:
    """What the sample of that number is of; empty of a stage's."""
    return list(SAMPLES)[number % len(SAMPLES)] if number < names * len(SAMPLES) else ""


def headline_of(step: _loadgen.TallyStep) -> HeadlineLatency:
    """The latency that answers for a step: of a closed loop the service, in which no delay of the generator's is."""
    return "service" if step.closed and step.closed == step.requests else "response"


def _edges_ns(tally: _loadgen.Tally, number: int, name: str, ordered: Mapping[int, int]) -> list[int]:
    """The bounds of the histogram of a sample, which is to have one if it is the headline's; empty of none."""
    sample = tally.samples[number]
    if name not in LATENCIES or not sample.count or headline_of(tally.steps[number // len(SAMPLES)]) != name:
        return []
    return edges_ns(sample.min, ordered[rank(sample.count, REPORTED["p99_9"])], sample.max)


def _thresholds_ns(
    name: str, count: int, ordered: Mapping[int, int], edges: Sequence[int], limits: Sequence[tuple[str, int]]
) -> list[int]:
    """Above which values of a sample it is counted by batch; of one with a histogram also what is slow."""
    of_limits = {limit_ns - 1 for latency, limit_ns in limits if name in (latency, PUNCTUAL.get(latency))}
    if name not in _WITH_INTERVALS:
        return sorted(of_limits)
    slow = [slow_ns(ordered[rank(count, REPORTED["p50"])])] if edges else []
    return sorted({*ordered.values(), *edges, *of_limits, *slow})


def _ordered(tally: _loadgen.Tally, wanted: Sequence[set[int]]) -> list[dict[int, int]]:
    """Find the values of each sample that have the `wanted` ranks, by these."""
    found = tally.order_statistics([(number, [one - 1 for one in sorted(of)]) for number, of in enumerate(wanted)])
    return [
        {one: value for one, value in zip(sorted(of), values, strict=True) if value is not None}
        for of, values in zip(wanted, found, strict=True)
    ]


def samples_of(tally: _loadgen.Tally, counted: Counted) -> Iterator[Sample]:
    """The samples of each name and of each stage, in order, with all the values that are ever wanted of them."""
    moments = tally.samples
    worths = [counted.worth(number) for number in range(len(moments))]
    pairs = [
        [*(interval_ranks(one.count, q, worth) for q, worth in of.items()), *counted.independent(number)]
        for number, (one, of) in enumerate(zip(moments, worths, strict=True))
    ]
    ends = _ordered(tally, [{end for pair in of if pair for end in pair} for of in pairs])
    for number, one in enumerate(moments):
        yield Sample(
            count=one.count,
            total=one.sum,
            squares=one.squares,
            min=one.min if one.count else None,
            max=one.max if one.count else None,
            ordered={**counted.samples[number].ordered, **ends[number]},
            worth=worths[number],
        )
