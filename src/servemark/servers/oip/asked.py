"""What is asked of a model by the Open Inference Protocol, and with which tensors. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from servemark.errors import UsageError

#: The bytes of an element of each data type; None of strings, which have their length with them.
SIZES: dict[str, int | None] = {
    "BOOL": 1,
    **{f"{sign}INT{bits}": bits // 8 for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": None,
}
#: What a model is asked for: tensors for tensors; a text and parameters for the same; either as a stream.
CallName = Literal["infer", "infer_stream", "generate", "generate_stream"]
CALLS: tuple[CallName, ...] = get_args(CallName)
#: Those that take a text.
GENERATING: tuple[CallName, ...] = ("generate", "generate_stream")
#: Which of them a server has, by what it calls itself; of any other it is not known.
CALLS_OF: dict[str, tuple[CallName, ...]] = {
    "triton": ("infer", "generate", "generate_stream"),
    "mlserver": ("infer", "infer_stream"),
    "kserve": ("infer",),
}
#: How a model is asked for a stream, of each server that has one.
TO_STREAM = "ask for a stream: --call generate_stream of Triton, infer_stream of MLServer"
#: How tensors are written: as JSON, or as bytes behind it; "auto" is bytes where the server says that it takes them.
Form = Literal["auto", "json", "binary"]
FORMS: tuple[Form, ...] = get_args(Form)
#: Data that is made; anything else names a file.
MADE = ("random", "zeros")
_SHAPE = re.compile(rf"(?P<name>.+?)(?::(?P<datatype>{'|'.join(SIZES)}))?:(?P<dims>[0-9]+(?:,[0-9]+)*)")


@dataclass(frozen=True)
class TensorShape:
    """The shape of an input, every dimension of it; `datatype` is empty where the server knows it."""

    name: str
    dims: tuple[int, ...]
    datatype: str = ""


def parse_shape(text: str) -> TensorShape:
    """Read ``NAME:[DATATYPE:]1,4``.

    Raises:
        ValueError: it has another form.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a shape such as x:1,4, or x:FP32:1,4 with the data type")
    dims = tuple(map(int, match["dims"].split(",")))
    if 0 in dims:
        raise ValueError(f"{text!r} has a dimension of 0, so that nothing would be sent")
    return TensorShape(match["name"], dims, match["datatype"] or "")


def check_call(call: CallName, server: str, product: str) -> None:
    """Refuse a call that a server, by what it calls itself, has not.

    Raises:
        UsageError: says which it has.
    """
    has = CALLS_OF.get(server, CALLS)
    if call not in has:
        others = " or ".join(one for one in has if one != "infer")
        raise UsageError(
            f"--call {call} makes no sense with a {product}",
            cause="it has no such call",
            next_step=f"give --call {others}, or leave it out" if others else "leave it out",
        )


def check_call_of_prompts(call: CallName, server: str, product: str) -> None:
    """Refuse prompts of a server, by what it calls itself, that has no call for them, or is asked by another.

    Raises:
        UsageError: says what it can be asked.
    """
    takes = [one for one in CALLS_OF.get(server, CALLS) if one in GENERATING]
    if not takes:
        raise UsageError(
            f"a {product} takes no prompts",
            cause="its models take tensors",
            next_step="say with --input-data or -i what to send, or with --dialect openai what it speaks",
        )
    if call not in takes:
        raise UsageError(
            f"a {product} takes no prompts by --call {call}",
            cause="that takes tensors",
            next_step=f"say with --call {takes[-1]} that it is to generate",
        )


@dataclass(frozen=True)
class TensorsAsked:
    """What is asked, and what is sent where no input is given.

    Attributes:
        data: ``"random"``, ``"zeros"``, or a file with the values.
        shapes: of inputs whose shapes the server leaves open.
        form: how tensors are written.
        call: what the model is asked for.
        named: the options of these that the user gave, as the command line calls them.
    """

    data: str = MADE[0]
    shapes: tuple[TensorShape, ...] = ()
    form: Form = "auto"
    call: CallName = "infer"
    named: tuple[str, ...] = ()
