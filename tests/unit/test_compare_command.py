"""``servemark compare``: its answer, its exit status, and what it refuses, over results of simulated servers."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from bench.simulated import latencies_ms, result_of
from servemark.cli import main
from servemark.report.directory import result_text
from servemark.result import (
    STATISTICS,
    Certificate,
    Check,
    CondensedRecords,
    Result,
    Statistic,
    StepSummary,
    schema_text,
)
from servemark.verdict import errors_within

from .test_capacity_words import FOUND

INVALID = Certificate(False, (Check("accounted", False, "lost"),))


def simulated(seed: int, trials: int = 5, slower: float = 0.0, *, spread: float = 0.01) -> Result:
    rng = np.random.default_rng(seed)
    return result_of((1 + slower) * latencies_ms(rng, trials, between=spread, autocorrelation=0.0), f"result-{seed}")


def changed(result: Result, **changes: Any) -> Result:
    return replace(result, benchmarks=(replace(result.benchmarks[0], **changes),))


def with_load(result: Result, **changes: Any) -> Result:
    runs = tuple(replace(run, load=replace(run.load, **changes)) for run in result.benchmarks[0].runs)
    return changed(result, runs=runs)


@pytest.fixture
def compare(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """The status, the output and the errors of a comparison of two results, or of texts that may be none."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(base: Result | str, new: Result | str, *words: str) -> tuple[int, str, str]:
        for name, one in (("base", base), ("new", new)):
            (tmp_path / name).mkdir(exist_ok=True)
            text = one if isinstance(one, str) else result_text(one)
            (tmp_path / name / "result.json").write_text(text, encoding="utf-8")
        capsys.readouterr()
        status = main(["compare", "base", "new", *words], "servemark")
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_what_is_slower_is_said_first_and_exits_1(compare) -> None:
    status, out, _ = compare(simulated(1), simulated(2, slower=0.1))
    assert status == 1
    first, *rest = out.splitlines()
    assert first.startswith("slower: predict ")
    assert ", p 0.024" in first
    assert "%" in first
    rows = {row.split("  ")[0]: row for row in rest}
    assert rows["p50 ms"].endswith("slower")
    assert "slower" not in rows["p90 ms"], "it belongs to no headline"
    assert max(map(len, rest)) <= 80


def test_what_is_faster_exits_0(compare) -> None:
    status, out, _ = compare(simulated(1, slower=0.1), simulated(2))
    assert status == 0
    assert out.startswith("faster: predict ")


def condensed(result: Result) -> Result:
    """The same, of records that were condensed."""
    found = CondensedRecords(1_000, 1 / 1024, 0.25, ())
    return changed(result, runs=tuple(replace(run, condensed=found) for run in result.benchmarks[0].runs))


def test_a_change_of_condensed_percentiles_is_as_exact_as_their_bins(compare, tmp_path: Path) -> None:
    """One that is no more is none, however sure it is, and however small the threshold; a rate is exact."""
    one_ms = latencies_ms(np.random.default_rng(1), 1, between=0.0)
    trials_ms = np.repeat(one_ms, 5, axis=0) * (1 + 1e-6 * np.arange(5)[:, None])
    sides = result_of(trials_ms, "one"), result_of(1.0015 * trials_ms, "other")
    words = ("--threshold", "0.01%", "--step", "predict", "--json", str(tmp_path / "found.json"))
    assert compare(*sides, *words)[0] == 1
    exact = {
        one["figure"]: one for one in json.loads((tmp_path / "found.json").read_text())["benchmarks"][0]["changes"]
    }
    status, out, _ = compare(*map(condensed, sides), *words)
    found = json.loads((tmp_path / "found.json").read_text())
    schema = json.loads(schema_text())
    jsonschema.validate(found, {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/comparison"})
    changes = {one["figure"]: one for one in found["benchmarks"][0]["changes"]}
    assert (exact["p50_ms"]["answer"], changes["p50_ms"]["answer"]) == ("slower", "no difference")
    assert changes["p50_ms"]["inexact_share"] == pytest.approx(2 / 1024)
    assert changes["p50_ms"]["smallest_share"] >= 2 / 1024
    assert changes["p50_ms"]["ci95"][0] == pytest.approx(exact["p50_ms"]["ci95"][0] - 2 / 1024)
    assert [changes[name]["inexact_share"] for name in ("mean_ms", "throughput_per_s")] == [0, 0]
    assert (changes["throughput_per_s"]["answer"], status) == (exact["throughput_per_s"]["answer"], 1)
    said = " ".join(out.split())
    assert (
        "percentiles are of condensed records: a change of one is exact to 0.2% of the base; no more than that" in said
    )


def test_condensed_records_hide_no_change_that_is_more(compare) -> None:
    status, out, _ = compare(simulated(1), condensed(simulated(2, slower=0.1)))
    assert (status, out.startswith("slower: predict ")) == (1, True)
    said = " ".join(out.split())
    assert "a change of one is exact to 0.1% of the base" in said
    assert "no more than that" not in said


def test_no_difference_says_what_could_have_been_shown(compare) -> None:
    status, out, _ = compare(simulated(1, 10), simulated(2, 10))
    assert status == 0
    assert out.startswith("no difference: ")
    assert "10 trials and 10 could have shown" in out.replace("\n", " ")
    (row,) = [row for row in out.splitlines() if row.startswith("p50 ms")]
    assert row.split("no difference ")[1].startswith("(")
    status, out, _ = compare(simulated(1, 10), simulated(2, 10, slower=0.03), "--threshold", "20%")
    assert out.startswith("no difference: "), "a change of less than the threshold is none, however certain"


@pytest.mark.parametrize(("words", "expected"), [((), 0), (("--strict",), 1)])
def test_too_few_trials_leave_it_undecided_and_say_how_many_it_takes(compare, words, expected: int) -> None:
    status, out, _ = compare(simulated(1, 1), simulated(2, 4, slower=0.5), *words)
    assert status == expected
    assert out.startswith("undecided: 1 trial and 4 can show nothing, 5 and 5 could")
    assert out.splitlines()[-1].split(maxsplit=1) == ["next", "servemark run latency --trials 5"]


def test_the_next_command_measures_the_side_that_lacks_trials(compare) -> None:
    def measured(seed: int, trials: int, *words: str) -> Result:
        return replace(simulated(seed, trials), command=("servemark run", "latency", *words))

    old, new = ("-w", "1"), ("-w", "2")
    for base, other, expected in (
        (1, 5, ["latency -w 1 --trials 5"]),
        (5, 1, ["latency -w 2 --trials 5"]),
        (1, 4, ["latency -w 1 --trials 5", "latency -w 2 --trials 5"]),
        (5, 5, []),
    ):
        _, out, _ = compare(measured(1, base, *old), measured(2, other, *new))
        found = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("next")]
        assert found == [f"servemark run {words}" for words in expected]


def test_the_comparison_as_json_is_of_its_schema(compare, tmp_path: Path) -> None:
    schema = json.loads(schema_text())
    wanted = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/comparison"}
    status, out, _ = compare(simulated(1), simulated(2, slower=0.1), "--json", "-")
    document = json.loads(out)
    jsonschema.Draft202012Validator(wanted).validate(document)
    assert status == 1
    assert document["schema"] == "servemark/comparison/1"
    assert document["benchmarks"][0]["trials"] == [5, 5]
    p50 = next(change for change in document["benchmarks"][0]["changes"] if change["figure"] == "p50_ms")
    assert p50["change_share"] == pytest.approx(0.1, abs=0.04)
    assert len(p50["base"]) == 5
    status, out, _ = compare(simulated(1), simulated(2), "--json", str(tmp_path / "comparison.json"))
    jsonschema.Draft202012Validator(wanted).validate(json.loads((tmp_path / "comparison.json").read_text()))
    assert "no difference" in out


UNLIKE = {
    "python": lambda result: replace(result, environment=replace(result.environment, python="3.1")),
    "machine": lambda result: replace(result, environment=replace(result.environment, cpus=64)),
    "engine": lambda result: replace(result, tool=replace(result.tool, engine="jmeter")),
    "jdk": lambda result: replace(result, server={**_server(result), "java": "8"}),
    "server_python": lambda result: replace(result, server={**_server(result), "versions": {"python": "3.9"}}),
    "model": lambda result: changed(result, archive={"sha256": "b" * 64}),
    "backend": lambda result: changed(result, backend="onnx"),
    "inputs": lambda result: changed(result, options=replace(result.benchmarks[0].options, input_sha256="b" * 64)),
    "parameter count": lambda result: changed(
        result, options=replace(result.benchmarks[0].options, parameters={"count": 2})
    ),
    "load users": lambda result: with_load(result, users=2),
    "load duration_s": lambda result: with_load(result, duration_s=None),
    "receive_clock": lambda result: with_load(result, receive_clock="user"),
    "realtime": lambda result: with_load(result, realtime="rr 1"),
    "setting workers": lambda result: changed(
        result,
        runs=tuple(replace(run, server={"requested": {}, "read_back": {"workers": 4}}) for run in _runs(result)),
    ),
    "setting job_queue_size": lambda result: replace(
        result, server={**_server(result), "config": {"job_queue_size": "7", "inference_address": "http://h:2"}}
    ),
}


def _server(result: Result) -> dict[str, Any]:
    return dict(result.server or {})


def _runs(result: Result) -> Any:
    return result.benchmarks[0].runs


def told(result: Result) -> Result:
    """With all that comparisons hold against each other."""
    config = {"job_queue_size": "100", "inference_address": "http://h:1"}
    server = {"product": "MMS", "version": "1", "launcher": "managed", "java": "17", "config": config}
    options = replace(result.benchmarks[0].options, input_sha256="a" * 64, parameters={"count": 1})
    runs = tuple(replace(run, server={"requested": {}, "read_back": {"workers": 2}}) for run in _runs(result))
    archive = {"origin": "m.mar", "sha256": "a" * 64, "size_bytes": 1, "format": "mar", "handler": "h"}
    result = changed(result, options=options, runs=runs, backend="mxnet", archive=archive)
    return replace(result, server={**server, "versions": {"python": "3.11", "mxnet": "1.9"}})


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_runs_are_refused_by_naming_what_differs(compare, name: str) -> None:
    base, new = told(simulated(1)), UNLIKE[name](told(simulated(2)))
    status, out, err = compare(base, new)
    assert (status, out) == (2, "")
    assert "unlike runs: " in err
    assert f"{name} " in err.split("unlike runs: ")[1]
    assert err.split("unlike runs: ")[1].count(" and ") == 1, "it is all that differs"
    assert "--force" in err


def test_force_compares_them_all_the_same_and_marks_it(compare) -> None:
    base, new = told(simulated(1)), UNLIKE["load users"](told(simulated(2)))
    status, out, _ = compare(base, new, "--force")
    assert status == 0
    assert "of unlike runs, as --force has it" in " ".join(out.split())
    assert "load users 1 and 2" in out
    document = json.loads(compare(base, new, "--force", "--json", "-")[1])
    assert document["forced"] is True
    assert document["benchmarks"][0]["unlike"] == {"load users": ["1", "2"]}
    assert json.loads(compare(base, base, "--force", "--json", "-")[1])["forced"] is False, "nothing was overridden"


def test_one_result_that_is_named_twice_is_told_whatever_path_leads_to_it(compare) -> None:
    base = told(simulated(1))
    assert compare(base, replace(told(simulated(2)), id="another"))[2] == ""
    status, _, err = compare(base, base)
    assert status == 0
    assert err == f"servemark: new and base are one result ({base.id}), compared with itself\n"


def test_a_negative_threshold_is_a_value_and_no_option(compare) -> None:
    status, _, err = compare(simulated(1), simulated(2), "--threshold", "-5%")
    assert (status, "argument --threshold: -5% is not between 0% and 100%" in err) == (2, True)
    assert "--threshold needs a value" in compare(simulated(1), simulated(2), "--threshold")[2]


def test_another_server_is_what_is_compared_and_is_told(compare) -> None:
    newer = told(simulated(2))
    newer = replace(newer, server={**_server(newer), "version": "2", "source": {"commit": "abcdef012", "dirty": True}})
    base = told(simulated(1))
    base = replace(base, server={**_server(base), "source": {"commit": "0123456789"}})
    status, out, _ = compare(base, newer)
    assert status == 0
    assert "server MMS 1 managed, now MMS 2 managed" in out
    assert "commit 0123456, now abcdef0 with changes" in out


def test_a_side_without_any_valid_trial_exits_2(compare) -> None:
    invalid = simulated(2)
    invalid = changed(invalid, runs=tuple(replace(run, certificate=INVALID) for run in _runs(invalid)))
    for pair in ((simulated(1), invalid), (invalid, simulated(1))):
        status, out, err = compare(*pair)
        assert (status, out) == (2, "")
        assert "has no valid trial" in err


def test_invalid_trials_are_left_out_and_counted(compare) -> None:
    some = simulated(2, 6)
    first, *others = _runs(some)
    status, out, _ = compare(simulated(1), changed(some, runs=(replace(first, certificate=INVALID), *others)))
    assert status == 0
    assert "5 of the base, 5 of the new; left out, INVALID, cut off or failed: 0 and 1" in " ".join(out.split())


def with_steps(result: Result, change: Any, of: Collection[int] = range(99)) -> Result:
    """With the steps of these runs as `change` makes them."""
    runs = (
        replace(run, steps=tuple(map(change, run.steps))) if place in of else run
        for place, run in enumerate(_runs(result))
    )
    return changed(result, runs=tuple(runs))


def failing(share: float) -> Any:
    """What has that share of requests fail, quickly: what is measured is of the others."""

    def change(step: StepSummary) -> StepSummary:
        failed = round(share * step.requests)
        return replace(step, succeeded=step.requests - failed, errors={"http_status:500": failed})

    return change


def dead(step: StepSummary) -> StepSummary:
    """A step whose requests all failed."""
    nothing = Statistic(None, None, needs_n=100)
    times = replace(step.service_ms, **dict.fromkeys(STATISTICS, nothing), min=None, max=None)
    rate = replace(nothing, value=0.0)
    return replace(failing(1.0)(step), measured=0, service_ms=times, response_ms=times, throughput_per_s=rate)


def too_many_failed(result: Result) -> Result:
    """With the verdict of ``--max-errors`` on its first run that has failures."""
    failed = max((run.steps[0] for run in _runs(result)), key=lambda step: step.failed)
    return changed(result, verdicts=(errors_within(failed, 0.01),))


def test_who_fails_more_is_not_faster_however_quick_the_others_are(compare) -> None:
    status, out, _ = compare(simulated(1), with_steps(simulated(2, slower=-0.1), failing(0.4)))
    assert status == 1
    assert out.startswith("fails more: 40% of the requests of predict, 0% in the base, p 0.008\n")
    (row,) = [row.split() for row in out.splitlines() if row.startswith("errors %")]
    assert row == ["errors", "%", "0", "40", "-", "-", "0.008", "fails", "more"]
    found = json.loads(compare(simulated(1), with_steps(simulated(2), failing(0.4)), "--json", "-")[1])
    (errors,) = [one for one in found["benchmarks"][0]["changes"] if one["figure"] == "errors_share"]
    assert (errors["base"], errors["new"], errors["answer"]) == ([0.0] * 5, [0.4] * 5, "fails more")
    schema = json.loads(schema_text())
    jsonschema.validate(found, {"$defs": schema["$defs"], "$ref": "#/$defs/comparison"})


def test_who_fails_as_much_or_less_than_before_is_compared_by_what_succeeded(compare) -> None:
    often = with_steps(simulated(1, slower=0.1), failing(0.4))
    for new in (with_steps(simulated(2), failing(0.4)), with_steps(simulated(2), failing(0.1))):
        status, out, _ = compare(often, new)
        assert (status, out.split(":")[0]) == (0, "faster")
        assert "errors % 40 " in " ".join(out.split())


def test_a_server_whose_requests_all_failed_fails_more(compare) -> None:
    status, out, _ = compare(simulated(1), with_steps(simulated(2), dead))
    assert (status, out.split(",")[0]) == (1, "fails more: 100% of the requests of predict")
    said = " ".join(out.split())
    assert "5 of the base, 0 of the new; left out, INVALID, cut off or failed: 0 and 5" in said
    assert "the new has no trial in which a request succeeded" in said
    status, out, err = compare(with_steps(simulated(1), dead), simulated(2))
    assert (status, out) == (2, "")
    assert "the base has no trial in which a request succeeded" in err


def test_a_trial_whose_requests_all_failed_is_left_out_and_hides_nothing_of_the_others(compare) -> None:
    status, out, _ = compare(simulated(1), with_steps(simulated(2, slower=1.0), dead, {2}))
    assert (status, out.split(":")[0]) == (1, "slower")
    assert "5 of the base, 4 of the new; left out, INVALID, cut off or failed: 0 and 1" in " ".join(out.split())


def test_what_max_errors_allows_no_more_is_said_of_one_trial_too(compare) -> None:
    new = too_many_failed(with_steps(simulated(2, 1), failing(0.4)))
    status, out, _ = compare(too_many_failed(simulated(1, 1)), new)
    assert status == 1
    expected = "40% of the requests of predict, 0% in the base, more than --max-errors allows"
    assert " ".join(out.split()).startswith(f"fails more: {expected}")
    status, out, _ = compare(new, new)
    assert (status, out.split(":")[0]) == (0, "undecided")
    one_of_five = too_many_failed(with_steps(simulated(2, slower=-0.1), dead, {2}))
    assert compare(simulated(1), one_of_five)[0] == 1


def test_of_several_points_the_one_that_fails_more_is_named(compare) -> None:
    def points(result: Result, *of_each: Result) -> Result:
        runs = (replace(run, point={"threads": number}) for number, one in enumerate(of_each, 1) for run in _runs(one))
        return changed(result, runs=tuple(runs))

    new = too_many_failed(with_steps(simulated(2, 1), failing(0.4)))
    (verdict,) = new.benchmarks[0].verdicts
    of_second = replace(verdict, answer=f"{verdict.answer} (threads 2)")
    failed = changed(points(new, with_steps(simulated(3, 1), failing(0.005)), new), verdicts=(of_second,))
    status, out, _ = compare(points(simulated(1, 1), simulated(1, 1), simulated(1, 1)), failed)
    assert status == 1
    assert " ".join(out.split()).startswith(
        "fails more: 40% of the requests of predict (threads 2), 0% in the base, more"
    )
    assert [line.split()[1:3] for line in out.splitlines() if line.endswith("  fails more")] == [["threads", "2"]]


def test_a_figure_that_a_trial_lacks_is_said_not_to_be_judged(compare) -> None:
    def ends_late(step: StepSummary) -> StepSummary:
        return replace(step, throughput_per_s=Statistic(0.0, None, needs_n=100))

    status, out, _ = compare(simulated(1), with_steps(simulated(2, slower=0.1), ends_late, {2}))
    assert (status, out.split(":")[0]) == (1, "slower")
    assert "throughput_per_s of predict, which is nothing in some trial" in " ".join(out.split())


def test_what_was_cut_off_does_not_count(compare) -> None:
    _, out, _ = compare(simulated(1), changed(simulated(2, 6), partial=True))
    assert "5 of the base, 5 of the new" in out


def test_what_only_one_has_is_listed(compare) -> None:
    base, new = simulated(1), simulated(2)
    other = replace(base.benchmarks[0], name="throughput")
    status, out, _ = compare(replace(base, benchmarks=(*base.benchmarks, other)), new)
    assert status == 0
    assert "only the base has throughput simulated" in out
    points = tuple(replace(run, point={"threads": number}) for number in (1, 4) for run in _runs(base))
    less = tuple(run for run in points if run.point["threads"] == 1)
    _, out, _ = compare(changed(base, runs=less), changed(new, runs=points))
    assert "only the new has threads 4" in out


def test_results_without_a_benchmark_in_common_are_refused(compare) -> None:
    status, _, err = compare(simulated(1), changed(simulated(2), model="other"))
    assert status == 2
    assert "one has latency simulated, the other latency other" in err


def test_several_points_are_judged_together_and_need_more_trials(compare) -> None:
    def points(result: Result) -> Result:
        points = ({"threads": number} for number in (1, 2, 4, 7, 9))
        return changed(result, runs=tuple(replace(run, point=point) for point in points for run in _runs(result)))

    status, out, _ = compare(points(simulated(1)), points(simulated(2, slower=0.2)))
    assert status == 0
    assert out.startswith("undecided: 5 trials and 5 can show nothing, 6 and 6 could")
    status, out, _ = compare(points(simulated(1, 6)), points(simulated(2, 6, slower=0.2)))
    assert status == 1
    assert "(threads " in out.splitlines()[0]


def test_a_step_can_be_chosen_and_has_to_be_there(compare) -> None:
    status, out, _ = compare(simulated(1), simulated(2), "--step", "predict")
    assert status == 0
    assert out.startswith("no difference")
    status, _, err = compare(simulated(1), simulated(2), "--step", "preduct")
    assert status == 2
    assert "choose from predict" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"schema": "servemark/result/99"}', "servemark/result/99, which a newer servemark wrote"),
        ('{"schema": "servemark/res', "cannot read new/result.json"),
        ('{"schema": "servemark/result/2"}', "no whole servemark/result/2"),
        ("", "cannot read new/result.json"),
        ("[]", "it is no servemark/result/2"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(compare, text: str, says: str) -> None:
    status, out, err = compare(simulated(1), text)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_no_figure_is_nan(compare) -> None:
    broken = result_text(simulated(2)).replace('"value": ', '"value": NaN, "was": ', 1)
    status, _, err = compare(simulated(1), broken)
    assert status == 2
    assert "it holds NaN" in err
    words = json.loads(result_text(simulated(2)))
    words["benchmarks"][0]["runs"][0]["steps"][0]["service_ms"]["p50"]["value"] = "fast"
    status, _, err = compare(simulated(1), json.dumps(words))
    assert status == 2
    assert 'service_ms: p50: value: "fast" is no number' in err


def test_what_is_not_there_is_said(compare, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(simulated(1), simulated(2))
    assert main(["compare", "base", "gone"], "servemark") == 2
    assert "there is no result in gone: No such file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["compare", "empty", "base"], "servemark") == 2
    assert "empty/result.json" in capsys.readouterr().err
    assert main(["compare", "base"], "servemark") == 2
    assert "required: NEW" in capsys.readouterr().err


def test_what_became_of_a_baseline_is_said(
    compare, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVEMARK_HISTORY", str(tmp_path / "history.db"))
    compare(simulated(1), simulated(2))
    assert main(["history", "baseline", "main", "base"], "servemark") == 0
    assert main(["compare", "main", "new"], "servemark") == 0
    (tmp_path / "base").rename(tmp_path / "moved")
    assert main(["compare", "main", "new"], "servemark") == 2
    assert "the folder of the baseline main is gone: " in capsys.readouterr().err
    (tmp_path / "new").rename(tmp_path / "base")
    assert main(["compare", "moved", "main"], "servemark") == 2
    assert "the folder of the baseline main holds another result now" in capsys.readouterr().err
    (tmp_path / "history.db").write_bytes(b"something else" * 1000)
    assert main(["compare", "moved", "main"], "servemark") == 2
    assert "is damaged" in capsys.readouterr().err


def test_latest_is_the_last_result_unless_there_is_such_a_folder(compare, tmp_path: Path) -> None:
    compare(simulated(1), simulated(2))
    assert main(["compare", "base", "latest"], "servemark") == 2
    results = tmp_path / "servemark-results"
    results.mkdir()
    (results / "latest").symlink_to(tmp_path / "new")
    assert main(["compare", "base", "latest"], "servemark") == 0


def test_a_rate_of_nothing_is_no_change_that_can_be_told(compare) -> None:
    new = simulated(2)
    runs = tuple(
        replace(run, steps=(replace(run.steps[0], throughput_per_s=replace(run.steps[0].throughput_per_s, value=0.0)),))
        for run in _runs(new)
    )
    status, out, _ = compare(simulated(1), changed(new, runs=runs))
    assert status == 0
    (row,) = [row for row in out.splitlines() if row.startswith("per s")]
    assert row.split()[-2:] == ["-", "-"]


def test_searches_are_not_compared_by_the_loads_that_each_chose(compare) -> None:
    base, new = (changed(simulated(seed), capacity=FOUND) for seed in (1, 2))
    status, _, err = compare(base, new)
    assert status == 2
    assert (
        "a search for the capacity has no trials to compare: what was found is 173 and 173; compare runs at one" in err
    )


@pytest.mark.parametrize(
    ("words", "refused"),
    [("not needed", False), ("2 CPUs; not needed", False), ("off", True), ("refused: no such process", True)],
)
def test_cpus_that_needed_nothing_to_keep_them_awake_are_like_any(compare, words, refused) -> None:
    status, _, err = compare(with_load(simulated(1), keep_awake="2 CPUs"), with_load(simulated(2), keep_awake=words))
    assert (status, f"keep_awake 2 CPUs and {words}" in err) == ((2, True) if refused else (0, False))


def test_cpus_that_were_busy_by_themselves_in_some_trials_refuse_nothing(compare) -> None:
    base, new = simulated(1), simulated(2)
    awake = ("2 CPUs", "2 CPUs until 1.3 s, when the machine was busy by itself", "off", "2 CPUs", "2 CPUs")
    base = with_load(base, keep_awake="2 CPUs")
    runs = zip(new.benchmarks[0].runs, awake, strict=True)
    new = changed(new, runs=tuple(replace(run, load=replace(run.load, keep_awake=one)) for run, one in runs))
    status, out, err = compare(base, new)
    assert (status, err) == (0, "")
    assert out.startswith("no difference")
