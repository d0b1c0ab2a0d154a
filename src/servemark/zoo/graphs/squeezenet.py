"""SqueezeNet v1.1 (Iandola et al. 2016): 1.2 million parameters, 0.35 GFLOP an image of 3x224x224."""

from __future__ import annotations

from pathlib import Path

_SEED = 11
_POOL = 0
#: Fire modules (squeezed channels, channels of each expansion) and pools between them.
_BODY = ((16, 64), (16, 64), _POOL, (32, 128), (32, 128), _POOL, (48, 192), (48, 192), (64, 256), (64, 256))


def write_mxnet(folder: Path) -> None:
    """From MXNet's own model zoo, untrained."""
    import mxnet as mx  # type: ignore[import-not-found, unused-ignore]

    from .mxnet_export import export_image_network

    network = mx.gluon.model_zoo.vision.squeezenet1_1(pretrained=False)
    export_image_network(network.features, network.output, folder, seed=_SEED)


def write_onnx(folder: Path) -> None:
    """The same layers, node by node."""
    from .onnx_graph import OnnxGraph, write_image_network

    graph = OnnxGraph(_SEED)

    def layer(x: str, channels: tuple[int, int], kernel: int, *, stride: int = 1, pad: int = 0) -> str:
        return graph.node("Relu", graph.convolution(x, channels, kernel, stride=stride, pad=pad, bias=True))

    x = graph.max_pool(layer("data", (3, 64), 3, stride=2), ceil=True)
    channels = 64
    for part in _BODY:
        if isinstance(part, int):
            x = graph.max_pool(x, ceil=True)
            continue
        squeezed, expanded = part
        x = layer(x, (channels, squeezed), 1)
        x = graph.node("Concat", layer(x, (squeezed, expanded), 1), layer(x, (squeezed, expanded), 3, pad=1), axis=1)
        channels = 2 * expanded
    x = layer(x, (channels, 1000), 1)
    write_image_network(graph, graph.node("Flatten", graph.node("GlobalAveragePool", x)), folder)
