"""Pauses: when threads of the generator did not run although they had to, and what of that was in the measured time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: A time of the run: from when to when, in nanoseconds since its start.
Span = tuple[int, int]


@dataclass(frozen=True)
class ThreadPauses:
    """The pauses of one thread.

    Attributes:
        total_ns: how long they were, together.
        spans_ns: the longest of them.
    """

    total_ns: int = 0
    spans_ns: tuple[Span, ...] = ()

    def within_ns(self, window_ns: Span, *, but: Span | None = None) -> int:
        """How long it paused in that time, `but` for one pause.

        What is not among the longest may have been at any time.
        """
        listed_ns = sum(overlap_ns(span, window_ns) for span in self.spans_ns if span != but)
        unlisted_ns = self.total_ns - sum(ended - began for began, ended in self.spans_ns)
        return min(listed_ns + max(unlisted_ns, 0), max(window_ns[1] - window_ns[0], 0))

    def begun_before_ns(self, window_ns: Span) -> int:
        """How long of that time it paused at its beginning, since before."""
        return sum(overlap_ns(span, window_ns) for span in self.spans_ns if span[0] < window_ns[0])


@dataclass(frozen=True)
class Pauses:
    """The pauses of all threads of a generator, or of several."""

    threads: tuple[ThreadPauses, ...] = ()

    @classmethod
    def of_all(cls, several: Iterable[Pauses]) -> Pauses:
        """Join those of several generators."""
        return cls(tuple(thread for one in several for thread in one.threads))

    @property
    def total_ns(self) -> int:
        """How long the thread that paused most did."""
        return max((thread.total_ns for thread in self.threads), default=0)

    def longest_ns(self, from_ns: int = 0) -> Span:
        """Name the pause that went on for the longest behind `from_ns`; without one an empty time."""
        spans_ns = [(max(span[1] - max(span[0], from_ns), 0), span) for one in self.threads for span in one.spans_ns]
        lasted_ns, longest_ns = max(spans_ns, default=(0, (0, 0)))
        return longest_ns if lasted_ns else (0, 0)


NO_PAUSES = Pauses()


def overlap_ns(one: Span, other: Span) -> int:
    """How long both last at once."""
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0)
