"""A comparison: what of one result differs from another, by how much, and what so many trials could have shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

COMPARISON_SCHEMA = "servemark/comparison/1"
Answer = Literal["fails more", "slower", "undecided", "faster", "no difference"]
#: The answer to several comparisons is the first of these that one of them has.
ANSWERS: tuple[Answer, ...] = ("fails more", "slower", "undecided", "faster", "no difference")
#: The name of the share of requests that failed, of everything that was sent; it is there where one of them did.
ERRORS = "errors_share"


@dataclass(frozen=True)
class Change:
    """One statistic of one step, before and after.

    Attributes:
        point: what tells the point from the benchmark's others.
        figure: the name of the statistic, with its unit, as ``StepSummary.figures`` has it, or ``ERRORS``.
        base: its value in each counted trial of the base, or block, and `new` in those of the new.
        change_share: by which share of the base the new one is higher (below 0: lower); None where that is not known.
        ci95: of this change, by itself.
        p: after Holm's adjustment; None where it was not judged, or not by chance.
        answer: None where it was not judged: it belongs to no headline.
        smallest_share: the smallest change that so many trials would have shown in 80% of repetitions.
        certain: whether it has an interval within each trial, so that a certificate has looked at it.
        inexact_share: how far the change may be from that of the values themselves, as a share of the base: percentiles
            of condensed records are known to a bin. 0 where records were kept, and of what is exact all the same.
    """

    step: str
    point: Mapping[str, Any]
    figure: str
    base: tuple[float, ...]
    new: tuple[float, ...]
    change_share: float | None
    ci95: tuple[float, float] | None
    p: float | None = None
    answer: Answer | None = None
    smallest_share: float | None = None
    certain: bool = True
    inexact_share: float = 0.0


@dataclass(frozen=True)
class ComparedBenchmark:
    """A benchmark that both results have.

    Attributes:
        name: what both are matched by: the benchmark and its model.
        trials: how many counted, of the base and of the new, at the point that has fewest.
        left_out: how many were INVALID, or without a success that was measured, and left out, likewise.
        needs_trials: of either side, for a difference to be shown at all; None where there were enough.
        lacking: what of it cannot be compared, and why.
        unlike: what differs that must not, by its name: in the base and in the new.
        told: what differs and may: the server that is compared.
        by_block: whether `trials` are blocks, each of which has one value of either side.
    """

    name: str
    answer: Answer
    trials: tuple[int, ...]
    left_out: tuple[int, ...]
    changes: tuple[Change, ...]
    needs_trials: int | None = None
    lacking: tuple[str, ...] = ()
    unlike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_block: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two results, statistic by statistic; `base` and `new` are their ids.

    Attributes:
        forced: whether it was made although they are unlike.
        refused: why nothing is said; empty of what is compared.
        only_in_base: benchmarks, and `only_in_new` those, that the other one lacks.
    """

    base: str
    new: str
    threshold_share: float
    answer: Answer
    benchmarks: tuple[ComparedBenchmark, ...]
    only_in_base: tuple[str, ...] = ()
    only_in_new: tuple[str, ...] = ()
    forced: bool = False
    refused: str = ""
    schema: str = COMPARISON_SCHEMA
