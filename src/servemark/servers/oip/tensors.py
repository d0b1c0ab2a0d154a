"""Tensors as the Open Inference Protocol writes them: as JSON, or as bytes behind it, and read from answers.

The bytes are those of Triton's "Binary Tensor Data Extension": little-endian, row by row, each string behind its length
in four bytes; the header Inference-Header-Content-Length says where the JSON ends.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from servemark.servers.oip.asked import SIZES
from servemark.workload.inputs import Input

#: What numpy calls each data type. It knows no BF16, whose bits are those of the upper half of FP32; strings are apart.
_DTYPES: Mapping[str, str] = {
    "BOOL": "?",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
#: Data types that JSON has no numbers for.
ONLY_BINARY = ("FP16", "BF16")
_LENGTH = "Inference-Header-Content-Length"
#: What a request says of an output that is to be written as bytes, and of one that is to be put into shared memory.
_BINARY, _SHARED = "binary_data", "shared_memory_region"


@dataclass(frozen=True)
class TensorSpec:
    """What is known of a tensor: its name, its data type, and its shape, in which -1 is any number."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def read(cls, described: Any) -> TensorSpec:
        """The tensor that a server describes.

        Raises:
            ValueError: it is no description of one.
        """
        try:
            name, datatype, shape = described["name"], described["datatype"], tuple(map(int, described["shape"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no name, datatype and shape in {json.dumps(described)[:80]}") from error
        return cls(str(name), str(datatype), shape)

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} [{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Tensor:
    """A tensor with its values: of numbers an array of `spec`'s shape, of strings a sequence of bytes, row by row."""

    spec: TensorSpec
    values: Any

    def as_json(self) -> list[Any]:
        """The values as JSON has them, row by row."""
        if self.spec.datatype == "BYTES":
            return [text.decode("utf-8", "replace") for text in self.values]
        flat: list[Any] = np.asarray(self.values).reshape(-1).tolist()
        return flat

    def as_bytes(self) -> bytes:
        """The values as they are sent behind the JSON."""
        if self.spec.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(text)) + text for text in self.values)
        values = np.asarray(self.values)
        if self.spec.datatype == "BF16":
            return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        return values.astype(_DTYPES[self.spec.datatype]).tobytes()


def array_of(datatype: str, values: Sequence[Any]) -> Any:
    """`values` as an array of that data type; those of BF16 as FP32 has them.

    Raises:
        ValueError: one of them has no place in it.
    """
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype="<f4" if datatype == "BF16" else _DTYPES[datatype])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{error}, which {datatype} has no place for") from error


def described(tensors: Sequence[Tensor]) -> str:
    """What is sent, in words: ``x FP32 [1,4]``."""
    return ", ".join(str(tensor.spec) for tensor in tensors)


def in_json(tensors: Sequence[Tensor], origin: str) -> Input:
    """The request with these tensors as JSON."""
    inputs = [{**_head(tensor.spec), "data": tensor.as_json()} for tensor in tensors]
    return Input(json.dumps({"inputs": inputs}).encode(), "application/json", origin)


def in_binary(tensors: Sequence[Tensor], origin: str) -> Input:
    """The request with these tensors as bytes, which asks for bytes."""
    raw = [tensor.as_bytes() for tensor in tensors]
    inputs = [
        {**_head(tensor.spec), "parameters": {"binary_data_size": len(one)}}
        for tensor, one in zip(tensors, raw, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = ((_LENGTH, str(len(head))),)
    return Input(b"".join((head, *raw)), "application/octet-stream", origin, headers=headers)


def as_text(tensors: Sequence[Tensor], origin: str) -> Input:
    """The request of ``generate``: values by the names of their tensors, one alone without a list around it."""
    values = {tensor.spec.name: tensor.as_json() for tensor in tensors}
    body = {name: several[0] if len(several) == 1 else several for name, several in values.items()}
    return Input(json.dumps(body).encode(), "application/json", origin)


def wrong_in(body: bytes, outputs: Sequence[TensorSpec], request: bytes = b"") -> str | None:
    """What is wrong with an answer to `request`, of a model whose `outputs` a server describes; None of a right one.

    It has the outputs that the request names, and as many values of each as its shape says. One that is described has
    that data type, and a shape that fits, unless the request asks for it in another form. Any other may be missing.
    """
    asked = _asked(request)
    try:
        answered = _answered(body, [name for name, parameters in asked.items() if _SHARED in parameters])
    except ValueError as error:
        return str(error)
    if outputs and not answered:
        return f"it has no output, and the server describes {', '.join(map(str, outputs))}"
    missing = [name for name in asked if name not in {found.name for found in answered}]
    if missing:
        has = ", ".join(map(str, answered)) or "none"
        return f"it has no output {missing[0]}, which the request asks for; it has {has}"
    for found in answered:
        is_asked_otherwise = asked.get(found.name, {}).keys() - {_BINARY}
        alike = [one for one in outputs if one.name == found.name and not is_asked_otherwise]
        if alike and not any(found.datatype == one.datatype and _fits(found.shape, one.shape) for one in alike):
            return f"its output is {found}, and the server describes {' or '.join(map(str, alike))}"
    return None


def json_of(body: bytes) -> tuple[Any, bytes]:
    """The JSON that an answer begins with, and the bytes behind it.

    Raises:
        ValueError: it begins with none.
    """
    text = body.decode("latin-1")  # of which each character is a byte, so that places are the same
    _, end = json.JSONDecoder().raw_decode(text)
    return json.loads(body[:end]), body[end:]


def _head(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "datatype": spec.datatype}


def _asked(request: bytes) -> dict[str, Mapping[str, Any]]:
    """The outputs that a request names, each with its parameters; empty where it names none, or cannot be read."""
    try:
        outputs = json_of(request.lstrip())[0].get("outputs") or ()
        return {str(one["name"]): dict(one.get("parameters") or {}) for one in outputs}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def _answered(body: bytes, shared: Sequence[str]) -> list[TensorSpec]:
    """The tensors of an answer, each as large as it says, but for those that are put into memory which is `shared`.

    Raises:
        ValueError: it holds none, or one is not.
    """
    try:
        value, rest = json_of(body)
        outputs = value["outputs"]
    except (ValueError, TypeError, KeyError, RecursionError):
        outputs, rest = None, b""
    if not isinstance(outputs, list):
        raise ValueError(f"expected JSON with outputs, got {body[:80].decode('utf-8', 'replace')!r}")
    specs = []
    for output in outputs:
        spec = TensorSpec.read(output)
        count = math.prod(spec.shape)
        if "data" in output:
            values = _count(output["data"])
            if values != count:
                raise ValueError(f"its output {spec} has {values} values, not {count}")
        elif spec.name not in shared:
            parameters = output.get("parameters")
            size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
            element = SIZES.get(spec.datatype)
            if not isinstance(size, int) or size > len(rest) or (element and size != count * element):
                raise ValueError(f"its output {spec} has {size} bytes, of {len(rest)} behind the JSON")
            rest = rest[size:]
        specs.append(spec)
    return specs


def _count(data: Any) -> int:
    return sum(map(_count, data)) if isinstance(data, list) else 1


def _fits(shape: Sequence[int], described_shape: Sequence[int]) -> bool:
    return len(shape) == len(described_shape) and all(
        want in (-1, have) for have, want in zip(shape, described_shape, strict=True)
    )
