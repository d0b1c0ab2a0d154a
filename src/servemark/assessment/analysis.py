"""What the runs of a benchmark show together: a scalability law, a Pareto front, registrations, calls that scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from servemark.assessment.measured import Measured
from servemark.benchmarks import Question
from servemark.records import begun_ns, rows_of, span_ns
from servemark.result import (
    Analysis,
    Background,
    ClosedLoadResult,
    NotFitted,
    Predictions,
    Registration,
    Registrations,
    RunResult,
    Scaling,
    ScalingCalls,
    Stage,
)
from servemark.stats.percentiles import distribution_of
from servemark.stats.scalability import fit_scalability, pareto_front
from servemark.stats.scaling import Calls, overlapping, scaling_calls
from servemark.units import NS_PER_MS, NS_PER_S
from servemark.workload.load import OpenLoad

_RATE_IS_GIVEN = "in an open loop the rate is given, not found"


def analyse(
    asked: Question | None, measured: Sequence[Measured], counted: Mapping[int, RunResult], stages: Sequence[Stage]
) -> Analysis | None:
    """The answer to what a benchmark asks of its runs; None when nothing is asked.

    `counted` are the runs that answer for their points, by their place among those `measured`. What is asked of a
    profile of rates, whatever the benchmark, are its `stages`.
    """
    answers = _answers(asked, measured, counted) if asked else None
    return replace(answers or Analysis(), stages=tuple(stages)) if stages else answers


def _answers(asked: Question, measured: Sequence[Measured], counted: Mapping[int, RunResult]) -> Analysis:
    places, runs = tuple(counted), tuple(counted.values())
    if asked == "registrations":
        return Analysis(registrations=_registrations(measured[places[-1]]))
    if asked == "scaling":
        return Analysis(scaling=_scaling([measured[place] for place in places]))
    steps = [run.steps[0] for run in runs]
    rates = np.array([step.throughput_per_s.value or 0.0 for step in steps])
    if asked == "scalability" and isinstance(measured[0].point.load, OpenLoad):
        return Analysis(scalability=NotFitted(_RATE_IS_GIVEN))
    if asked == "scalability":
        users = [float(run.load.users) for run in runs if isinstance(run.load, ClosedLoadResult)]
        fit = fit_scalability(np.array(users), rates)
        return Analysis(scalability=NotFitted(fit) if isinstance(fit, str) else fit)
    answered = [index for index, step in enumerate(steps) if step.headline_ms.p99.value is not None]
    p99_ms = np.array([steps[index].headline_ms.p99.value for index in answered], dtype=np.float64)
    front = pareto_front(rates[answered], p99_ms)
    return Analysis(pareto_runs=tuple(places[answered[index]] for index in front))


def _registrations(measured: Measured) -> Registrations:
    """How long each model took to register, all of them together, and their removal; times in seconds."""
    rows, header = rows_of(measured.records), measured.records[0]
    names = measured.plan.registers
    each = {
        names[row["step"]]: Registration(
            response_s=float(row["end"] - begun) / NS_PER_S,
            error=header.error_kinds[row["kind"]] if row["kind"] else None,
        )
        for row, begun in zip(rows, begun_ns(rows, header.flags), strict=True)
    }
    first_ns, last_ns = span_ns(measured.records)
    removal = measured.removal
    return Registrations(
        total_s=(last_ns - first_ns) / NS_PER_S,
        models={name: each[name] for name in names if name in each},
        removal_s=removal.seconds if removal else None,
        removal_failures=dict(removal.failures) if removal else {},
    )


def _scaling(measured: Sequence[Measured]) -> Scaling:
    """How long until the workers were really there, up and down; and what that did to the predictions meanwhile."""
    scaled = measured[-1]
    rows, names = rows_of(scaled.records), scaled.records[0].step_names
    if scaled.point.values:  # interrupted before anything was scaled
        return Scaling(None, None, None)
    steps = {to: (names.index(f"scale_{to}"), names.index(f"read_{to}")) for to in ("up", "down")}
    ended_by_itself = scaled.point.load.scenarios is not None and not scaled.engine_run.interrupted
    own = rows["scheduled"][np.isin(rows["step"], [*steps["up"], *steps["down"]])]
    cut_off_ns = None if ended_by_itself or not len(own) else int(own.max())
    start_ns = scaled.compiled.warmup_ns
    up, down = (scaling_calls(rows, *steps[to], cut_off_ns).since(start_ns) for to in ("up", "down"))
    made = {
        to: int(((rows["step"] == call) & (rows["scheduled"] >= start_ns)).sum()) for to, (call, _) in steps.items()
    }
    background = None
    if len(measured) > 1:
        background = _background(measured[0], rows[rows["step"] == names.index("predict")], (up, down))
    return Scaling(_settled(up, made["up"]), _settled(down, made["down"]), background)


def _settled(calls: Calls, made: int) -> ScalingCalls:
    """What became of the calls of one direction, of which `made` were begun in the measured time."""
    took_ns = calls.took_ns
    return ScalingCalls(
        calls=len(calls.start_ns),
        failed=len(calls.start_ns) - len(took_ns),
        unfinished=made - len(calls.start_ns),
        settled_ms=distribution_of(took_ns),
    )


def _background(alone: Measured, rows: NDArray[np.void], directions: tuple[Calls, Calls]) -> Background:
    """The predictions that were under way while the model was scaled, beside those of the same users before.

    A slowed one is a success that took longer than the 99th percentile of those before.
    """
    before = rows_of(alone.records)
    before = before[before["scheduled"] >= alone.compiled.warmup_ns]
    flags = alone.records[0].flags
    usual = distribution_of(_successes_ns(before, flags))
    starts_ns = np.concatenate([calls.start_ns for calls in directions])
    ends_ns = np.concatenate([calls.ended_ns for calls in directions])
    during = rows[overlapping(rows, starts_ns, ends_ns)]
    took_ns = _successes_ns(during, flags)
    slowed = None if usual.p99 is None else int((took_ns > usual.p99 * NS_PER_MS).sum())
    return Background(
        users=alone.point.load.most_in_flight,
        alone=Predictions(len(before), _failed(before), usual),
        while_scaling=Predictions(len(during), _failed(during), distribution_of(took_ns), slowed),
    )


def _successes_ns(rows: NDArray[np.void], flags: Mapping[str, int]) -> NDArray[np.int64]:
    """The latency that answers for the successes: of a closed loop the service time."""
    good = rows[rows["kind"] == 0]
    took: NDArray[np.int64] = good["end"] - begun_ns(good, flags)
    return took


def _failed(rows: NDArray[np.void]) -> int:
    return int((rows["kind"] != 0).sum())
