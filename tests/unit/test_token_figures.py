"""Figures of tokens: who counted them, what is made of them, and how it is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from servemark.options import ContentOptions, RunRequest
from servemark.options.objectives import parse_objective
from servemark.options.question import QuestionOptions
from servemark.report.tokens import tokens_of
from servemark.result import OutputTokens, Statistic
from servemark.stats.tokens import TokenEvidence, output_tokens

NONE = Statistic(None, None, 100)


def evidence(**found: Any) -> TokenEvidence:
    """Ten answers, of whose tokens what `found` says."""
    counts = {"count": 10, "usage": (0, 0), "counted": (0, 0), "both": (0, 0), "tokens_of_contents": (0, 0), **found}
    tokens = SimpleNamespace(count=0, total=0, mean=None, min=None, max=None)
    return SimpleNamespace(found=SimpleNamespace(**counts), tokens=tokens)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("found", "source"),
    [
        ({}, "none"),
        ({"usage": (50, 10)}, "usage"),
        ({"usage": (50, 10), "counted": (60, 10)}, "usage"),
        ({"counted": (60, 10)}, "tokenizer"),
        ({"usage": (50, 9), "counted": (60, 10)}, "usage, else tokenizer"),
        ({"usage": (50, 9)}, "usage"),
    ],
)
def test_who_counted_is_said_and_never_mixed_silently(found, source) -> None:
    assert output_tokens(evidence(**found), NONE, NONE).source == source


def test_the_rate_of_a_user_is_the_inverse_of_its_time_per_token() -> None:
    found = output_tokens(evidence(), NONE, Statistic(10.0, (8.0, 12.5)))
    assert found.per_user_per_s == Statistic(100.0, (80.0, 125.0))
    assert output_tokens(evidence(), NONE, NONE).per_user_per_s.value is None


def latency(value: float) -> Any:
    statistic = Statistic(value, (value, value))
    return SimpleNamespace(p50=statistic, p99=statistic, max=value)


def lines(**changed: Any) -> dict[str, str]:
    """The lines of a summary of ten answers, by their labels, of which something is `changed`."""
    output = OutputTokens(100, 10, Statistic(50.0, (40.0, 60.0)), NONE, "usage", None, 1.0)
    tokens = {
        "answers": 10,
        "streams": 10,
        "events": 100,
        "first_event_told": 0,
        "without_end_mark": 0,
        "unread": 0,
        "cut": 0,
        "without_content": 0,
        "not_streamed": 0,
        "usage_of_none": 0,
        "first_token_ms": latency(50.0),
        "first_said_ms": None,
        "between_content_ms": None,
        "time_per_output_token_ms": latency(10.0),
        "longest_gap_ms": latency(10.0),
        "output_tokens": output,
        "finish_reasons": {"length": 10},
        "asked": 10,
        "short": {},
        **changed,
    }
    step: Any = SimpleNamespace(tokens=SimpleNamespace(**tokens))
    return {fact.label: fact.text.plain for fact in tokens_of(step)}


def test_a_summary_says_what_a_token_is_counted_by_and_what_the_first_event_counts_as() -> None:
    told = lines()
    assert told["tokens"] == "100 in 10 answers, 1.00 an event, by usage"
    assert told["per token"].endswith("; the first event counts as one token")
    assert "counts as" not in lines(first_event_told=10)["per token"]


def test_answers_that_are_shorter_than_was_asked_for_have_a_line_with_their_reasons() -> None:
    assert "short answers" not in lines()
    told = lines(asked=10, short={"stop": 3, "length": 1})
    assert told["short answers"] == "4 of 10 have fewer tokens than were asked for (stop 3, length 1)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("without_content", "3 without any content"),
        ("not_streamed", "3 whole, where a stream was asked for: they have no times of tokens"),
        ("usage_of_none", "3 with content and a usage of 0 tokens, which is taken for none"),
        ("unread", "3 with something that was not understood"),
    ],
)
def test_what_answers_lacked_is_told_and_nothing_where_they_lacked_nothing(name, said) -> None:
    assert "answers" not in lines()
    assert lines(**{name: 3})["answers"] == said


def test_without_anybody_who_counts_events_are_shown_as_events() -> None:
    nobody = OutputTokens(None, 0, NONE, NONE, "none", None, None)
    told = lines(output_tokens=nobody)
    assert told["tokens"] == "not counted (no usage, no --tokenizer): 100 events with content in 10 answers"
    assert "token rate" not in told


@pytest.mark.parametrize(("tokenizer", "is_told"), [(101, False), (102, True), (98, True), (99, False)])
def test_counts_that_disagree_by_more_than_a_percent_are_told(tokenizer, is_told) -> None:
    output = OutputTokens(100, 10, NONE, NONE, "usage", None, 1.0, (100, tokenizer))
    assert ("disagreement" in lines(output_tokens=output)) == is_told


@pytest.mark.parametrize(
    "text", ["first_token.p99<200ms", "time_per_output_token.p50<15ms", "between_content.p99<50ms"]
)
def test_objectives_of_tokens_are_read_and_need_answers_that_are_read(text) -> None:
    (condition,) = parse_objective(text)
    assert condition.figure == text.partition(".")[0]
    content = ContentOptions(url="http://127.0.0.1/", tokens="openai")
    RunRequest("http", content=content, question=QuestionOptions(slo=text))
