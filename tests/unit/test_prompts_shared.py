"""How many prompts began as one that was sent before: by their text, in the order in which they were sent."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from servemark.assessment.prompts import prompts_sent
from servemark.report.tokens import prompts_of
from servemark.result import PromptsSent
from servemark.workload.prompts import Drawn, prompt_text

LONG = "x" * 64


def plan(*prompts: str, tokens: str | None = "openai") -> Any:
    """A plan of one step, whose pool are these prompts."""
    bodies = [json.dumps({"messages": [{"role": "user", "content": text}]}).encode() for text in prompts]
    requests = tuple(SimpleNamespace(body=body) for body in bodies)
    return SimpleNamespace(steps=(SimpleNamespace(tokens=tokens, requests=requests),))


@pytest.mark.parametrize(
    ("prompts", "sent", "expected"),
    [
        (["a", "b"], [0, 1], (2, 0, 0)),
        (["a", "b"], [0, 1, 0, 0], (4, 2, 2)),
        ([f"{LONG}1", f"{LONG}2", LONG[1:]], [0, 1, 2], (3, 1, 0)),
        ([LONG, f"{LONG}2"], [1, 0], (2, 1, 0)),
        (["short", "short and more"], [0, 1], (2, 0, 0)),
        (["same", "same"], [0, 1], (2, 1, 1)),
    ],
    ids=["none", "again", "first 64", "the longer one first", "shorter than 64", "alike"],
)
def test_a_prompt_shares_what_one_before_it_began_with(make_records, prompts, sent, expected) -> None:
    file = make_records(len(sent), input=sent, sent=range(len(sent)))
    assert prompts_sent(plan(*prompts), [file]) == PromptsSent(*expected, 64)


def test_the_order_is_that_of_sending_over_all_generators_and_what_was_not_sent_is_none(make_records) -> None:
    first = make_records(2, input=[0, 1], sent=[5, -1])
    second = make_records(1, input=[0], sent=[3])
    assert prompts_sent(plan("a", "b"), [first, second]) == PromptsSent(2, 1, 1, 64)


def test_what_prompts_were_drawn_by_is_told(make_records) -> None:
    found = prompts_sent(plan("a"), [make_records(1, input=[0], sent=[0])], Drawn(5, 2))
    assert found == PromptsSent(1, 0, 0, 64, seed=5, run=2)


def test_of_a_run_whose_answers_are_not_read_nothing_is_known(make_records) -> None:
    assert prompts_sent(plan("a", tokens=None), [make_records(1)]) is None


def test_the_text_of_a_prompt_is_all_that_is_asked() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]
    messages = [{"role": "system", "content": "be short"}, {"role": "user", "content": parts}]
    assert prompt_text(json.dumps({"messages": messages}).encode()) == "be short\nlook"
    assert prompt_text(b'{"prompt": "a"}') == "a"
    assert prompt_text(b'{"prompt": ["a", "b"]}') == "a\nb"
    assert [prompt_text(body) for body in (b"{}", b"[]", b"no JSON", b'{"prompt": [1, 2]}')] == [""] * 4


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (PromptsSent(5, 0, 0, 64), "5 prompts sent, none of which began as one before it (64 characters)"),
        (PromptsSent(5, 2, 0, 64), "5 prompts sent, of which 2 began as one before (64 characters)"),
        (
            PromptsSent(5, 2, 1, 64),
            "5 prompts sent, of which 2 began as one before (64 characters); 1 were asked before",
        ),
    ],
)
def test_what_a_cache_may_have_known_is_said(prompts, said) -> None:
    run: Any = SimpleNamespace(prompts=prompts)
    assert [fact.text.plain for fact in prompts_of(run)] == [said]
    nothing: Any = SimpleNamespace(prompts=None)
    assert list(prompts_of(nothing)) == []
