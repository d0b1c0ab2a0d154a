"""The signature of an archive (signature.json): what its model takes, and an input that is made of it."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from typing import Any

from servemark.errors import UsageError
from servemark.workload.inputs import Input, as_form

FILE_NAME = "signature.json"
IMAGE = "image/jpeg"
JSON = "application/json"
_GIVE_INPUT = "say with -i what to send to it"
#: Below the server's own limit on a request, 6.5 MB.
_MOST_NUMBERS = 500_000
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class SignatureInput:
    """One input: its name, and its shape. The first dimension is the batch's; 0 stands for any size."""

    name: str
    shape: tuple[int, ...]

    @property
    def one(self) -> tuple[int, ...]:
        """The shape of a single one, its open dimensions 1."""
        return tuple(size or 1 for size in (1, *self.shape[1:]))


@dataclass(frozen=True)
class Signature:
    """What a model takes. `content_type` is None where the signature does not tell it."""

    content_type: str | None
    inputs: tuple[SignatureInput, ...]


def read_signature(text: bytes) -> Signature | str:
    """The signature in `text`, or what is wrong with it."""
    try:
        data = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    entries = data.get("inputs") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not entries:
        return "it has no list of inputs"
    inputs = []
    for entry in entries:
        name, shape = (entry.get("data_name"), entry.get("data_shape")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(shape, list) or not shape or not all(map(_is_size, shape)):
            return "each of its inputs needs a data_name and a data_shape, such as [0, 3, 224, 224]"
        inputs.append(SignatureInput(name, tuple(shape)))
    content_type = data.get("input_type")
    return Signature(content_type if isinstance(content_type, str) else None, tuple(inputs))


def image_size(signature: Signature, name: str) -> tuple[int, int] | None:
    """Width and height of the image that the model `name` takes; None when it takes none.

    Raises:
        UsageError: its shape is none of an image.
    """
    if signature.content_type != IMAGE:
        return None
    shape = signature.inputs[0].shape
    # (batch, channels, height, width)
    if len(shape) != 4 or not all(0 < side <= _LARGEST_SIDE for side in shape[2:]) or len(signature.inputs) > 1:
        raise UsageError(f"no image can be made for {name}", cause=_shapes(signature), next_step=_GIVE_INPUT)
    return shape[3], shape[2]


def numbers_input(signature: Signature, name: str) -> Input:
    """Arrays of numbers in [0, 1) of the signature's shapes, as JSON; several inputs are the fields of a form.

    Raises:
        UsageError: the model `name` takes no JSON, or so much of it that no server would.
    """
    if signature.content_type != JSON:
        kind = signature.content_type or "something that its signature does not name"
        raise UsageError(f"no input can be made for {name}", cause=f"it takes {kind}", next_step=_GIVE_INPUT)
    if sum(math.prod(entry.one) for entry in signature.inputs) > _MOST_NUMBERS:
        raise UsageError(f"no input is made for {name}", cause=f"{_shapes(signature)} is large", next_step=_GIVE_INPUT)
    draw = random.Random(0)
    origin = f"signature: {_shapes(signature)}"
    fields = [
        (entry.name, Input(json.dumps(_array(entry.one, draw)).encode(), JSON, origin)) for entry in signature.inputs
    ]
    return fields[0][1] if len(fields) == 1 else as_form(fields, origin)


def _array(shape: tuple[int, ...], draw: random.Random) -> Any:
    return [_array(shape[1:], draw) for _ in range(shape[0])] if shape else round(draw.random(), 4)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _shapes(signature: Signature) -> str:
    return ", ".join(f"{entry.name} {list(entry.shape)}" for entry in signature.inputs)
