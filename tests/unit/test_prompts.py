"""Prompts: made of words, or read from a file, as requests of OpenAI's API."""

from __future__ import annotations

import json
import os

import pytest

from servemark.errors import UsageError
from servemark.options.content import ContentOptions
from servemark.workload.prompts import Asked, made_prompts, prompts_in

ASKED = Asked(output_tokens=64)


def text_of(body: bytes) -> str:
    (message,) = json.loads(body)["messages"]
    found: str = message["content"]
    return found


def test_prompts_that_are_made_have_their_length_and_share_no_more_than_the_prefix() -> None:
    texts = [text_of(one.body) for one in made_prompts(ASKED, tokens=20, shared_prefix=5, seed=1)]
    words = [text.split() for text in texts]
    assert {len(of) for of in words} == {20}
    assert len({tuple(of[:5]) for of in words}) == 1
    assert len({of[5] for of in words}) == len(words) == 10_000
    assert texts == [text_of(one.body) for one in made_prompts(ASKED, tokens=20, shared_prefix=5, seed=1)]
    assert texts != [text_of(one.body) for one in made_prompts(ASKED, tokens=20, shared_prefix=5, seed=2)]


@pytest.mark.seconds
def test_long_prompts_are_fewer_so_that_they_fit() -> None:
    assert len(made_prompts(ASKED, tokens=100_000, shared_prefix=0, seed=0)) == 111


def test_a_prefix_leaves_each_prompt_a_word_of_its_own() -> None:
    with pytest.raises(UsageError, match="leaves nothing"):
        made_prompts(ASKED, tokens=8, shared_prefix=8, seed=0)


def test_what_is_asked_stands_in_the_request() -> None:
    body = json.loads(Asked(64, ignores_end=True).body("hello"))
    assert body == {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 64,
        "ignore_eos": True,
        "min_tokens": 64,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert json.loads(Asked(8, streams=False, is_chat=False).body("hello")) == {"prompt": "hello", "max_tokens": 8}


def test_the_lines_of_a_file_are_prompts_of_any_of_the_usual_forms(tmp_path) -> None:
    lines = [
        "a text",
        {"prompt": "to be completed", "output_tokens": 5},
        {"messages": [{"role": "system", "content": "be short"}], "temperature": 0},
        {"conversations": [{"from": "human", "value": "shared"}, {"from": "gpt", "value": "answer"}]},
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    text, completed, messages, shared = (json.loads(one.body) for one in prompts_in(path, ASKED))
    assert text["messages"][0]["content"] == "a text"
    assert (completed["prompt"], completed["max_tokens"], "messages" in completed) == ("to be completed", 5, False)
    assert (messages["temperature"], messages["max_tokens"]) == (0, 64)
    assert shared["messages"] == [{"role": "user", "content": "shared"}]


@pytest.mark.parametrize("line", ["1", "{}", '""', '{"conversations": []}', '{"prompt": ""}'])
def test_a_line_that_is_no_prompt_is_said(tmp_path, line) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'"first"\n{line}\n')
    with pytest.raises(UsageError, match=r"prompts\.jsonl line 2 is no prompt"):
        prompts_in(path, ASKED)


def test_a_file_without_prompts_is_refused(tmp_path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n")
    with pytest.raises(UsageError, match="there is no input"):
        prompts_in(path, ASKED)


@pytest.mark.parametrize(
    "given",
    [{"prompt_tokens": 5}, {"shared_prefix": 5}, {"inputs": (os.devnull,)}],
    ids=lambda given: next(iter(given)),
)
def test_what_contradicts_prompts_of_a_file_is_refused(tmp_path, given) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('"a"\n')
    with pytest.raises(UsageError, match="do not go together"):
        ContentOptions(prompts=path, **given)
