"""Prompts: what servers of language models are asked, from a file of the user's or made of words.

Each is the body of a request as OpenAI's API has it, without the name of the model. Standard library only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servemark.errors import UsageError
from servemark.workload.inputs import Input, read_inputs

#: What is asked where nobody says it: as many tokens as the shorter of the usual loads have.
PROMPT_TOKENS, OUTPUT_TOKENS = 128, 64
#: Prompts that are made, unless they are so long that they would take more memory than this.
_MADE, _MADE_BYTES, _FEWEST = 10_000, 64 << 20, 100
#: Short and frequent words, each of which the vocabularies of the usual tokenizers hold as one token.
_TEXT = (
    "the of and to in is was for that on with as by at from his it an were are which this be had also one not have or "
    "but they first new two other who all time would there into more when its some them only over can made many been "
    "than then so any may such these could most now after people being between under both where during before year "
    "city water world school state part war home name house life group power area river music game line family story "
    "body book light land day way man long high old early large small north south east west great little white black "
    "red green blue open right left main public local national several often never always later again still near far "
    "took came went found used known called left held given built set won lost born died moved opened played wrote "
    "order work service field system number force team party law road church king film song class story market money "
    "paper stone wood iron gold air fire sea ship train bridge tower wall door window table chair bread milk horse "
    "dog"
)
_WORDS = tuple(_TEXT.split())
_A_WORD_BYTES = 6


@dataclass(frozen=True)
class Asked:
    """What is asked of each answer.

    Attributes:
        output_tokens: of how many it is to be at most; None leaves it to each prompt, or to the server.
        streams: whether it is to come as a stream, with its usage at the end.
        ignores_end: whether it goes on to that number whatever the model says, on servers that know the word.
        is_chat: whether a text becomes a message; else it is a prompt to be completed.
    """

    output_tokens: int | None
    streams: bool = True
    ignores_end: bool = False
    is_chat: bool = True

    def body(self, prompt: str | Mapping[str, Any]) -> bytes:
        """The request for a prompt: a text, or what of a request stands in a file, which counts."""
        asked: dict[str, Any] = dict(prompt) if isinstance(prompt, Mapping) else self._of_text(prompt)
        length = asked.pop("output_tokens", None) or self.output_tokens
        if length is not None and "max_completion_tokens" not in asked:
            asked.setdefault("max_tokens", length)
        if self.ignores_end:
            asked |= {"ignore_eos": True, "min_tokens": asked.get("max_tokens", length)}
        if self.streams:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()

    def _of_text(self, text: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]} if self.is_chat else {"prompt": text}


def made_prompts(asked: Asked, *, tokens: int, shared_prefix: int, seed: int) -> tuple[Input, ...]:
    """Prompts of `tokens` words each, of which the first `shared_prefix` are those of all, and the rest each one's own.

    A pure function of `seed`. The words after the prefix begin with the prompt's number, so that no two prompts share
    more than the prefix, and no cache of prefixes knows one of them.

    Raises:
        UsageError: the prefix leaves no word of its own.
    """
    if shared_prefix >= tokens:
        raise UsageError(
            f"--shared-prefix {shared_prefix} leaves nothing of --prompt-tokens {tokens} to each prompt",
            next_step="give a smaller prefix",
        )
    count = max(_FEWEST, min(_MADE, _MADE_BYTES // (tokens * _A_WORD_BYTES)))
    prefix = random.Random(f"{seed} prefix").choices(_WORDS, k=shared_prefix)
    return tuple(
        Input(
            asked.body(" ".join([*prefix, *_own_words(seed, number, tokens - shared_prefix)])),
            _JSON,
            f"prompt {number}",
        )
        for number in range(count)
    )


_JSON = "application/json"


def _own_words(seed: int, number: int, count: int) -> Iterator[str]:
    """The words of one prompt behind the prefix, the first of them no other prompt's."""
    draws = random.Random(f"{seed} {number}")
    yield f"{number + 1}"
    yield from draws.choices(_WORDS, k=count - 1)


def prompts_in(path: Path, asked: Asked) -> tuple[Input, ...]:
    """The prompts in a JSONL file, one a line: a text, an object with ``prompt``, ``messages`` or ``conversations``.

    What else of a request stands in an object is sent with it; ``output_tokens`` says how long its answer is to be.

    Raises:
        UsageError: it cannot be read, has no line, or a line is no prompt.
    """
    return tuple(
        Input(asked.body(_prompt(json.loads(line.body), line.origin)), _JSON, line.origin)
        for line in read_inputs([path])
    )


def _prompt(value: Any, origin: str) -> str | dict[str, Any]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict):
        if value.get("prompt") or value.get("messages"):
            return value
        said = value.get("conversations")
        if isinstance(said, list) and said and isinstance(said[0], dict) and said[0].get("value"):
            return str(said[0]["value"])
    raise UsageError(
        f"{origin} is no prompt", next_step='write a text, or an object with "prompt", "messages" or "conversations"'
    )
