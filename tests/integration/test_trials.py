"""Trials and comparisons of real runs, over sockets: repeated, left out, and answered with an exit status."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dialect_servers import answering

from servemark import cli, runner
from servemark.engines.native.engine import NativeEngine
from servemark.result import Result, schema_text
from servemark.workload.engine_plan import EngineFault

from ..validity import failed_checks, skip_where_too_busy

pytestmark = pytest.mark.seconds

_LOST = EngineFault("lost_record", 7)
_ANSWERS = {"GET /": (200, b"OK")}
#: A server that takes three times as long is slower on the busiest machine.
QUICK_S, SLOW_S = 0.01, 0.03


@dataclass
class Ran:
    status: int
    result: dict[str, Any]
    out: str
    err: str

    @property
    def benchmark(self) -> dict[str, Any]:
        return self.result["benchmarks"][0]


@pytest.fixture(scope="module")
def quick() -> Iterator[int]:
    with answering(_ANSWERS, service_s=QUICK_S) as port:
        yield port


@pytest.fixture(scope="module")
def slow() -> Iterator[int]:
    with answering(_ANSWERS, service_s=SLOW_S) as port:
        yield port


Measure = Callable[..., Ran]


@pytest.fixture
def measure(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Measure:
    """``run http`` of a port with more words, in a folder of that name; `faulty` executions lose a record."""
    monkeypatch.chdir(tmp_path)

    def run(port: int, name: str, *words: str, users: int = 1, faulty: frozenset[int] = frozenset()) -> Ran:
        seen: list[object] = []

        class Faulty(NativeEngine):
            def execute(self, job):
                seen.append(job)
                fault = _LOST if len(seen) - 1 in faulty else None
                return super().execute(replace(job, compiled=replace(job.compiled, fault=fault)))

        monkeypatch.setattr(runner.invocation, "engine_of", lambda *_: Faulty())
        capsys.readouterr()
        line = ["run", "http", f"http://127.0.0.1:{port}/", "-t", str(users), "-l", "20", "-o", name, *words]
        status = cli.main(line, "servemark")
        captured = capsys.readouterr()
        path = tmp_path / name / "result.json"
        result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if result:
            jsonschema.validate(result, json.loads(schema_text()))
            assert Result.load(path).benchmarks
        return Ran(status, result, captured.out, captured.err)

    return run


def _skip_if_invalid(ran: Ran, faulty: frozenset[int] = frozenset()) -> None:
    """Skip where the machine was so busy that runs without a fault are INVALID."""
    runs = (run for place, run in enumerate(ran.benchmark["runs"]) if place not in faulty)
    skip_where_too_busy(failed_checks(run["certificate"] for run in runs))


def test_each_trial_is_a_run_with_a_seed_of_its_own(quick: int, measure: Measure) -> None:
    ran = measure(quick, "out", "--trials", "3")
    _skip_if_invalid(ran)
    assert ran.status == 0, ran.err
    runs, trials = ran.benchmark["runs"], ran.benchmark["trials"]
    assert [run["trial"] for run in runs] == [1, 2, 3]
    (point,) = trials["points"]
    assert (trials["asked"], trials["fresh_server"], point["counted"]) == (3, False, [0, 1, 2])
    rates = [run["steps"][0]["throughput_per_s"]["value"] for run in runs]
    assert point["steps"][0]["figures"]["throughput_per_s"]["values"] == rates
    assert rates[point["shown"]] == sorted(rates)[1], "the headline of http is its rate"
    assert ran.benchmark["steps"] == runs[point["shown"]]["steps"]
    assert "trial 2 of 3" in ran.err
    assert "median of 3 trials" in ran.out.splitlines()[0]
    assert "server kept running between them" in " ".join(ran.out.split())


def test_an_invalid_trial_is_repeated_once(quick: int, measure: Measure) -> None:
    ran = measure(quick, "out", "--trials", "3", faulty=frozenset({1}))
    _skip_if_invalid(ran, frozenset({1}))
    assert ran.status == 0, ran.err
    assert [run.get("repeat_of") for run in ran.benchmark["runs"]] == [None, None, 2, None]
    assert ran.benchmark["trials"]["points"][0]["counted"] == [0, 2, 3]
    assert "once more, since it was INVALID" in ran.err
    assert "repeated: 1 of 4 runs INVALID, measured once more and left out" in " ".join(ran.out.split())


@pytest.mark.parametrize(("trials", "faulty", "status"), [(4, frozenset({1, 2}), 0), (2, frozenset({1, 2}), 3)])
def test_what_stays_invalid_is_left_out_and_more_than_a_third_is_exit_3(
    quick: int, measure: Measure, trials: int, faulty: frozenset[int], status: int
) -> None:
    ran = measure(quick, "out", "--trials", str(trials), faulty=faulty)
    _skip_if_invalid(ran, faulty)
    assert ran.status == status, ran.err
    (point,) = ran.benchmark["trials"]["points"]
    assert (len(point["counted"]), point["left_out"]) == (trials - 1, 1)
    assert "(1 INVALID left out)" in ran.out
    assert ran.out.startswith("INVALID ") == (status == 3)


def test_against_a_quicker_one_it_is_slower_and_exits_1(quick: int, slow: int, measure: Measure) -> None:
    base, new = measure(quick, "base", "--trials", "5"), measure(slow, "new", "--trials", "5", "--against", "base")
    for ran in (base, new):
        _skip_if_invalid(ran)
    assert new.status == 1, new.err
    verdict = new.benchmark["verdicts"][-1]
    assert verdict["question"] == f"no slower than {base.result['id']} by 2% or more"
    assert verdict["outcome"] == "missed"
    assert verdict["answer"].startswith("slower: request ")
    assert new.result["comparison"]["answer"] == "slower"
    assert " ".join(new.out.split()).startswith(verdict["answer"]), "the answer first"
    assert cli.main(["compare", "new", "base"], "servemark") == 0, "the other way round it is faster"


def test_against_itself_with_one_trial_it_is_undecided(quick: int, measure: Measure) -> None:
    base = measure(quick, "base")
    for words, status in (((), 0), (("--strict",), 1)):
        new = measure(quick, f"new{len(words)}", "--against", "base", *words)
        for ran in (base, new):
            _skip_if_invalid(ran)
        assert new.status == status, new.err
        assert new.benchmark["verdicts"][-1]["outcome"] == "undecided"
        assert new.out.splitlines()[-1].endswith("-l 20 --trials 5")


def test_a_baseline_that_cannot_be_used_is_refused_before_anything_starts(
    quick: int, measure: Measure, tmp_path: Path
) -> None:
    base = measure(quick, "base")
    _skip_if_invalid(base)
    document = base.result
    other = {**document, "environment": {**document["environment"], "python": "2.7"}}
    invalid = json.loads(json.dumps(document))
    for run in invalid["benchmarks"][0]["runs"]:
        run["certificate"]["valid"] = False
    for text, says in (
        ("", "cannot read"),
        (json.dumps({**document, "schema": "servemark/result/99"}), "which a newer servemark wrote"),
        (json.dumps({**document, "benchmarks": []}), "has no http to compare with: it has nothing"),
        (json.dumps(invalid), "has no valid trial to compare with"),
        (json.dumps(other), "are unlike: python 2.7 and"),
    ):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "result.json").write_text(text)
        ran = measure(quick, "new", "--against", "other")
        assert ran.status == 2
        assert says in ran.err
        assert not (tmp_path / "new").exists()
    assert measure(quick, "new", "--against", "gone").status == 2
    forced = measure(quick, "new", "--against", "other", "--force")
    assert forced.result["comparison"]["forced"] is True
    assert "of unlike runs" in " ".join(forced.out.split())


def test_another_load_than_that_of_the_baseline_is_refused_before_anything_starts(
    quick: int, measure: Measure, tmp_path: Path
) -> None:
    _skip_if_invalid(measure(quick, "base"))
    new = measure(quick, "new", "--against", "base", users=2)
    assert new.status == 2
    assert "and a run here are unlike: load users 1 and 2; --force compares them all the same" in new.err
    assert (new.out, (tmp_path / "new").exists()) == ("", False)
    forced = measure(quick, "new", "--against", "base", "--force", users=2)
    _skip_if_invalid(forced)
    assert forced.result["comparison"]["forced"] is True


def test_what_is_unlike_and_known_only_in_the_end_exits_2_when_all_is_measured(
    quick: int, measure: Measure, tmp_path: Path
) -> None:
    base = measure(quick, "base")
    document = {**base.result, "tool": {**base.result["tool"], "engine_versions": {"build": "another"}}}
    (tmp_path / "base" / "result.json").write_text(json.dumps(document))
    new = measure(quick, "new", "--against", "base")
    for ran in (base, new):
        _skip_if_invalid(ran)
    assert new.status == 2
    assert "unlike runs: engine native of servemark " in new.err
    answer, _, measured = new.out.partition("\n\n")
    assert answer.startswith("undecided: unlike runs: engine native")
    assert measured.startswith("http "), "what was measured is told, too"
    assert new.benchmark["verdicts"][-1]["outcome"] == "undecided"


def test_a_run_that_is_invalid_exits_3_whatever_it_is_compared_with(quick: int, measure: Measure) -> None:
    base = measure(quick, "base")
    _skip_if_invalid(base)
    new = measure(quick, "new", "--against", "base", faulty=frozenset({0}))
    assert new.status == 3
    assert "the new has no valid trial" in " ".join(new.out.split())
