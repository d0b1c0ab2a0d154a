"""The progress of a run in words: what is done now, for how long yet, how it goes, and how far its figures are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servemark.engines import ProgressReport
from servemark.report.recent import WINDOW_S, Recent
from servemark.units import NS_PER_S, format_ms
from servemark.workload.load import Load, OpenLoad

#: What is still under way when the time is over is there within this, unless the server lags behind.
_AT_ONCE_S = 1.0


@dataclass(frozen=True)
class RunUnderWay:
    """A run that is under way.

    Attributes:
        counts: of it so far.
        load: that it is of.
        words: how far its figures are from what they are to be; empty where nobody looks.
        records: the files that its records are written to meanwhile; some engines write theirs at the end.
        step: the name of the headline's step.
        requests: how many there will be in all, where that is known.
    """

    counts: ProgressReport
    load: Load
    words: str = ""
    records: tuple[Path, ...] = ()
    step: str = ""
    requests: int | None = None

    @property
    def elapsed_s(self) -> float:
        """The time for which it has been sent."""
        return self.counts.elapsed_ns / NS_PER_S

    @property
    def is_open(self) -> bool:
        """Whether it is an open loop."""
        return isinstance(self.load, OpenLoad)


def state(run: RunUnderWay) -> str:
    """What is done now, for how long so far and at most, and how many requests there were."""
    counts, load, elapsed_s, ends_s = run.counts, run.load, run.elapsed_s, _ends_s(run)
    done = f"{counts.succeeded} succeeded" + (f", {counts.failed} failed" if counts.failed else "")
    if ends_s is not None and elapsed_s >= ends_s + _AT_ONCE_S:
        what = "the backlog" if run.is_open else "the last answers"
        beyond = f"{elapsed_s - ends_s:.0f} s beyond the {_rounded(ends_s)} s of load"
        return f"awaiting {what}: {counts.in_flight} left, {beyond}; {done}"
    under_way = f", {counts.in_flight} under way" if run.is_open else ""
    doing = "warming up" if elapsed_s < load.warmup_s else "measuring"
    at_most = " of" if load.until is None else " of at most"
    limit = f"{at_most} {_rounded(ends_s)}" if ends_s is not None else ""
    return f"{doing}: {int(elapsed_s)}{limit} s{_left(run)}, {done}{under_way}"


def _rounded(seconds: float) -> str:
    """What a search is given for a probe has any number of decimals, of which nobody can see more than one."""
    return f"{round(seconds, 1):g}"


def _ends_s(run: RunUnderWay) -> float | None:
    """After which nothing more is sent, as far as that is known now; None where a number of requests ends it."""
    until, load = run.load.until, run.load
    if until is not None:
        usual_s = load.warmup_s + until.max_s
        if run.elapsed_s < usual_s or run.counts.measured_succeeded >= until.successes:
            return usual_s  # beyond which only a slow model goes
    return load.longest_s


def _left(run: RunUnderWay) -> str:
    """Say how long the rest of a number of requests will take, if it goes on as it did."""
    done = run.counts.succeeded + run.counts.failed
    if not run.requests or not done:
        return ""
    return f", about {run.elapsed_s * max(run.requests - done, 0) / done:.0f} s left"


def rates(run: RunUnderWay, recent: Recent) -> str:
    """The rate of the last seconds; of an open loop beside what was offered. Empty before it is known."""
    if recent.achieved_per_s is None or recent.offered_per_s is None:
        return ""
    return per_s(recent.achieved_per_s) + (f" of {per_s(recent.offered_per_s)} offered" if run.is_open else "")


def latencies(recent: Recent) -> str:
    """The median and p99 of the last seconds, as far as they are known."""
    found = (("p50", recent.p50_ms), ("p99", recent.p99_ms))
    return ", ".join(f"{name} {format_ms(value)}" for name, value in found if value is not None)


def failures(run: RunUnderWay, recent: Recent) -> str:
    """What failed, by kind, the most frequent first, and how many of which it is not known yet; empty of none."""
    kinds = sorted(recent.errors.items(), key=lambda item: (-item[1], item[0]))
    unknown = run.counts.failed - sum(recent.errors.values())
    more = [f"{unknown} more"] if kinds and unknown > 0 else []
    return ", ".join([*(f"{count} {kind}" for kind, count in kinds), *more])


def line(run: RunUnderWay, recent: Recent) -> str:
    """All of it in one line."""
    lately = ", ".join(filter(None, (rates(run, recent), latencies(recent))))
    lately = f"last {WINDOW_S} s: {lately}" if lately else ""
    return "; ".join(filter(None, (state(run), lately, failures(run, recent), run.words)))


def per_s(rate: float) -> str:
    """A rate in three digits or more."""
    digits = 0 if rate >= 100 else 1 if rate >= 10 else 2
    return f"{rate:.{digits}f}/s"
