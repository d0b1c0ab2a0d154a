"""Runs that were killed, told from their records: figures as of any run, and a certificate that vouches for none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from servemark.assessment.condensing import condensed_records
from servemark.assessment.gathering import recorded_span_ns
from servemark.assessment.open_loop import offered_per_s
from servemark.assessment.trials import over_trials
from servemark.benchmarks import headline_of
from servemark.certificate import certify, combine
from servemark.records import RecordFile
from servemark.result import BenchmarkResult, Check, LoadResult, OpenLoadResult, RunResult, answering
from servemark.stats.condensed import condensed_of
from servemark.stats.evidence import Evidence, Question, Window
from servemark.stats.gather import gather
from servemark.stats.summary import summarise
from servemark.units import NS_PER_S, ns_from_s

#: Of a run that was not killed this check is another.
_UNKNOWN = Check(
    "accounted",
    False,
    "servemark was killed before it had written this: what its generator had counted is lost, and these figures are "
    "told from the records alone; run again",
)


def rebuilt_run(begun: RunResult, records: Sequence[RecordFile]) -> RunResult:
    """The run that `begun` was to become, as far as its records go, in the files of its generators; there is one."""
    condensed = condensed_of(records)
    first_ns, last_ns = recorded_span_ns(records, condensed)
    exact = begun.load.exact is not None
    ended_ns = last_ns if exact else min(last_ns, _longest_ns(begun))
    window = Window(first_ns if exact else min(records[0].warmup_ns, ended_ns), ended_ns)
    question = Question(window=window, begins=tuple(range(len(records[0].step_names))))
    evidence = gather(records, question, condensed)
    return replace(
        begun,
        load=_told(begun, evidence),
        window_s=(window.start_ns / NS_PER_S, window.end_ns / NS_PER_S),
        certificate=certify([_UNKNOWN]),
        steps=summarise(evidence),
        condensed=condensed_records(evidence),
    )


def with_run(known: BenchmarkResult | None, begun: BenchmarkResult, run: RunResult) -> BenchmarkResult:
    """The benchmark with `run` in the place of the last run of `begun`; `known` is what is known of it otherwise."""
    runs = (*begun.runs[:-1], run)
    benchmark = known or begun
    trials = over_trials(runs, benchmark.trials, headline_of(begun.name)) if benchmark.trials else None
    counted = answering(runs, trials)
    headline = [one for one in counted.values() if not one.point]
    return replace(
        benchmark,
        partial=True,
        steps=headline[0].steps if headline else (),
        runs=runs,
        certificate=combine(tuple(counted.values())),
        trials=trials,
    )


def _longest_ns(run: RunResult) -> int:
    """The time, warm-up included, after which it would have sent nothing new."""
    load = run.load
    measured_s = (load.duration_s if load.until is None else load.until.longest_s or load.until.max_s) or 0.0
    return ns_from_s(run.warmup_s + measured_s)


def _told(run: RunResult, evidence: Evidence) -> LoadResult:
    """The load of a run, with whose time of arrival answers have, and the rate of arrivals of one request each."""
    load = replace(run.load, receive_clock=evidence.receive_clock)
    if not isinstance(load, OpenLoadResult) or len(evidence.step_names) > 1 or evidence.window.seconds <= 0:
        return load
    return replace(load, offered_per_s=offered_per_s(evidence.begun, evidence.window, exact=False))
