"""Prompts: made of words, or read from a file, as requests of OpenAI's API."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from servemark.errors import UsageError
from servemark.options.content import ContentOptions
from servemark.servers.openai.dialect import DIALECT
from servemark.units import NS_PER_S
from servemark.workload.address import Address
from servemark.workload.compiling import _compile_step
from servemark.workload.inputs import Input
from servemark.workload.made_prompts import made_prompts, prompts_of_trace
from servemark.workload.prompts import Asked, Drawn, answer_asked, prompts_in
from servemark.workload.scenario import Step
from servemark.workload.trace import read_lengths, read_trace
from servemark.workload.trace_lengths import Lengths

ASKED = Asked(output_tokens=64)


def text_of(body: bytes) -> str:
    (message,) = json.loads(body)["messages"]
    found: str = message["content"]
    return found


def test_prompts_that_are_made_have_their_length_and_share_no_more_than_the_prefix() -> None:
    made = partial(made_prompts, asked=ASKED, tokens=20, shared_prefix=5, most=2_000)
    prompts = made(Drawn(1))
    texts = [text_of(one.body) for one in prompts]
    words = [text.split() for text in texts]
    assert {len(of) for of in words} == {20}
    assert len({tuple(of[:5]) for of in words}) == 1
    assert len({of[5] for of in words}) == len(words) == len(prompts) == 2_000
    assert text_of(prompts.first.body).split()[5] not in {of[5] for of in words}
    assert texts == [text_of(one.body) for one in made(Drawn(1))]
    assert texts != [text_of(one.body) for one in made(Drawn(2))]


def test_a_pool_has_100_000_prompts_and_makes_none_before_it_is_gone_through() -> None:
    prompts = made_prompts(Drawn(1), ASKED, tokens=128, shared_prefix=0)
    assert len(prompts) == 100_000
    assert sum(1 for _ in prompts) == 100_000


@pytest.mark.seconds
def test_long_prompts_are_fewer_so_that_they_fit() -> None:
    assert len(made_prompts(Drawn(0), ASKED, tokens=100_000, shared_prefix=0)) == 167


def test_no_more_prompts_are_made_than_are_asked() -> None:
    assert len(list(made_prompts(Drawn(0), ASKED, tokens=8, shared_prefix=0, most=7))) == 7


def test_a_pool_takes_no_more_memory_than_its_requests() -> None:
    step = Step(
        "predict",
        tuple(
            DIALECT.prediction("m", one) for one in made_prompts(Drawn(0), ASKED, tokens=8, shared_prefix=0, most=50)
        ),
    )
    compiled = _compile_step(step, 0, Address("h", "127.0.0.1", 80)).requests
    assert all(one.body is request.body for one, request in zip(compiled, step.requests, strict=True))
    assert len({id(one.headers) for one in compiled}) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"messages":[{"role":"user","content":"say \\"model\\": x"}],"max_tokens":5}', "/v1/chat/completions"),
        ('{"prompt":"a","max_tokens":5}', "/v1/completions"),
        ('{"messages":[],"prompt":"a"}', "/v1/completions"),
        ('{"messages":[],"model":"own"}', "/v1/chat/completions"),
        ('{ "messages" : [] }', "/v1/chat/completions"),
    ],
)
def test_the_name_of_the_model_is_put_into_a_request_of_any_form(body, path) -> None:
    request = DIALECT.prediction("m\u00fc", Input(body.encode(), "application/json", "here"))
    assert request.path == path
    assert json.loads(request.body) == {"model": "m\u00fc", **json.loads(body)}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ('{"max_tokens": 5}', 5),
        ('{"max_tokens": 5, "max_completion_tokens": 7}', 7),
        ('{"text_input": "a", "parameters": {"max_tokens": 9}}', 9),
        ('{"prompt": "max_tokens: 5"}', 0),
        ('{"max_tokens": 5, "n": 3}', 15),
        ('{"prompt": ["a", "b"], "max_tokens": 5, "n": 3}', 30),
        ('{"prompt": [[1, 2], [3]], "max_tokens": 5}', 10),
        ('{"prompt": [1, 2, 3], "max_tokens": 5}', 5),
        ('{"prompt": [], "max_tokens": 5}', 5),
        ('{"max_tokens": true}', 0),
        ('{"max_tokens": -1}', 0),
        ("[1]", 0),
        ("no JSON", 0),
    ],
)
def test_how_many_tokens_a_request_asks_for(body, tokens) -> None:
    assert answer_asked(body.encode()).tokens == tokens


@pytest.mark.parametrize(
    ("body", "is_stream"), [('{"stream":true}', True), ('{"stream":"true"}', False), ("[true]", False), ("", False)]
)
def test_whether_a_request_asks_for_a_stream(body, is_stream) -> None:
    assert answer_asked(body.encode()).is_stream == is_stream


def test_prompts_of_a_trace_are_as_long_as_it_says_and_in_its_order() -> None:
    lengths = [Lengths(1, 600, 5), Lengths(2, 3, 700), Lengths(3, 1, 1)]
    prompts = prompts_of_trace(Drawn(1), Asked(None), lengths)
    bodies = [json.loads(one.body) for one in prompts]
    assert [len(body["messages"][0]["content"].split()) for body in bodies] == [600, 3, 1]
    assert [body["max_tokens"] for body in bodies] == [5, 700, 1]
    assert prompts.is_in_order
    assert [one.origin for one in prompts] == ["line 1", "line 2", "line 3"]
    assert len({body["messages"][0]["content"].split()[0] for body in bodies}) == 3
    assert prompts.first.body not in {one.body for one in prompts}
    (short, *_) = prompts_of_trace(Drawn(1), Asked(8), lengths)
    assert json.loads(short.body)["max_tokens"] == 8


@pytest.mark.parametrize(
    "first",
    [
        made_prompts(Drawn(3), ASKED, tokens=20, shared_prefix=4, most=50),
        prompts_of_trace(Drawn(3), ASKED, [Lengths(line, 600, 5, (0, line)) for line in range(50)]),
    ],
    ids=["made", "of a trace"],
)
def test_each_run_is_asked_prompts_as_long_that_none_before_it_was_asked(first) -> None:
    assert first.drawn == Drawn(3)
    begun: set[str] = set()
    for drawn in (first.drawn, Drawn(3, 1), Drawn(3, 2), Drawn(4), Drawn(4, 1)):
        of_run = first.drawn_by(drawn)
        texts = [text_of(one.body) for one in of_run]
        assert (of_run.drawn, of_run.is_in_order) == (drawn, first.is_in_order)
        assert [len(text.split()) for text in texts] == [len(text_of(one.body).split()) for one in first]
        assert texts == [text_of(one.body) for one in first.drawn_by(drawn)]
        assert begun.isdisjoint(text[:64] for text in texts)
        begun.update(text[:64] for text in texts)


def test_prompts_of_a_file_are_the_same_in_each_run(tmp_path) -> None:
    (tmp_path / "prompts.jsonl").write_text('"one"\n"two"\n')
    prompts = prompts_in(tmp_path / "prompts.jsonl", ASKED)
    assert prompts.drawn is None
    assert prompts.drawn_by(Drawn(1, 2)) is prompts


def test_blocks_of_the_same_number_are_the_same_words() -> None:
    lengths = [Lengths(1, 1200, 5, (0, 7, 9)), Lengths(2, 1200, 5, (0, 8, 9)), Lengths(3, 1100, 5, (0, 7))]
    one, other, third = (text_of(prompt.body).split() for prompt in prompts_of_trace(Drawn(1), ASKED, lengths))
    assert one[:512] == other[:512]
    assert one[512] != other[512]
    assert one[:1024] == third[:1024]
    assert one[1024] != third[1024]
    assert [len(words) for words in (one, other, third)] == [1200, 1200, 1100]


def test_short_blocks_of_one_number_are_the_same_words_and_those_of_others_differ() -> None:
    numbers = (0, 1, 189, 190, 65_536, 190**3, 10**7)
    prompts = prompts_of_trace(
        Drawn(1), ASKED, [Lengths(1, 16 * len(numbers), 5, numbers, 16), Lengths(2, 16, 5, (1,), 16)]
    )
    words, again = (text_of(prompt.body).split() for prompt in prompts)
    blocks = [tuple(words[start : start + 16]) for start in range(0, len(words), 16)]
    assert (len(words), len(set(blocks))) == (16 * len(numbers), len(numbers))
    assert tuple(again) == blocks[1]
    assert all(word.isalpha() for word in words), "a word is a token, and a number would be several"


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 17, 19])
def test_a_prompt_of_short_blocks_has_its_length_wherever_it_ends(tokens) -> None:
    (prompt,) = prompts_of_trace(Drawn(1), ASKED, [Lengths(1, tokens, 5, (7, 8), 16)])
    assert len(text_of(prompt.body).split(" ")) == tokens


def test_prompts_of_a_trace_that_would_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"11,444 MiB of memory.*-l or --duration"):
        prompts_of_trace(Drawn(0), ASKED, [Lengths(1, 10_000_000, 1)] * 200)


def test_prompts_so_long_that_they_would_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"100 prompts of 10,000,000 tokens would take 5,722 MiB of memory"):
        made_prompts(Drawn(0), ASKED, tokens=10_000_000, shared_prefix=0)
    assert len(made_prompts(Drawn(0), ASKED, tokens=1_000_000, shared_prefix=0, most=3)) == 3


@pytest.mark.parametrize("length", ['"5"', "-1", "1.5", "true", "3000000000"])
def test_a_line_that_asks_for_no_number_of_tokens_is_named(tmp_path, length) -> None:
    (tmp_path / "prompts.jsonl").write_text(f'"one"\n{{"prompt": "two", "output_tokens": {length}}}\n')
    with pytest.raises(UsageError, match="line 2: output_tokens is"):
        prompts_in(tmp_path / "prompts.jsonl", ASKED)


def test_a_prefix_leaves_each_prompt_a_word_of_its_own() -> None:
    with pytest.raises(UsageError, match="leaves nothing"):
        made_prompts(Drawn(0), ASKED, tokens=8, shared_prefix=8)


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
    whole = Asked(8, streams=False, form="completion")
    of_a_line = {"prompt": "hello", "stream": True, "stream_options": {"include_usage": True}}
    for prompt in ("hello", of_a_line):
        assert json.loads(whole.body(prompt)) == {"prompt": "hello", "max_tokens": 8}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"max_completion_tokens": 16}, {"max_completion_tokens": 16, "min_tokens": 16}),
        ({"max_tokens": 16}, {"max_tokens": 16, "min_tokens": 16}),
        ({"output_tokens": 16}, {"max_tokens": 16, "min_tokens": 16}),
        ({"max_tokens": None}, {"max_tokens": 64, "min_tokens": 64}),
        ({"max_completion_tokens": None}, {"max_completion_tokens": None, "max_tokens": 64, "min_tokens": 64}),
    ],
    ids=str,
)
def test_an_answer_that_goes_on_has_the_length_that_is_asked_for_under_either_name(said, expected) -> None:
    body = json.loads(Asked(64, streams=False, ignores_end=True).body({"prompt": "hello", **said}))
    assert body == {"prompt": "hello", "ignore_eos": True, **expected}


@pytest.mark.parametrize("said", [{"continuous_usage_stats": True}, {"include_usage": False}, {}, None], ids=str)
def test_the_options_of_a_stream_stay_as_a_line_has_them_and_usage_is_asked_for(tmp_path, said) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "hello", "stream_options": said}))
    body = json.loads(prompts_in(path, ASKED).first.body)
    assert body["stream_options"] == {**(said or {}), "include_usage": True}


def test_options_of_a_stream_that_are_no_object_are_said_with_their_line(tmp_path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('"first"\n{"prompt": "hello", "stream_options": "usage"}\n')
    with pytest.raises(UsageError, match=r"line 2: its stream_options are no object"):
        prompts_in(path, ASKED)


def test_triton_is_asked_to_generate_from_a_text_and_parameters(tmp_path) -> None:
    asked = Asked(64, ignores_end=True, form="generate")
    parameters = {"max_tokens": 64, "ignore_eos": True, "min_tokens": 64, "stream": True}
    assert json.loads(asked.body("hello")) == {"text_input": "hello", "parameters": parameters}
    whole = replace(asked, streams=False, ignores_end=False)
    body = json.loads(whole.body({"prompt": "hello", "output_tokens": 5, "temperature": 0}))
    parameters = {"max_tokens": 5, "temperature": 0, "stream": False}
    assert body == {"text_input": "hello", "parameters": parameters}
    assert answer_asked(json.dumps(body).encode()).tokens == 5
    body = json.loads(whole.body({"prompt": "hello", "parameters": {"max_tokens": 5, "temperature": 0}, "top_p": 1}))
    parameters = {"max_tokens": 5, "temperature": 0, "top_p": 1, "stream": False}
    assert body == {"text_input": "hello", "parameters": parameters}
    path = tmp_path / "prompts.jsonl"
    path.write_text('"hello"\n{"messages": [{"role": "user", "content": "hello"}]}\n')
    with pytest.raises(UsageError, match="line 2 is a conversation"):
        prompts_in(path, asked)
    path.write_text('"hello"\n{"prompt": "hello", "parameters": [9]}\n')
    with pytest.raises(UsageError, match="line 2: its parameters are no object"):
        prompts_in(path, asked)


def test_a_file_is_read_by_its_lines_whatever_it_is_called(tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text('"one"\n"two"\n"three"\n')
    assert [text_of(one.body) for one in prompts_in(path, ASKED)] == ["two", "three"]
    path.write_text("no JSON\n")
    with pytest.raises(UsageError, match="line 1 is no JSON"):
        prompts_in(path, ASKED)


def test_a_line_may_ask_triton_in_its_own_words(tmp_path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(
        '{"id": "a", "text_input": "hello", "parameters": {"temperature": 0}}\n'
        '{"text_input": "hello", "parameters": {"max_tokens": 7}, "bad_words": ""}\n'
        '{"text_input": "hello", "output_tokens": 5}\n'
    )
    prompts = prompts_in(path, Asked(64, form="generate"))
    first, second, third = (json.loads(one.body) for one in (prompts.first, *prompts))
    parameters = {"temperature": 0, "max_tokens": 64, "stream": True}
    assert first == {"id": "a", "text_input": "hello", "parameters": parameters}
    assert second == {"text_input": "hello", "parameters": {"bad_words": "", "max_tokens": 7, "stream": True}}
    assert third == {"text_input": "hello", "parameters": {"max_tokens": 5, "stream": True}}
    with pytest.raises(UsageError, match="line 1 is no prompt"):
        prompts_in(path, ASKED)


def test_the_lines_of_a_file_are_prompts_of_any_of_the_usual_forms(tmp_path) -> None:
    lines = [
        "a text",
        {"prompt": "to be completed", "output_tokens": 5},
        {"messages": [{"role": "system", "content": "be short"}], "temperature": 0},
        {
            "id": "x",
            "conversations": [
                {"from": "system", "value": "be kind"},
                {"from": "human", "value": "shared"},
                {"from": "gpt", "value": "answer"},
            ],
        },
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    prompts = prompts_in(path, ASKED)
    assert len(prompts) == 3
    text, completed, messages, shared = (json.loads(one.body) for one in (prompts.first, *prompts))
    assert text["messages"][0]["content"] == "a text"
    assert (completed["prompt"], completed["max_tokens"], "messages" in completed) == ("to be completed", 5, False)
    assert (messages["temperature"], messages["max_tokens"]) == (0, 64)
    assert shared["messages"] == [{"role": "user", "content": "shared"}]


@pytest.mark.parametrize(
    "line",
    [
        "1",
        "{}",
        '""',
        '{"conversations": []}',
        '{"conversations": [{"from": "gpt", "value": "a"}]}',
        '{"conversations": [{"from": "human", "value": 1}]}',
        '{"prompt": ""}',
    ],
)
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


TRACES = Path(__file__).parent / "data" / "traces"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("mooncake.jsonl:timestamp", Lengths(1, 6755, 500, (0, 1, 2, 3))),
        ("bailian.jsonl:timestamp", Lengths(1, 25, 7, (0, 1), 16)),
        ("azure-2023.csv:TIMESTAMP", Lengths(2, 374, 44)),
        ("azure-2024.csv:timestamp", Lengths(2, 2162, 5)),
        ("burstgpt.csv:Timestamp", Lengths(2, 472, 18)),
    ],
)
def test_lengths_of_published_traces_are_read(name, first) -> None:
    found = read_lengths(str(TRACES / name), 1000)
    assert found is not None
    assert found[0] == first
    assert read_lengths(str(TRACES / name), 2) == found[:2]


@pytest.mark.parametrize(
    "content",
    [
        "# exported; by hand\nat,ContextTokens,GeneratedTokens\n0,5,6\n1,7,8\n",
        "\n \nat;ContextTokens;GeneratedTokens\n0;5;6\n\n1;7;8\n",
        "at\tContextTokens\tGeneratedTokens\n0\t5\t6\n # night, no one came\n1\t7\t8\n# end\n",
        '\n{"at": 0, "input_length": 5, "output_length": 6}\n\n{"at": 1, "input_length": 7, "output_length": 8}\n',
    ],
    ids=["comment first", "blank lines", "comments between", "objects"],
)
def test_the_lines_of_a_trace_that_have_a_time_have_lengths(tmp_path, content) -> None:
    path = tmp_path / "trace"
    path.write_text(content)
    name = f"{path}:at"
    times_ns, _ = read_trace(name)
    found = read_lengths(name, 10)
    assert times_ns == (0, NS_PER_S)
    assert found is not None
    assert [(one.input_tokens, one.output_tokens) for one in found] == [(5, 6), (7, 8)]


def test_a_trace_of_times_alone_says_nothing_of_lengths(tmp_path) -> None:
    path = tmp_path / "times"
    for content in ("0\n1\n", "time,bytes\n0,1\n", '{"time": 0}\n'):
        path.write_text(content)
        assert read_lengths(str(path), 10) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": 1, "input_length": 2}\n',
            "output_length",
        ),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"input_length": -1, "output_length": 1}\n', "-1"),
        ('{"input_length": 1, "output_length": 1}\n{"input_length": 1.5, "output_length": 1}\n', "1.5"),
        (
            '{"input_length": 1, "output_length": 1}\n{"input_length": 1, "output_length": 1, "hash_ids": 3}\n',
            "hash_ids",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n0,x,1\n", "contexttokens is 'x'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n0,1\n", "generatedtokens is nothing"),
    ],
)
def test_a_line_without_its_lengths_is_said_with_its_number(tmp_path, content, said) -> None:
    path = tmp_path / "trace"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"line 2: ") as refused:
        read_lengths(str(path), 10)
    assert said in str(refused.value)
