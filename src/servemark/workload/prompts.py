"""Prompts: what servers of language models are asked, and how; from a file of the user's, or made (``made_prompts``).

Each is the body of a request: as OpenAI's API has it, without the name of the model, or as Triton's generate extension
does. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from servemark.errors import UsageError
from servemark.workload.inputs import Input, lines_in

#: What is asked where nobody says it: as many tokens as the shorter of the usual loads have.
PROMPT_TOKENS, OUTPUT_TOKENS = 128, 64
#: What a request calls the length of its answer, and what is no length any more: records have four bytes for one.
_LENGTHS = ("max_completion_tokens", "max_tokens")
_MOST_TOKENS = 1 << 31


#: What those are called in conversations who ask.
_PERSONS = ("human", "user")
JSON = "application/json"
#: As what a text is asked: a message, or what is to be completed, of OpenAI's API; or the input of Triton's generate.
PromptForm = Literal["message", "completion", "generate"]


@dataclass(frozen=True)
class Drawn:
    """What prompts that are made are drawn by: a seed, and for which of the runs with that seed they are, from 0."""

    seed: int
    run: int = 0


@dataclass(frozen=True)
class Prompts:
    """What a server is asked: a pool that is made anew whenever it is gone through, so that it takes no memory.

    Attributes:
        first: what is asked before the measurement.
        count: how many are in the pool.
        make: what makes them, the same each time.
        is_in_order: whether they are asked in their order, the n-th by the n-th arrival.
        drawn: of those that are made, by what.
        others: what makes such prompts by something else.
    """

    first: Input
    count: int
    make: Callable[[], Iterator[Input]]
    is_in_order: bool = False
    drawn: Drawn | None = None
    others: Callable[[Drawn], Prompts] | None = None

    @property
    def other_ones(self) -> str:
        """What to try where a server does not take these: it goes by what says how long they are."""
        if self.is_in_order:
            return "give prompts that it takes with --prompts, or another trace"
        if self.drawn:
            return "ask for less with --prompt-tokens and --output-tokens, or give prompts that it takes with --prompts"
        return "give prompts that it takes with --prompts, or have shorter ones made with --prompt-tokens"

    def __iter__(self) -> Iterator[Input]:
        """Make the prompts of the pool."""
        return self.make()

    def __len__(self) -> int:
        """How many these are."""
        return self.count

    def drawn_by(self, drawn: Drawn) -> Prompts:
        """The prompts that are asked in a run: made ones are others in each, since a server may remember them."""
        return self.others(drawn) if self.others else self


@dataclass(frozen=True)
class Asked:
    """What is asked of each answer.

    Attributes:
        output_tokens: of how many it is to be at most; None leaves it to each prompt, or to the server.
        streams: whether it is to come as a stream, with its usage at the end.
        ignores_end: whether it goes on to that number whatever the model says, on servers that know the word.
        form: as what a text is asked.
    """

    output_tokens: int | None
    streams: bool = True
    ignores_end: bool = False
    form: PromptForm = "message"

    def body(self, prompt: str | Mapping[str, Any], usual_tokens: int | None = None) -> bytes:
        """The request for a prompt: a text, or what of a request stands in a file, which counts.

        Of `usual_tokens` is the answer to be at most where nothing else says it.
        """
        asked: dict[str, Any] = dict(prompt) if isinstance(prompt, Mapping) else self._of_text(prompt)
        length = asked.pop("output_tokens", None) or self.output_tokens or usual_tokens
        text: dict[str, Any] = {}
        if self.form == "generate":
            text, asked = _text_and_parameters(asked)
        said = next((asked[name] for name in _LENGTHS if asked.get(name) is not None), None)
        if said is None and length is not None:
            asked["max_tokens"] = said = length
        if self.ignores_end:
            asked |= {"ignore_eos": True, "min_tokens": said}
        if self.form == "generate":
            asked = {**text, "parameters": {**asked, "stream": self.streams}}
        elif self.streams:
            options = asked.get("stream_options") or {}
            asked |= {"stream": True, "stream_options": {**options, "include_usage": True}}
        else:  # whatever a line of a file has
            asked = {name: value for name, value in asked.items() if name not in ("stream", "stream_options")}
        return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()

    def _of_text(self, text: str) -> dict[str, Any]:
        is_message = self.form == "message"
        return {"messages": [{"role": "user", "content": text}]} if is_message else {"prompt": text}


def _text_and_parameters(asked: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What Triton's generate calls the text, and all else of what is asked, in its words or in OpenAI's, as parameters.

    Triton makes a tensor of a parameter if the model has an input of that name. Those in Triton's words may have an id.
    """
    parameters = dict(asked)
    parameters |= parameters.pop("parameters", None) or {}
    if "text_input" not in asked:
        return {"text_input": parameters.pop("prompt", None)}, parameters
    return {name: parameters.pop(name) for name in ("id", "text_input") if name in asked}, parameters


class AnswerAsked(NamedTuple):
    """What a request asks of its answer: how many tokens at most, 0 where it says nothing, and whether as a stream."""

    tokens: int
    is_stream: bool


def answer_asked(body: bytes) -> AnswerAsked:
    """What a request asks of its answer, as OpenAI's API and Triton's have it; of several answers the tokens of all.

    Several are asked for by ``n``, and by a list of prompts; one of numbers is a prompt in tokens.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return AnswerAsked(0, is_stream=False)
    parts = [asked, asked.get("parameters")]
    lengths = [part.get(name) for part in parts if isinstance(part, dict) for name in _LENGTHS]
    most = next((length for length in lengths if type(length) is int), 0)
    answers, prompts = asked.get("n"), asked.get("prompt")
    several = sum(not isinstance(one, int) for one in prompts) if isinstance(prompts, list) else 0
    tokens = most * (answers if type(answers) is int else 1) * (several or 1)
    return AnswerAsked(tokens if 0 < tokens < _MOST_TOKENS else 0, asked.get("stream") is True)


def prompt_text(body: bytes) -> str:
    """What a request asks, as text: its prompt, or what its messages say, one below the other; empty of any other."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(asked, dict):
        return ""
    said = [asked.get("prompt"), asked.get("text_input")]
    messages = asked.get("messages")
    said += [one.get("content") for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return "\n".join(text for content in said for text in _texts(content))


def _texts(content: Any) -> Iterator[str]:
    """The texts of a content: one, or parts, of which some are texts."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def prompts_in(path: Path, asked: Asked) -> Prompts:
    """The prompts in a JSONL file, one a line: a text, an object with ``prompt``, ``messages`` or ``conversations``.

    Of conversations, as ShareGPT has them, what a person said first is asked. What else of a request stands in an
    object is sent with it; ``output_tokens`` says how long its answer is to be. Triton's generate may be asked in its
    own words, ``text_input`` and ``parameters``. All lines are read here, and read again when their requests are made,
    so that no copy of them stays.

    Raises:
        UsageError: it cannot be read, has no line, or a line is no prompt.
    """
    lines = _lines_of(path)
    found = (_input(line, asked) for line in lines())
    first = next(found)  # a file without any is refused
    count = sum(1 for _ in found)
    if not count:  # the only one is asked before the measurement, and in it
        return Prompts(first, 1, lambda: iter((first,)))
    return Prompts(first, count, lambda: (_input(line, asked) for line in islice(lines(), 1, None)))


def _lines_of(path: Path) -> Callable[[], Iterator[Input]]:
    """What goes through the lines of a file again and again; those of a pipe are kept."""
    if path.is_file():
        return lambda: lines_in(path)
    kept = tuple(lines_in(path))
    return lambda: iter(kept)


def _input(line: Input, asked: Asked) -> Input:
    prompt = _prompt(json.loads(line.body), line.origin, asked.form)
    if asked.form == "generate" and isinstance(prompt, dict):
        _check_generate(prompt, line.origin)
    return Input(asked.body(prompt), JSON, line.origin)


def _check_generate(prompt: Mapping[str, Any], origin: str) -> None:
    if not (prompt.get("prompt") or prompt.get("text_input")):
        raise UsageError(f"{origin} is a conversation", next_step="write a text, or an object with a prompt")
    _check_object(prompt, "parameters", '{"NAME": 1}', origin)


def _prompt(value: Any, origin: str, form: PromptForm) -> str | dict[str, Any]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict):
        is_tritons = form == "generate" and value.get("text_input")
        if value.get("prompt") or value.get("messages") or is_tritons:
            _check_length(value.get("output_tokens"), origin)
            _check_object(value, "stream_options", '{"include_usage": true}', origin)
            return value
        said = _said_first(value.get("conversations"))
        if said:
            return said
    raise UsageError(
        f"{origin} is no prompt",
        next_step='write a text, or an object with "prompt", "messages" or "conversations", one of which is a human\'s',
    )


def _check_length(output_tokens: Any, origin: str) -> None:
    if output_tokens is not None and (type(output_tokens) is not int or not 0 <= output_tokens < _MOST_TOKENS):
        raise UsageError(
            f"{origin}: output_tokens is {ascii(output_tokens)[:40]}", next_step="write a whole number of tokens"
        )


def _check_object(asked: Mapping[str, Any], name: str, example: str, origin: str) -> None:
    if not isinstance(asked.get(name) or {}, dict):
        raise UsageError(
            f"{origin}: its {name} are no object", next_step=f'write {{"prompt": "a text", "{name}": {example}}}'
        )


def _said_first(turns: Any) -> str:
    """What a person said first in a conversation of ShareGPT's; empty where nobody did."""
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("from", "human") in _PERSONS and isinstance(turn.get("value"), str):
            return str(turn["value"])
    return ""
