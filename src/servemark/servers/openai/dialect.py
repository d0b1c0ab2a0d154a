"""OpenAI's API as servers of language models speak it: chat and completions, streamed or not.

After OpenAI's "API reference" (chat, completions, models), and what vLLM, SGLang and llama.cpp answer. Standard library
only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from servemark.servers.dialect import Ability
from servemark.servers.http.words import decoded, json_object, server_message
from servemark.workload.inputs import Input
from servemark.workload.scenario import Expect, Request, TokenFormat

_CHAT, _COMPLETIONS, _MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
_JSON = (("Content-Type", "application/json"),)


class OpenAIDialect:
    """What a server with OpenAI's API speaks; see ``servemark.servers.dialect.Dialect``."""

    name = "openai"
    product = "server with OpenAI's API"
    abilities: frozenset[Ability] = frozenset({"models", "health"})
    expects: Expect | None = None
    tokens: TokenFormat | None = "openai"
    admin = None

    def health(self) -> Request:
        """The list of its models."""
        return Request("GET", _MODELS)

    def is_health(self, status: int, body: bytes) -> bool:
        """Whether it is a list of models."""
        return status == 200 and isinstance(json_object(body).get("data"), list)

    def sign(self) -> Request:
        """A look at where answers are asked for, which asks for none."""
        return Request("OPTIONS", _CHAT)

    def is_sign(self, status: int, body: bytes) -> bool:
        """Whether there is something: a server may refuse to be asked so, but not for want of the path."""
        del body
        return status != 404

    def prediction(self, model: str, what: Input) -> Request:
        """What asks the model of that name: `what` as its request has it, or, where it is no JSON object, as a prompt.

        One with ``prompt`` asks for a completion, any other for an answer in a chat.
        """
        quickly = _with_model(model, what.body)
        if quickly is not None:
            return Request("POST", *quickly)
        asked = dict(json_object(what.body)) or {"messages": [_from_user(what.body)]}
        body = json.dumps({"model": model, **asked}, ensure_ascii=False, separators=(",", ":"))
        return Request("POST", _COMPLETIONS if "prompt" in asked else _CHAT, _JSON, body.encode())

    def decode(self, body: bytes) -> object:
        """What it answered, as JSON has it; the body itself where it is none, as a stream."""
        return decoded(body)

    def explain(self, status: int, body: bytes | str, *, reason: str = "", ready_workers: int | None = None) -> str:
        """Its own words, which stand in its error object."""
        del ready_workers
        return ": ".join(filter(None, (reason, error_in(body) or server_message(body)))) or f"HTTP {status}"


def error_in(body: bytes | str) -> str:
    """What an answer says of why it failed; empty where it does not say that it did, as with an empty error."""
    error = json_object(body).get("error") or ""
    if isinstance(error, Mapping):
        message = error.get("message")
        return " ".join(str(message or json.dumps(error)).split())[:300]
    return str(error)[:300]


def model_names(body: bytes) -> tuple[str, ...]:
    """The names in an answer that lists models, in its order."""
    data: Any = json_object(body).get("data")
    listed = data if isinstance(data, list) else []
    return tuple(str(one["id"]) for one in listed if isinstance(one, Mapping) and "id" in one)


def _with_model(model: str, body: bytes) -> tuple[str, tuple[tuple[str, str], ...], bytes] | None:
    """Path, fields and body of a request that is written as ours are, with the name put in; None of any other.

    Reading and writing each of 100,000 prompts again takes longer than making them. A key stands between quotes and
    before a colon, which no text within JSON's strings does.
    """
    is_prompt = body.startswith(b'{"prompt":')
    if b'"model":' in body or not (is_prompt or (body.startswith(b'{"messages":') and b'"prompt":' not in body)):
        return None
    named = b'{"model":' + json.dumps(model, ensure_ascii=False).encode() + b"," + body[1:]
    return (_COMPLETIONS if is_prompt else _CHAT), _JSON, named


def _from_user(text: bytes) -> dict[str, str]:
    return {"role": "user", "content": text.decode("utf-8", "replace")}


class _VllmDialect(OpenAIDialect):
    product = "vLLM"


DIALECT = OpenAIDialect()
#: Of one that we start, which is known for what it is.
VLLM = _VllmDialect()
