"""A word-level LSTM language model as for the Penn Treebank: 10,000 words, embedding 200, 2 layers of 200.

Its input "data" is token ids, (batch, time); its result is the logits of every next word, (batch, time, 10000).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SEED = 2
_VOCABULARY = 10_000
_WIDTH = 200
_LAYERS = 2
_DEVIATION = 0.1


def write_mxnet(folder: Path) -> None:
    """Embedding, LSTM and Dense of gluon."""
    import mxnet as mx  # type: ignore[import-not-found, unused-ignore]

    from .mxnet_export import export

    nn = mx.gluon.nn
    network = nn.HybridSequential()
    network.add(
        nn.Embedding(_VOCABULARY, _WIDTH),
        mx.gluon.rnn.LSTM(_WIDTH, _LAYERS, layout="NTC", input_size=_WIDTH),
        nn.Dense(_VOCABULARY, flatten=False, in_units=_WIDTH),
    )
    export(network, mx.nd.zeros((1, 8)), folder, seed=_SEED, weights=mx.init.Normal(_DEVIATION))


def write_onnx(folder: Path) -> None:
    """The same layers, node by node; ONNX's LSTM wants time first."""
    import numpy as np
    from onnx import TensorProto  # type: ignore[import-not-found, unused-ignore]

    from .onnx_graph import OnnxGraph

    graph = OnnxGraph(_SEED)

    def weights(*shape: int) -> Any:
        return graph.weight(graph.random.normal(0, _DEVIATION, shape))

    x = graph.node("Gather", weights(_VOCABULARY, _WIDTH), "data", axis=0)
    x = graph.node("Transpose", x, perm=[1, 0, 2])
    for _ in range(_LAYERS):
        gates = 4 * _WIDTH
        inputs = (x, weights(1, gates, _WIDTH), weights(1, gates, _WIDTH), weights(1, 2 * gates))
        x = graph.node("LSTM", *inputs, hidden_size=_WIDTH)
        x = graph.node("Squeeze", x, graph.weight(np.array([1], dtype=np.int64)))
    x = graph.node("Transpose", x, perm=[1, 0, 2])
    x = graph.node("Add", graph.node("MatMul", x, weights(_WIDTH, _VOCABULARY)), graph.weight(np.zeros(_VOCABULARY)))
    graph.write(
        folder / "model.onnx",
        source=("data", TensorProto.INT64, ["batch", "time"]),
        result=(x, ["batch", "time", _VOCABULARY]),
    )
