"""ResNet-18 (He et al. 2015): 18 weight layers, 11.7 million parameters, 1.8 GFLOP an image of 3x224x224."""

from __future__ import annotations

from pathlib import Path

_SEED = 18
_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block; two blocks a stage
#: Small enough that random logits leave every class a probability that can be told from 0.
_OUTPUT_DEVIATION = 0.001


def write_mxnet(folder: Path) -> None:
    """From MXNet's own model zoo, untrained."""
    import mxnet as mx  # type: ignore[import-not-found, unused-ignore]

    from .mxnet_export import export_image_network

    body = mx.gluon.model_zoo.vision.resnet18_v1(pretrained=False).features
    output = mx.gluon.nn.Dense(1000, in_units=512, weight_initializer=mx.init.Normal(_OUTPUT_DEVIATION))
    export_image_network(body, output, folder, seed=_SEED)


def write_onnx(folder: Path) -> None:
    """The same layers, node by node."""
    from .onnx_graph import OnnxGraph, write_image_network

    graph = OnnxGraph(_SEED)
    x = graph.convolution("data", (3, 64), 7, stride=2, pad=3)
    x = graph.node("Relu", graph.batch_norm(x, 64))
    x = graph.max_pool(x, pad=1)
    channels = 64
    for wide, stride in _STAGES:
        for block_stride in (stride, 1):
            y = graph.convolution(x, (channels, wide), 3, stride=block_stride, pad=1)
            y = graph.node("Relu", graph.batch_norm(y, wide))
            y = graph.batch_norm(graph.convolution(y, (wide, wide), 3, pad=1), wide)
            if block_stride != 1 or channels != wide:
                x = graph.batch_norm(graph.convolution(x, (channels, wide), 1, stride=block_stride), wide)
            x = graph.node("Relu", graph.node("Add", y, x))
            channels = wide
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    write_image_network(graph, graph.dense(x, (512, 1000), _OUTPUT_DEVIATION), folder)
