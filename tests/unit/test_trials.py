"""Trials: how often points are measured, which runs count, which one is shown, and what they come to together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

from bench.simulated import latencies_ms, result_of
from servemark.assessment.rebuilt import with_run
from servemark.assessment.trials import certificate_of_trials, over_trials, verdict_of_trials
from servemark.benchmarks import catalogue
from servemark.benchmarks.trials import asked_points
from servemark.cli.options import parse_run
from servemark.errors import UsageError
from servemark.options import RunRequest
from servemark.report.directory import result_text
from servemark.report.terminal import print_summary
from servemark.result import Certificate, Check, Result, RunResult, Statistic, Trials, Verdict, from_json, schema_text
from servemark.stats.trials import over_trials as statistic_over
from servemark.verdict import exit_status

INVALID = Certificate(False, (Check("accounted", False, "lost"),))
ASKED = Trials(5, False, ())


def _asked(
    name: str, invalid: Collection[int] = (), **options: Any
) -> Iterator[tuple[dict[str, int], int, bool, bool]]:
    """Of each execution that is asked for: values, trial, whether it repeats one, and on a fresh server.

    The executions at the places `invalid` are INVALID.
    """
    benchmark = catalogue()[name]
    defaults = {parameter.key: parameter.default for parameter in benchmark.parameters}
    points = asked_points(benchmark, RunRequest.of(name, **{"parameters": defaults, **options}))
    runs: list[SimpleNamespace] = []
    point = next(points, None)
    while point is not None:
        yield dict(point.values), point.trial, point.repeats, point.fresh_server
        valid = SimpleNamespace(valid=len(runs) not in invalid)
        runs.append(SimpleNamespace(point=dict(point.values), certificate=valid))
        try:
            point = points.send(SimpleNamespace(runs=tuple(runs)))
        except StopIteration:
            point = None


def test_a_trial_is_a_pass_over_all_points() -> None:
    asked = list(_asked("concurrent_inference", trials=2, parameters={"threads": (1, 4)}))
    assert [(values["threads"], trial) for values, trial, _, _ in asked] == [(1, 1), (4, 1), (1, 2), (4, 2)]
    assert not any(fresh for *_, fresh in asked)


def test_an_invalid_trial_is_repeated_once_at_the_end_of_its_pass() -> None:
    asked = list(_asked("latency", {1, 2}, trials=3))
    assert [(trial, repeats) for _, trial, repeats, _ in asked] == [(1, False), (2, False), (2, True), (3, False)]
    asked = list(_asked("concurrent_inference", {0}, trials=2, parameters={"threads": (1, 4)}))
    assert [(values["threads"], trial, repeats) for values, trial, repeats, _ in asked] == [
        *((1, 1, False), (4, 1, False), (1, 1, True)),
        *((1, 2, False), (4, 2, False)),
    ]


def test_a_single_trial_of_a_single_point_is_not_repeated() -> None:
    assert len(list(_asked("latency", {0}))) == 1


def test_a_fresh_server_is_started_for_each_trial_and_for_what_is_repeated() -> None:
    asked = list(_asked("latency", {1}, trials=3, fresh_server=True))
    assert [(trial, fresh) for _, trial, _, fresh in asked] == [(1, False), (2, True), (2, True), (3, True)]
    asked = list(_asked("concurrent_inference", trials=2, fresh_server=True, parameters={"threads": (1, 4)}))
    assert [fresh for *_, fresh in asked] == [False, False, True, False], "the points of a trial share one"


def test_only_a_server_of_ours_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--fresh-server and --server do not go together"):
        RunRequest.of("latency", server="127.0.0.1:8080", fresh_server=True, trials=2)
    with pytest.raises(UsageError, match="--fresh-server makes no sense with http"):
        parse_run("run", ["http", "http://127.0.0.1/", "--fresh-server", "--trials", "2"])
    suite = tmp_path / "mine.toml"
    suite.write_text('[[benchmark]]\nname = "latency"\ntrials = 3\nfresh_server = true\n')
    (entry,) = parse_run("run", ["--suite", str(suite)]).entries
    assert (entry.load.trials, entry.load.fresh_server) == (3, True)
    suite.write_text('[[benchmark]]\nname = "latency"\nfresh_server = "yes"\n')
    with pytest.raises(UsageError, match="fresh_server = 'yes' makes no sense"):
        parse_run("run", ["--suite", str(suite)])
    with pytest.raises(UsageError, match="101 is more than 100"):
        parse_run("run", ["latency", "--trials", "101"])
    with pytest.raises(UsageError, match="--threshold needs --against"):
        parse_run("run", ["latency", "--threshold", "5%"])


def test_the_median_has_an_interval_of_order_statistics_from_six_trials_on() -> None:
    few = statistic_over([Statistic(float(value), None, 1) for value in (5, 3, 4, 1, 2)])
    assert few is not None
    assert few.values == (5.0, 3.0, 4.0, 1.0, 2.0)
    assert few.median == Statistic(3.0, None, 6)
    enough = statistic_over([Statistic(float(value), None, 1) for value in range(1, 10)])
    assert enough is not None
    # Of 9 values the median is between the second and the eighth with 96%.
    assert enough.median == Statistic(5.0, (2.0, 8.0))
    assert statistic_over([Statistic(1.0, None, 1), Statistic(None, None, 1)]) is None


def test_what_trials_differ_by_is_told_apart_within_and_between() -> None:
    rng = np.random.default_rng(3)
    means, within, between = [], 1.0, 2.0
    for _ in range(200):
        values = 100 + between * rng.standard_normal(20) + within * rng.standard_normal(20)
        found = statistic_over([Statistic(value, (value - 1.96 * within, value + 1.96 * within)) for value in values])
        assert found is not None
        assert found.within_stddev == pytest.approx(1.0, abs=1e-3)
        means.append((found.stddev**2, found.between_stddev**2))
    assert np.mean(means, axis=0) == pytest.approx((5.0, 4.0), rel=0.05)
    alike = statistic_over([Statistic(7.0, (6.0, 8.0))] * 3)
    assert alike is not None
    assert (alike.stddev, alike.between_stddev) == (0.0, 0.0)


def _runs(*p50_ms: float, invalid: tuple[int, ...] = ()) -> tuple[RunResult, ...]:
    one = result_of(latencies_ms(np.random.default_rng(1), 1, between=0.0), "x").benchmarks[0].runs[0]
    made = []
    for place, value in enumerate(p50_ms):
        step = one.steps[0]
        latency = replace(step.service_ms, p50=Statistic(value, (value - 1, value + 1)))
        run = replace(one, trial=place + 1, steps=(replace(step, service_ms=latency),))
        made.append(replace(run, certificate=INVALID) if place in invalid else run)
    return tuple(made)


def test_the_run_with_the_median_headline_is_shown() -> None:
    (point,) = over_trials(_runs(30, 10, 50, 20, 40), ASKED, "response").points
    assert (point.counted, point.left_out, point.shown) == ((0, 1, 2, 3, 4), 0, 0)
    (point,) = over_trials(_runs(30, 10, 50, 20), ASKED, "response").points
    assert point.shown == 3, "of an even number the lower of the two in the middle"
    assert point.steps[0].figures["p50_ms"].median.value == 25.0
    (point,) = over_trials(_runs(30, 10, 50, 20, 40), ASKED, "response", cut_off=[0]).points
    assert (point.counted, point.shown) == ((1, 2, 3, 4), 3)


def test_of_a_repeated_trial_the_repetition_counts() -> None:
    first, second, third = _runs(30, 10, 20, invalid=(1,))
    runs = (first, second, replace(third, repeat_of=2))
    trials = over_trials(runs, ASKED, "response")
    assert (trials.points[0].counted, trials.points[0].left_out) == ((0, 2), 0)
    assert certificate_of_trials(runs, trials).valid
    again = (first, second, replace(third, repeat_of=2, certificate=INVALID))
    trials = over_trials(again, ASKED, "response")
    assert (trials.points[0].counted, trials.points[0].left_out) == ((0,), 1)


@pytest.mark.parametrize(("invalid", "valid"), [(0, True), (1, True), (2, False), (5, False)])
def test_more_than_a_third_of_the_trials_may_not_be_invalid(invalid: int, valid: bool) -> None:
    runs = _runs(30, 10, 50, 20, 40, invalid=tuple(range(invalid)))
    trials = over_trials(runs, ASKED, "response")
    certificate = certificate_of_trials(runs, trials)
    assert certificate.valid == valid
    (check,) = [check for check in certificate.checks if check.name == "trials"] or [None]
    assert (check is None) == (invalid == 0)
    if check:
        assert f"{invalid} of 5 trials were INVALID" in check.reason


def test_of_the_verdicts_on_trials_the_worst_counts() -> None:
    met, worse, missed = (Verdict("q", str(place), outcome) for place, outcome in enumerate(("met", "met", "missed")))
    assert verdict_of_trials([(0, met), (1, worse)], shown=1) == worse
    assert verdict_of_trials([(0, met), (1, worse), (2, missed)], shown=1) == missed


def test_a_run_that_was_killed_is_left_out_of_the_trials_before_it() -> None:
    (known,) = _result().benchmarks
    killed = replace(_runs(60.0)[0], trial=6, certificate=INVALID)
    whole = with_run(known, replace(known, runs=(*known.runs, killed)), killed)
    assert whole.trials is not None
    (point,) = whole.trials.points
    assert (point.counted, point.left_out, point.shown) == ((0, 1, 2, 3, 4), 1, 0)
    assert whole.partial
    assert whole.steps == known.steps


def _result(**options: Any) -> Result:
    runs = _runs(30, 10, 50, 20, 40, **options)
    trials = over_trials(runs, replace(ASKED, fresh_server=True), "response")
    base = result_of(latencies_ms(np.random.default_rng(1), 1, between=0.0), "x")
    (benchmark,) = base.benchmarks
    shown = runs[trials.points[0].shown]
    certificate = certificate_of_trials(runs, trials)
    changed = replace(benchmark, runs=runs, steps=shown.steps, trials=trials, certificate=certificate)
    return replace(base, benchmarks=(changed,))


def test_trials_are_in_the_document_and_come_back_as_they_were() -> None:
    result = _result(invalid=(2,))
    document = json.loads(result_text(result))
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(document)
    assert document["benchmarks"][0]["trials"]["points"][0]["left_out"] == 1
    assert from_json(document) == result
    assert list(result.benchmarks[0].answering) == [3], "of 10, 20, 30 and 40 that with the lower median"


def test_one_trial_changes_nothing_in_the_document() -> None:
    document = json.loads(result_text(result_of(latencies_ms(np.random.default_rng(1), 1, between=0.0), "x")))
    assert "comparison" not in document
    assert "trials" not in document["benchmarks"][0]
    assert "repeat_of" not in document["benchmarks"][0]["runs"][0]


def test_the_terminal_shows_the_medians_and_what_trials_differ_by(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(_result(), Path("x"))
    printed = capsys.readouterr().out
    assert printed.startswith("latency simulated: p50 30.0 ms, p99 ")
    assert ", median of 5 trials" in printed.splitlines()[0]
    told = " ".join(printed.split())
    assert "trials 5 trials of 5 asked for, server restarted between them" in told
    assert "shown is that with the median headline, run 1" in told
    (row,) = [row for row in printed.splitlines() if row.startswith("p50 ms")]
    assert row.split()[2] == "30.00"
    assert "needs 6 trials" in row
    print_summary(_result(invalid=(2,)), Path("x"))
    assert "4 trials (1 INVALID left out) of 5 asked for" in " ".join(capsys.readouterr().out.split())


def test_the_exit_status_is_that_of_the_trials() -> None:
    assert exit_status(_result(invalid=(2,)), allow_invalid=False) == 0
    assert exit_status(_result(invalid=(2, 3)), allow_invalid=False) == 3
    undecided = Verdict("q", "a", "undecided")
    result = _result()
    result = replace(result, benchmarks=(replace(result.benchmarks[0], verdicts=(undecided,)),))
    assert exit_status(result, allow_invalid=False) == 0
    assert exit_status(result, allow_invalid=False, strict=True) == 1
