"""Inputs made of what a server says of its model: shapes and data types, with values that are drawn, or given."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from servemark.errors import UsageError
from servemark.servers.oip.asked import GENERATING, MADE, SIZES, TensorsAsked, TensorShape
from servemark.servers.oip.tensors import (
    ONLY_BINARY,
    Tensor,
    TensorSpec,
    array_of,
    as_text,
    described,
    in_binary,
    in_json,
)
from servemark.workload.inputs import Input

#: How many different inputs are drawn, so that no answer can be kept for the next.
_DRAWN = 8
#: Numbers below which whole ones are drawn: within any vocabulary, and any type.
_BELOW = 100
_STRING_LENGTH = 16
#: What asks Triton's backends of language models for a stream.
_STREAM = ("stream", "BOOL")
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"


def made_inputs(model: str, specs: Sequence[TensorSpec], asked: TensorsAsked, *, binary: bool) -> tuple[Input, ...]:
    """The inputs of a model whose inputs are `specs`, as they are sent.

    Raises:
        UsageError: a shape is not known, the data cannot be read, or has no place in the model's inputs; or several of
            these have one name, as MLServer describes what a model takes instead of each other.
    """
    names = [spec.name for spec in specs]
    if several := [spec for spec in specs if names.count(spec.name) > 1]:
        raise UsageError(
            f"{model} has several inputs of the name {several[0].name!r}",
            cause=f"the server describes {', '.join(map(str, specs))}",
            next_step="give the request's body with -i",
        )
    by_text = asked.call in GENERATING
    if asked.data in MADE:
        shaped = _shaped(model, specs, asked.shapes)
        count = _DRAWN if asked.data == "random" else 1
        pool = [[_made(spec, asked, number) for spec in shaped] for number in range(count)]
    else:
        pool = list(_of_file(Path(asked.data), model, specs, asked.shapes))
    small = [tensor.spec for tensor in pool[0] if tensor.spec.datatype in ONLY_BINARY]
    if small and (by_text or not binary):
        raise UsageError(
            f"the input {small[0]} of {model} cannot be written as JSON",
            cause="which has no numbers of that type",
            next_step="give --tensors binary, where the server takes that, or the request's body with -i",
        )
    write = as_text if by_text else in_binary if binary else in_json
    data = asked.data if asked.data in MADE else f"{asked.data}:"
    return tuple(
        write(tensors, f"{data} {described(tensors)}" + (f" ({number})" if len(pool) > 1 else ""))
        for number, tensors in enumerate(pool, 1)
    )


def _shaped(model: str, specs: Sequence[TensorSpec], shapes: Sequence[TensorShape]) -> list[TensorSpec]:
    """The inputs with shapes that leave nothing open: a first dimension that is open is one, the batch."""
    given = {shape.name: shape for shape in shapes}
    if not specs:
        untyped = next((shape for shape in shapes if not shape.datatype), None)
        if not shapes or untyped:
            name = untyped.name if untyped else "NAME"
            raise UsageError(
                f"the server does not say which inputs {model} has",
                next_step=f"give --shape {name}:FP32:1,4 for each, or the request's body with -i",
            )
        return [TensorSpec(shape.name, shape.datatype, shape.dims) for shape in shapes]
    known = {spec.name for spec in specs}
    if stray := next((name for name in given if name not in known), None):
        has = ", ".join(map(str, specs))
        raise UsageError(f"--shape {stray}: {model} has no such input", cause=f"it has {has}")
    return [_one_shaped(model, spec, given.get(spec.name), f"--shape {spec.name}") for spec in specs]


def _one_shaped(model: str, spec: TensorSpec, given: TensorShape | None, said_by: str) -> TensorSpec:
    """An input with the shape that was `given`, as `said_by` tells; else its own, a first open dimension one."""
    if spec.datatype not in SIZES:
        raise UsageError(
            f"the input {spec} of {model} has an unknown data type", next_step="give the request's body with -i"
        )
    if given is None:
        dims = (1, *spec.shape[1:]) if spec.shape[:1] == (-1,) else spec.shape
        if min(dims, default=1) < 1:
            example = ",".join(str(dim if dim > 0 else 8) for dim in dims)
            raise UsageError(
                f"the shape of the input {spec} of {model} is open",
                next_step=f"say with --shape what to send, as in --shape {spec.name}:{example}",
            )
        return replace(spec, shape=dims)
    fits = len(given.dims) == len(spec.shape) and all(
        want in (-1, have) for have, want in zip(given.dims, spec.shape, strict=True)
    )
    if not fits or given.datatype not in ("", spec.datatype):
        said = f"{given.datatype + ' ' if given.datatype else ''}[{','.join(map(str, given.dims))}]"
        raise UsageError(
            f"{said_by}: {said} does not fit the input {spec} of {model}",
            next_step="give every dimension, the batch too; -1 stands for any number",
        )
    return replace(spec, shape=given.dims)


def _made(spec: TensorSpec, asked: TensorsAsked, number: int) -> Tensor:
    """A tensor of zeros, or of what is drawn for input `number`: the same whenever it is asked for.

    Whether a backend of language models is to answer with a stream is what the call says.
    """
    count, data = math.prod(spec.shape), asked.data
    if asked.call in GENERATING and (spec.name, spec.datatype) == _STREAM:
        return Tensor(spec, array_of("BOOL", [asked.call == "generate_stream"] * count))
    random = np.random.default_rng([number, *spec.name.encode()])
    if spec.datatype == "BYTES":
        letters = np.frombuffer(_LETTERS, dtype="u1")
        texts = [b""] * count if data == "zeros" else [random.choice(letters, _STRING_LENGTH).tobytes()] * count
        return Tensor(spec, texts)
    if data == "zeros":
        return Tensor(spec, array_of(spec.datatype, [0] * count))
    if spec.datatype == "BOOL":
        return Tensor(spec, random.integers(0, 2, count).astype(bool))
    if "INT" in spec.datatype:
        return Tensor(spec, random.integers(0, _BELOW, count))
    return Tensor(spec, random.random(count, dtype=np.float32))


def _of_file(
    path: Path, model: str, specs: Sequence[TensorSpec], shapes: Sequence[TensorShape]
) -> Iterator[list[Tensor]]:
    """The inputs in a file as perf_analyzer has them: ``{"data": [{NAME: VALUES}, ...]}``."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the input data {path}", cause=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the input data {path} is no JSON", cause=str(error), next_step=_FORM_OF_FILE) from error
    entries = value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not entries or not all(isinstance(one, dict) for one in entries):
        raise UsageError(f"there is no input in {path}", next_step=_FORM_OF_FILE)
    by_name = {spec.name: spec for spec in specs or _shaped(model, specs, shapes)}
    given = {shape.name: shape for shape in shapes}
    for number, entry in enumerate(entries, 1):
        where = f"{path}, input {number}"
        if missing := sorted(by_name.keys() - entry.keys()):
            raise UsageError(f"{where} lacks the input {by_name[missing[0]]} of {model}", next_step=_FORM_OF_FILE)
        if stray := sorted(entry.keys() - by_name.keys()):
            has = ", ".join(map(str, by_name.values()))
            raise UsageError(f"{where}: {model} has no input {stray[0]!r}", cause=f"it has {has}")
        yield [_given(where, model, spec, given.get(name), entry[name]) for name, spec in by_name.items()]


_FORM_OF_FILE = 'write {"data": [{"NAME": [1, 2, 3, 4]}]}, an entry for each input that is to be sent'


def _given(where: str, model: str, spec: TensorSpec, given: TensorShape | None, values: Any) -> Tensor:
    """A tensor of a file: its values alone, or with their shape, or as the bytes of what they are."""
    shape, said_by = given, f"--shape {spec.name}"
    if isinstance(values, Mapping):
        if "shape" in values:
            shape, said_by = _shape_in(where, spec, values["shape"]), f"{where}: {spec.name}"
        values = values["b64"] if "b64" in values else values.get("content")
        if isinstance(values, str):
            values = _decoded(where, spec, values)
    flat = values if isinstance(values, bytes) else list(_flat(values))
    count = (
        None if isinstance(flat, bytes) and spec.datatype != "BYTES" else 1 if isinstance(flat, bytes) else len(flat)
    )
    if shape is None and isinstance(count, int):
        shape = _guessed(spec, count)
    shaped = _one_shaped(model, spec, shape, said_by)
    try:
        tensor = Tensor(shaped, _values(shaped, flat))
    except ValueError as error:
        raise UsageError(f"{where}: {spec.name} cannot be read", cause=str(error), next_step=_FORM_OF_FILE) from error
    wanted, found = math.prod(shaped.shape), len(tensor.values)
    if wanted != found:
        raise UsageError(
            f"{where}: {spec.name} has {found} values, and {shaped} has {wanted}",
            next_step=f"give --shape {spec.name}:DIMS, or the values that it takes",
        )
    return tensor


def _shape_in(where: str, spec: TensorSpec, dims: Any) -> TensorShape:
    """The shape that stands beside the values of a file."""
    if not isinstance(dims, list) or not all(type(dim) is int and dim > 0 for dim in dims):
        raise UsageError(
            f"{where}: {spec.name} has no shape that can be sent",
            cause=f'"shape" is {json.dumps(dims)}',
            next_step='write every dimension, the batch too, as "shape": [1, 4]',
        )
    return TensorShape(spec.name, tuple(dims))


def _values(spec: TensorSpec, flat: Any) -> Any:
    if spec.datatype == "BYTES":
        texts = [flat] if isinstance(flat, bytes) else flat
        if odd := [text for text in texts if isinstance(text, Mapping)]:
            raise ValueError(f"{json.dumps(odd[0])} is no string")
        return [text if isinstance(text, bytes) else str(text).encode() for text in texts]
    if isinstance(flat, bytes):
        if spec.datatype == "BF16":
            return (np.frombuffer(flat, dtype="<u2").astype("<u4") << 16).view("<f4")
        return np.frombuffer(flat, dtype=array_of(spec.datatype, []).dtype)
    values = array_of(spec.datatype, flat)
    pairs = zip(flat, values.tolist(), strict=True)
    # NumPy cuts off fractions, takes anything for a truth value, and what is too large for infinity.
    is_whole = spec.datatype == "BOOL" or "INT" in spec.datatype
    if lost := [given for given, kept in pairs if (given != kept if is_whole else math.isinf(kept) and given != kept)]:
        raise ValueError(f"{json.dumps(lost[0])} has no place in {spec.datatype}")
    return values


def _guessed(spec: TensorSpec, count: int) -> TensorShape | None:
    """The shape that so many values have, where only one dimension is open."""
    known = math.prod(dim for dim in spec.shape if dim > 0)
    if sum(dim < 0 for dim in spec.shape) != 1 or not known or not count or count % known:
        return None
    return TensorShape(spec.name, tuple(dim if dim > 0 else count // known for dim in spec.shape))


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, list):
        for one in values:
            yield from _flat(one)
    elif values is not None:
        yield values


def _decoded(where: str, spec: TensorSpec, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UsageError(f"{where}: {spec.name} is no base64", cause=str(error)) from error
