"""Tensors of the Open Inference Protocol: made of what a server describes, written as it reads them, and judged."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from servemark.errors import UsageError
from servemark.servers.oip.asked import SIZES, TensorsAsked, TensorShape, parse_shape
from servemark.servers.oip.made_inputs import made_inputs
from servemark.servers.oip.tensors import TensorSpec, wrong_in
from servemark.workload.inputs import Input

X = TensorSpec("x", "FP32", (-1, 4))


def _tensors(what: Input) -> dict[str, tuple[str, list[int], object]]:
    """What an input holds, by name: data type, shape, and the values or their bytes."""
    head = dict(what.headers).get("Inference-Header-Content-Length")
    body, rest = (what.body, b"") if head is None else (what.body[: int(head)], what.body[int(head) :])
    found = {}
    for one in json.loads(body)["inputs"]:
        values = one.get("data")
        if values is None:
            size = one["parameters"]["binary_data_size"]
            values, rest = rest[:size], rest[size:]
        found[one["name"]] = (one["datatype"], one["shape"], values)
    assert rest == b"", "every byte belongs to a tensor"
    return found


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("x:1,4", TensorShape("x", (1, 4))),
        ("x:FP32:1,4", TensorShape("x", (1, 4), "FP32")),
        ("a:b:8", TensorShape("a:b", (8,))),
    ],
)
def test_a_shape_has_a_name_perhaps_a_type_and_every_dimension(text: str, shape: TensorShape) -> None:
    assert parse_shape(text) == shape


@pytest.mark.parametrize("text", ["", "x", "x:", ":1,4", "x:1,-1", "x:1,,4", "x:a", "x:1,0", "x:FP32"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"shape such as x:1,4|dimension of 0"):
        parse_shape(text)


@pytest.mark.parametrize("datatype", SIZES)
def test_every_data_type_is_written_as_bytes_of_its_size(datatype: str) -> None:
    spec = TensorSpec("x", datatype, (-1, 3))
    for data in ("zeros", "random"):
        for what in made_inputs("m", (spec,), TensorsAsked(data=data), binary=True):
            found_type, shape, values = _tensors(what)["x"]
            assert (found_type, shape) == (datatype, [1, 3])
            if SIZES[datatype] is None:
                lengths = [0, 0, 0] if data == "zeros" else [16, 16, 16]
                assert len(values) == 12 + sum(lengths)
                assert struct.unpack("<I", values[:4]) == (lengths[0],)
            else:
                assert len(values) == 3 * SIZES[datatype]
                assert (values == bytes(len(values))) == (data == "zeros")


@pytest.mark.parametrize("datatype", [one for one in SIZES if one not in ("FP16", "BF16")])
def test_every_data_type_that_json_has_is_written_as_json(datatype: str) -> None:
    (what,) = made_inputs("m", (TensorSpec("x", datatype, (2,)),), TensorsAsked(data="zeros"), binary=False)
    zero = {"BYTES": "", "BOOL": False}.get(datatype, 0)
    assert _tensors(what) == {"x": (datatype, [2], [zero, zero])}
    assert what.content_type == "application/json"


def test_truth_values_that_are_drawn_are_truth_values_in_json_too() -> None:
    made = made_inputs("m", (TensorSpec("x", "BOOL", (16,)),), TensorsAsked(), binary=False)
    drawn = [value for what in made for value in _tensors(what)["x"][2]]
    assert {type(value) for value in drawn} == {bool}
    assert set(drawn) == {False, True}


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_halves_are_refused_as_json_which_has_no_such_numbers(datatype: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as JSON.*--tensors binary"):
        made_inputs("m", (TensorSpec("x", datatype, (2,)),), TensorsAsked(), binary=False)


def test_the_upper_half_of_a_single_is_a_bfloat(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"data": [{"x": [1.0, -2.5]}]}')
    (what,) = made_inputs("m", (TensorSpec("x", "BF16", (2,)),), TensorsAsked(data=str(file)), binary=True)
    assert _tensors(what)["x"][2] == np.array([0x3F80, 0xC020], dtype="<u2").tobytes()


def test_what_is_drawn_is_the_same_whenever_it_is_asked_for_and_differs_within_the_pool() -> None:
    first, again = (made_inputs("m", (X,), TensorsAsked(), binary=True) for _ in range(2))
    assert first == again
    assert len({what.body for what in first}) == len(first) > 1
    assert first[0].origin == "random x FP32 [1,4] (1)"


def test_an_open_first_dimension_is_a_batch_of_one_and_others_are_asked_for() -> None:
    words = TensorSpec("ids", "INT64", (-1, -1))
    with pytest.raises(UsageError, match=r"the shape of the input ids INT64 \[-1,-1\] of m is open.*ids:1,8"):
        made_inputs("m", (words,), TensorsAsked(), binary=False)
    given = TensorsAsked(data="zeros", shapes=(TensorShape("ids", (2, 3)),))
    (what,) = made_inputs("m", (words,), given, binary=False)
    assert _tensors(what) == {"ids": ("INT64", [2, 3], [0] * 6)}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (TensorShape("y", (1, 4)), "m has no such input"),
        (TensorShape("x", (4,)), r"\[4\] does not fit the input x FP32 \[-1,4\]"),
        (TensorShape("x", (1, 5)), r"\[1,5\] does not fit"),
        (TensorShape("x", (1, 4), "INT8"), r"INT8 \[1,4\] does not fit"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shape: TensorShape, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made_inputs("m", (X,), TensorsAsked(shapes=(shape,)), binary=False)


@pytest.mark.parametrize(
    ("datatype", "value", "said"),
    [
        ("INT8", 1.5, "1.5 has no place in INT8"),
        ("INT8", 300, "300 out of bounds"),
        ("UINT8", -1, "-1 out of bounds"),
        ("BOOL", 300, "300 has no place in BOOL"),
        ("BOOL", {"a": 1}, "has no place in BOOL"),
        ("BYTES", {"a": 1}, "is no string"),
    ],
)
def test_a_value_of_a_file_that_would_be_sent_as_another_is_refused(
    tmp_path: Path, datatype: str, value: object, said: str
) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"data": [{"x": [value, 1]}]}))
    with pytest.raises(UsageError, match=said):
        made_inputs("m", (TensorSpec("x", datatype, (-1, 2)),), TensorsAsked(data=str(file)), binary=True)


def test_of_a_model_that_is_not_described_shape_and_type_are_asked_for() -> None:
    for shapes in ((), (TensorShape("x", (1, 4)),)):
        with pytest.raises(UsageError, match=r"does not say which inputs m has.*:FP32:1,4"):
            made_inputs("m", (), TensorsAsked(shapes=shapes), binary=False)
    given = TensorsAsked(data="zeros", shapes=(TensorShape("x", (1, 2), "UINT8"),))
    (what,) = made_inputs("m", (), given, binary=False)
    assert _tensors(what) == {"x": ("UINT8", [1, 2], [0, 0])}


def test_inputs_that_a_model_takes_instead_of_each_other_are_not_sent_together() -> None:
    specs = (TensorSpec("inputs", "BYTES", (-1,)), TensorSpec("inputs", "FP32", (-1,)))
    for data in ("random", "data.json"):
        with pytest.raises(UsageError, match=r"m has several inputs of the name 'inputs'.*FP32 \[-1\]; give the .* -i"):
            made_inputs("m", specs, TensorsAsked(data=data), binary=False)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 4],
        [[1, 2, 3, 4]],
        {"content": [1, 2, 3, 4]},
        {"content": [1, 2, 3, 4], "shape": [1, 4]},
        {"b64": base64.b64encode(np.array([1, 2, 3, 4], "<f4").tobytes()).decode(), "shape": [1, 4]},
    ],
)
def test_values_come_from_a_file_as_perf_analyzer_has_them(tmp_path: Path, values: object) -> None:
    file = tmp_path / "data.json"
    file.write_text(json.dumps({"data": [{"x": values}, {"x": [5, 6, 7, 8]}]}))
    one, two = made_inputs("m", (X,), TensorsAsked(data=str(file)), binary=False)
    assert _tensors(one) == {"x": ("FP32", [1, 4], [1, 2, 3, 4])}
    assert _tensors(two)["x"][2] == [5, 6, 7, 8]
    assert two.origin == f"{file}: x FP32 [1,4] (2)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "there is no input in"),
        ('{"data": []}', "there is no input in"),
        ('{"data": [3]}', "there is no input in"),
        ('{"data": [{}]}', r"input 1 lacks the input x FP32"),
        ('{"data": [{"x": [1, 2, 3, 4], "z": [1]}]}', "m has no input 'z'"),
        ('{"data": [{"x": [1, 2, 3]}]}', "x has 3 values, and"),
        ('{"data": [{"x": ["a", 2, 3, 4]}]}', "x cannot be read"),
        ('{"data": [{"x": {"b64": "?"}}]}', "x is no base64"),
        ('{"data": [{"x": {"content": [1, 2, 3, 4], "shape": ["a", 4]}}]}', r'x has no shape .* is \["a", 4\]'),
        (
            '{"data": [{"x": {"content": [1, 2, 3, 4], "shape": [2, 2]}}]}',
            r"data.json, input 1: x: \[2,2\] does not fit",
        ),
        ('{"data": [{"x": [1e40, 2, 3, 4]}]}', r"1e\+40 has no place in FP32"),
    ],
)
def test_data_that_is_odd_is_refused_with_where_it_is(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        made_inputs("m", (X,), TensorsAsked(data=str(file)), binary=False)


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
def test_what_is_generated_from_are_values_by_name(call) -> None:
    specs = (TensorSpec("text_input", "BYTES", (1,)), TensorSpec("ids", "INT32", (2,)))
    (what,) = made_inputs("m", specs, TensorsAsked(data="zeros", call=call), binary=False)
    assert json.loads(what.body) == {"text_input": "", "ids": [0, 0]}


@pytest.mark.parametrize("data", ["random", "zeros"])
def test_a_backend_of_language_models_is_asked_for_a_stream_where_the_call_is_for_one(data) -> None:
    specs = (TensorSpec("text_input", "BYTES", (1,)), TensorSpec("stream", "BOOL", (1,)))
    for call, streams in (("generate", False), ("generate_stream", True)):
        made = made_inputs("m", specs, TensorsAsked(data=data, call=call), binary=False)
        assert [json.loads(what.body)["stream"] for what in made] == [streams] * len(made)


Y, Z = TensorSpec("y", "FP32", (-1, 3)), TensorSpec("z", "FP32", (-1, 3))


def _answer(binary: bool = False, **changes: object) -> bytes:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0], **changes}
    if not binary:
        return json.dumps({"outputs": [output]}).encode()
    del output["data"]
    output["parameters"] = {"binary_data_size": changes.get("size", 12)}
    return json.dumps({"outputs": [output]}).encode() + bytes(12)


def _request(**output: object) -> bytes:
    return json.dumps({"inputs": [], "outputs": [{"name": "y", **output}]}).encode()


@pytest.mark.parametrize("body", [_answer(), _answer(data=[[1, 2, 3]]), _answer(binary=True)])
@pytest.mark.parametrize("request_body", [b"", b'{"inputs": []}', _request(), b"\n" + _request()])
def test_a_right_answer_has_the_outputs_that_its_request_names(body: bytes, request_body: bytes) -> None:
    assert wrong_in(body, (Y, Z), request_body) is None


def test_an_output_that_is_described_and_was_not_asked_for_may_be_missing() -> None:
    body = _answer(name="output", datatype="BYTES", shape=[1], data=["a"])  # as MLServer's runtime of HuggingFace
    assert wrong_in(body, (TensorSpec("outputs", "BYTES", (-1,)),)) is None


def test_an_output_that_is_put_into_shared_memory_is_not_in_the_answer() -> None:
    body = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3]}]}'  # as Triton 2.51
    assert wrong_in(body, (Y,), _request(parameters={"shared_memory_region": "r"})) is None
    assert wrong_in(body, (Y,), _request()) == "its output y FP32 [1,3] has None bytes, of 0 behind the JSON"


def test_what_a_request_asks_for_in_another_form_is_not_held_against_the_description() -> None:
    classes = _answer(datatype="BYTES", shape=[1, 2], data=["0.9:1", "0.1:0"])
    assert wrong_in(classes, (Y,), _request(parameters={"classification": 2})) is None
    assert wrong_in(b'{"outputs": []}', (), _request()) == "it has no output y, which the request asks for; it has none"
    for parameters in ({}, None, {"binary_data": True}):
        wrong = wrong_in(classes, (Y,), _request(parameters=parameters))
        assert wrong == "its output is y BYTES [1,2], and the server describes y FP32 [-1,3]"


def test_of_outputs_that_are_described_instead_of_each_other_one_has_to_fit() -> None:
    either = (Y, TensorSpec("y", "BYTES", (-1,)))
    assert wrong_in(_answer(), either) is None
    assert wrong_in(_answer(datatype="INT8"), either) == (
        "its output is y INT8 [1,3], and the server describes y FP32 [-1,3] or y BYTES [-1]"
    )


def test_the_names_of_outputs_are_read_alike_with_and_without_bytes_behind_them() -> None:
    for binary in (False, True):
        body = _answer(binary, name="é").replace(b"\\u00e9", "é".encode())
        assert wrong_in(body, (), json.dumps({"outputs": [{"name": "é"}]}).encode()) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"OK", "expected JSON with outputs, got 'OK'"),
        (b"{}", "expected JSON with outputs"),
        (b'{"outputs": null}', "expected JSON with outputs"),
        (b"[" * 100_000, "expected JSON with outputs"),
        (b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "parameters": null}]}', "has None bytes"),
        (b'{"outputs": []}', "it has no output, and the server describes y FP32 [-1,3]"),
        (_answer(name="z"), "it has no output y, which the request asks for; it has z FP32 [1,3]"),
        (_answer(datatype="FP64"), "its output is y FP64 [1,3]"),
        (_answer(shape=[1, 1, 3]), "its output is y FP32 [1,1,3]"),
        (_answer(shape=[1, 4]), "has 3 values, not 4"),
        (_answer(data=[1, 2]), "has 2 values, not 3"),
        (_answer(binary=True, size=8), "has 8 bytes"),
        (_answer(binary=True, size=16), "has 16 bytes, of 12"),
    ],
)
def test_a_wrong_answer_is_told_by_name_type_shape_and_size(body: bytes, said: str) -> None:
    wrong = wrong_in(body, (Y,), _request())
    assert wrong is not None
    assert said in wrong
