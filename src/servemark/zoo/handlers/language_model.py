"""Language modelling: ``{"tokens": [17, 402, ...]}`` in, the five most probable next words out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .batch import BadInputError, answer
from .network import Network, load_network
from .top import most_probable

_VOCABULARY = 10_000
_LONGEST = 512
_TAKES = 'expected {"tokens": [17, 402, ...]} with content type application/json'

_network: Network | None = None


def handle(items: list[dict[str, Any]] | None, context: Any) -> list[Any] | None:
    """What the server calls: once with None to load the model, then with each batch of requests."""
    global _network
    if _network is None:
        _network = load_network(context)
    if items is None:
        return None
    network = _network

    def predict(sequences: list[list[int]]) -> list[Any]:
        # The network reads left to right: what is filled in on the right cannot change what it said before.
        data = np.zeros((len(sequences), max(map(len, sequences))), dtype=np.int64)
        for row, tokens in enumerate(sequences):
            data[row, : len(tokens)] = tokens
        logits = network.run(data)
        last = (logits[row, len(tokens) - 1] for row, tokens in enumerate(sequences))
        return [most_probable(_softmax(row), "token") for row in last]

    return answer(items, context, _tokens, predict)


def _tokens(body: Any) -> list[int]:
    """The token ids of one request. The server has parsed the JSON, unless it was told not to."""
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except ValueError as error:
            raise BadInputError(f"{_TAKES}: {error}") from error
    tokens = body.get("tokens") if isinstance(body, dict) else None
    if not isinstance(tokens, list):
        raise BadInputError(_TAKES)
    if not 1 <= len(tokens) <= _LONGEST:
        raise BadInputError(f"expected 1 to {_LONGEST} tokens, not {len(tokens)}")
    for token in tokens:
        if type(token) is not int:
            raise BadInputError(f"a token is an integer, not {json.dumps(token)[:40]}")
        if not 0 <= token < _VOCABULARY:
            raise BadInputError(f"token {token} is not in the vocabulary, 0 to {_VOCABULARY - 1}")
    return tokens


def _softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
