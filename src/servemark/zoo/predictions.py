"""Whether an answer is what a zoo model answers: the proof, before measuring, that the server runs the model."""

from __future__ import annotations

import json

from servemark.zoo.catalogue import ZooModel

_NOOP_ANSWER = b"OK"
_TOP = 5
#: What the entries of each model's answer name, and how many of them there are.
_DISTRIBUTIONS = {"resnet": ("class", 1000), "squeezenet": ("class", 1000), "lstm": ("token", 10_000)}


def check_prediction(model: ZooModel, prediction: object) -> str | None:
    """None when `prediction`, as the dialect decodes it, is a right one of `model`, else what is wrong with it."""
    if model.name not in _DISTRIBUTIONS:
        return None if prediction == _NOOP_ANSWER else f"expected {_NOOP_ANSWER.decode()!r}, got {_shown(prediction)}"
    name, size = _DISTRIBUTIONS[model.name]
    if isinstance(prediction, bytes):
        return f"expected JSON, got {_shown(prediction)}"
    entries = prediction
    if not isinstance(entries, list) or len(entries) != _TOP:
        return f"expected a list of {_TOP} entries, got {_shown(entries)}"
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {name, "probability"}:
            return f"expected entries of {name} and probability, got {_shown(entry)}"
        if type(entry[name]) is not int or not 0 <= entry[name] < size:
            return f"expected a {name} from 0 to {size - 1}, got {entry[name]!r}"
        if not isinstance(entry["probability"], float) or not 0 < entry["probability"] <= 1:
            return f"expected a probability above 0 and up to 1, got {entry['probability']!r}"
    probabilities = [entry["probability"] for entry in entries]
    if probabilities != sorted(probabilities, reverse=True):
        return f"expected the most probable {name} first, got probabilities {probabilities}"
    if sum(probabilities) > 1.0001:
        return f"expected probabilities that sum to at most 1, got {sum(probabilities)}"
    return None


def _shown(prediction: object) -> str:
    body = prediction if isinstance(prediction, bytes) else json.dumps(prediction).encode()
    text = body[:80].decode("utf-8", "replace")
    return repr(text + ("..." if len(body) > 80 else ""))
