"""How long a run lasts whose length adapts: until its figures are as exact as they are to be.

A look at the records so far is a thread of its own, with little priority: the server and the generator do not wait for
it. It happens at a few times only, and each of these could be the lucky one: so a figure counts as exact where the
interval is that narrow at which all looks together are wrong in 5% (Bonferroni).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from servemark.engines import Figure, Job, ProgressReport
from servemark.errors import RecordingError
from servemark.units import ns_from_s
from servemark.workload.load import Until
from servemark.workload.plan import headline_step

#: Of the records of so long a time the writer may still hold some.
_UNWRITTEN_S = 0.5
_NICENESS = 10
_ALPHA = 0.05


@dataclass(frozen=True)
class Precision:
    """How exact a run is so far: whether that is enough, and in words how far it is."""

    suffices: bool
    words: str


class Length:
    """Says when a run has lasted long enough.

    Args:
        until: what it is to reach.
        figure: that it is to be exact in.
        step: of the plan, the one that the headline is of.
        record_paths: where its records are written meanwhile, by each generator.
        warmup_ns: how long its warm-up is.
    """

    def __init__(self, until: Until, figure: Figure, step: str, record_paths: Sequence[Path], warmup_ns: int) -> None:
        self._until = until
        self._looks_ns = [ns_from_s(look_s) for look_s in until.looks_s] if until.precision is not None else []
        self._look: Callable[[int], Precision] = lambda end_ns: look(
            record_paths, (warmup_ns, end_ns), step, figure, until
        )
        self._warmup_ns = warmup_ns
        self._thread: threading.Thread | None = None
        self._found = Precision(suffices=until.precision is None, words="")

    @classmethod
    def of(cls, job: Job) -> Length | None:
        """The length of a run that adapts; None of one whose length does not."""
        foreground = (group.load for group in job.plan.groups if not group.background)
        until = next((load.until for load in foreground if load.until), None)
        if until is None:
            return None
        step = headline_step(job.plan.groups)
        return cls(until, job.figure, step, job.record_paths, job.compiled.warmup_ns)

    @property
    def words(self) -> str:
        """How far it is, for people; empty before the first look."""
        return self._found.words

    def end_ns(self, progress: ProgressReport, behind_ns: int = 0) -> int | None:
        """When to stop, once that is known; it may have passed.

        For `behind_ns` what has been written may not be in the files of records yet: it is not looked at.
        """
        measured_ns = progress.elapsed_ns - self._warmup_ns
        here_ns = measured_ns - behind_ns
        enough = progress.measured_succeeded >= self._until.successes
        if self._looks_ns and here_ns >= self._looks_ns[0] and (self._thread is None or not self._thread.is_alive()):
            self._looks_ns = [look_ns for look_ns in self._looks_ns if look_ns > here_ns]
            upto_ns = progress.elapsed_ns - behind_ns - ns_from_s(_UNWRITTEN_S)
            self._thread = threading.Thread(target=self._see, args=(upto_ns,), daemon=True)
            self._thread.start()
        if enough and (self._found.suffices or measured_ns >= ns_from_s(self._until.max_s)):
            return max(self._warmup_ns + ns_from_s(self._until.min_s), progress.elapsed_ns)
        return None

    def _see(self, upto_ns: int) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        with suppress(RecordingError):  # which the end of the run will say
            self._found = self._look(upto_ns)


def look(
    record_paths: Sequence[Path], window_ns: tuple[int, int], step: str, figure: Figure, until: Until
) -> Precision:
    """How exact the figures of the records are that were scheduled from the one time to the other.

    Raises:
        RecordingError: they cannot be read.
    """
    # What computes is loaded when there is something to compute: the first request does not wait for it.
    from servemark.records import open_records
    from servemark.stats.evidence import Question, Window
    from servemark.stats.gather import gather
    from servemark.stats.summary import summarise

    assert until.precision is not None
    evidence = gather([open_records(path) for path in record_paths], Question(window=Window(*window_ns)))
    summary = next(one for one in summarise(evidence) if one.name == step)
    wider = NormalDist().inv_cdf(1 - _ALPHA / 2 / len(until.looks_s)) / NormalDist().inv_cdf(1 - _ALPHA / 2)
    figures = {"p50": summary.headline_ms.p50, "rate": summary.throughput_per_s, "p99": summary.headline_ms.p99}
    wanted: dict[str, float] = {figure: until.precision}
    if until.p99_precision is not None:
        wanted = {"p50": until.precision, "rate": until.precision, "p99": until.p99_precision}
    suffices, words = figures["p99"].ci95 is not None, []
    for name, precision in wanted.items():
        value, ci95 = figures[name].value, figures[name].ci95
        if not ci95 or not value:
            suffices = False
            words.append(f"{name} has no interval yet")
            continue
        half_share = wider * (ci95[1] - ci95[0]) / 2 / value
        suffices = suffices and half_share <= precision
        words.append(f"{name} within {half_share:.1%}, aim {precision:.1%}")
    if figures["p99"].ci95 is None and "p99" not in wanted:
        words.append("p99 has no interval yet")
    return Precision(suffices, ", ".join(words))
