"""Writing an ONNX network node by node, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx  # type: ignore[import-not-found, unused-ignore]
from onnx import TensorProto, helper, numpy_helper  # type: ignore[import-not-found, unused-ignore]

#: What onnxruntime has read since 2020.
_OPSET = 13
_IR_VERSION = 8


class OnnxGraph:
    """A graph under construction. Methods add a node and return the name of its result, the next one's input."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.RandomState(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, values: Any) -> str:
        """Store an array as a constant of the graph (floats in single precision)."""
        array = np.asarray(values)
        name = f"w{len(self._weights)}"
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add one operator with one result."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def nodes(self, kind: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add one operator with several results."""
        names = [f"{kind.lower()}{len(self._nodes)}_{index}" for index in range(results)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def convolution(
        self, x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, pad: int = 0, bias: bool = False
    ) -> str:
        """A square 2-d convolution from channels[0] to channels[1], with He-normal weights."""
        fan_in = channels[0] * kernel * kernel
        inputs = [
            x,
            self.weight(self.random.normal(0, np.sqrt(2 / fan_in), (channels[1], channels[0], kernel, kernel))),
        ]
        if bias:
            inputs.append(self.weight(np.zeros(channels[1])))
        return self.node("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def batch_norm(self, x: str, channels: int) -> str:
        """Batch normalisation as it is after initialising: mean 0, variance 1."""
        ones, zeros = np.ones(channels), np.zeros(channels)
        return self.node("BatchNormalization", x, *(self.weight(v) for v in (ones, zeros, zeros, ones)), epsilon=1e-5)

    def max_pool(self, x: str, *, pad: int = 0, ceil: bool = False) -> str:
        """3x3 maximum with stride 2."""
        return self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[pad] * 4, ceil_mode=int(ceil))

    def dense(self, x: str, width: tuple[int, int], deviation: float) -> str:
        """A fully connected layer on a matrix, from width[0] to width[1]."""
        weights = self.weight(self.random.normal(0, deviation, (width[1], width[0])))
        return self.node("Gemm", x, weights, self.weight(np.zeros(width[1])), transB=1)

    def write(self, path: Path, *, source: tuple[str, int, list[Any]], result: tuple[str, list[Any]]) -> None:
        """Check the graph and write it. `source` is its input's name, element type and shape (a string: any size)."""
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [helper.make_tensor_value_info(*source)],
            [helper.make_tensor_value_info(result[0], TensorProto.FLOAT, result[1])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="servemark")
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())


def write_image_network(graph: OnnxGraph, logits: str, folder: Path) -> None:
    """End an image classifier with its probabilities and write it as ``model.onnx``; the input is named "data"."""
    probabilities = graph.node("Softmax", logits, axis=1)
    graph.write(
        folder / "model.onnx",
        source=("data", TensorProto.FLOAT, ["batch", 3, 224, 224]),
        result=(probabilities, ["batch", 1000]),
    )
