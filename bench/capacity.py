"""The proof that the search for capacity finds it: of simulated queues whose capacity is known."""

from __future__ import annotations

from collections.abc import Iterator

from capacities import CASES, found_of, limit_at
from judging import Finding

from bench.proof import Section

#: Of ten tries nine are near enough, and of the intervals of 90% between so many hold the truth.
_NEAR, _LEAST, _MOST = 0.9, 0.85, 0.95
#: As in the 2,000 experiments of other parts, of which this part makes a tenth.
_OF_EXPERIMENTS = 10


def prove_capacities(experiments: int) -> Iterator[Section]:
    """A tenth of `experiments` of each queue and objective."""
    tries = experiments // _OF_EXPERIMENTS
    for case in CASES:
        found = found_of(case, tries, seed=1)
        limit_ms = 1000 * limit_at(case.servers, case.share, 0.7)
        findings = [
            Finding("within 6% of the capacity", found.within_6_percent / tries, 1.0, _NEAR, 1.0, ""),
            Finding("intervals of 90% that hold it", found.covered / tries, 0.9, _LEAST, _MOST, ""),
            Finding("the longest search", found.longest_s, case.budget_s, 0.0, case.budget_s, "s"),
        ]
        yield Section(
            f"Capacity: {case}",
            f"{tries} tries of `capacity --slo 'p{100 * case.share:g}<{limit_ms:.1f}ms'`, simulated, of servers of "
            f"100 requests a second that meet it up to {case.capacity_per_s:g}/s; {found.decided} ended before their "
            f"{case.budget_s:.0f} s were over",
            findings,
        )
