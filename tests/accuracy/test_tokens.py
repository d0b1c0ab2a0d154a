"""Figures of streams of tokens are what the oracle did, in whatever way they were sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judging import MS, assert_all, failed
from streams_of_tokens import (
    FAILING,
    WAYS,
    Answers,
    Way,
    at_rate,
    judge_counts,
    judge_times,
    make_certificate,
    reported_of,
    run_ways,
)

from ..validity import skip_where_too_busy

pytestmark = pytest.mark.slow

#: Ways of which all that is judged is known.
TIMED = [name for name in WAYS if name != "whole"]


@pytest.fixture(scope="module")
def answers(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Every way at 20/s: 40 requests of each."""
    folder = tmp_path_factory.mktemp("tokens")
    answers = run_ways(program, folder, {**WAYS, **FAILING}, at_rate(20, 2.0))
    skip_where_too_busy(answers.faults)
    return answers


@pytest.mark.parametrize("name", TIMED)
def test_times_are_those_of_the_oracle_in_whatever_way_tokens_come(answers: Answers, name: str) -> None:
    assert_all(judge_times(answers.ways[name]))


@pytest.mark.parametrize("name", WAYS)
def test_counts_are_exact_in_whatever_way_tokens_come(answers: Answers, name: str) -> None:
    assert_all(judge_counts(answers.ways[name]))


@pytest.mark.parametrize("name", FAILING)
def test_an_answer_that_says_that_it_failed_is_a_failure(answers: Answers, name: str) -> None:
    summary = answers.ways[name].summary
    assert dict(summary.errors) == {"application": summary.requests}
    (example,) = summary.error_examples
    assert "the oracle was asked to fail" in example.message
    assert '"error"' in example.body


def test_at_200_a_second_the_figures_are_as_good(program: Path, tmp_path: Path) -> None:
    answers = run_ways(program, tmp_path, {"plain": WAYS["plain"]}, at_rate(200, 2.0))
    skip_where_too_busy(answers.faults)
    way = answers.ways["plain"]
    assert_all([*judge_times(way), *judge_counts(way)])
    tokens = way.summary.tokens
    assert tokens is not None
    assert tokens.between_content_ms is not None
    assert tokens.between_content_ms.p50 == pytest.approx(10, abs=0.5)
    assert tokens.output_tokens.per_user_per_s.value == pytest.approx(100, rel=0.01)


def test_over_tls_the_figures_are_as_good(program: Path, tmp_path: Path) -> None:
    runs, wanted = tmp_path / "runs", ("role first", "two events a packet", "torn chunks")
    runs.mkdir()
    ways = {name: WAYS[name] for name in wanted}
    answers = run_ways(program, runs, ways, at_rate(20, 1.0), tls=make_certificate(tmp_path))
    skip_where_too_busy(answers.faults)
    for way in answers.ways.values():
        assert_all([*judge_times(way), *judge_counts(way)])


def test_what_is_said_beside_the_times_is_what_was_sent(answers: Answers) -> None:
    told = {name: way.summary.tokens for name, way in answers.ways.items()}
    two, counted, short, whole = (told[name] for name in ("two a chunk", "nobody counts", "short", "whole"))
    assert two
    assert counted
    assert short
    assert whole
    assert two.output_tokens.per_event == 2.0
    assert (counted.output_tokens.count, counted.output_tokens.source) == (None, "none")
    assert dict(short.finish_reasons) == {"stop": short.answers}
    assert (short.asked, dict(short.short)) == (short.answers, {"stop": short.answers})
    assert (two.asked, dict(two.short)) == (0, {})
    assert dict(two.finish_reasons) == {"length": two.answers}
    assert (whole.streams, whole.first_token_ms.p50.value) == (0, None)
    without = told["no end mark"]
    assert without
    assert (without.without_end_mark, two.without_end_mark) == (without.answers, 0)
    reasoning = told["reasoning"]
    assert reasoning
    assert reasoning.first_said_ms
    assert reasoning.first_said_ms.p50.value == pytest.approx(90, abs=3)
    assert told["plain"] is not None
    assert told["plain"].first_said_ms is None
    tail = told["usage alone"]
    assert tail
    assert tail.tail_ms.p50.value == pytest.approx(5, abs=1)


def first_event_taken_for_the_first_token(rows: Any) -> None:
    rows["first_content"] = rows["first_event"]


def a_token_later(rows: Any) -> None:
    rows["first_content"] += 10 * MS


def one_token_too_few(rows: Any) -> None:
    rows["usage_tokens"] -= 1


def a_stall_that_is_not_seen(rows: Any) -> None:
    rows["longest_gap"] = 10 * MS


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("role first", first_event_taken_for_the_first_token),
        ("plain", a_token_later),
        ("plain", one_token_too_few),
        ("stall", a_stall_that_is_not_seen),
    ],
)
def test_wrong_figures_are_found_out(answers: Answers, name: str, spoil: Any) -> None:
    way = answers.ways[name]
    as_recorded = reported_of(way)
    assert not failed([*judge_times(as_recorded), *judge_counts(as_recorded)])
    spoiled = _spoiled(way, spoil)
    assert failed([*judge_times(spoiled), *judge_counts(spoiled)])


def test_an_event_too_many_is_found_out(answers: Answers) -> None:
    way = answers.ways["empty deltas"]
    rows = way.rows.copy()
    rows["contents"] = rows["events"]
    assert failed(judge_counts(replace(way, rows=rows)))


def _spoiled(way: Way, spoil: Any) -> Way:
    rows = way.rows.copy()
    spoil(rows)
    return reported_of(replace(way, rows=rows))
