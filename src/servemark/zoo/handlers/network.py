"""A network that was loaded on this worker's device: ONNX or MXNet, whichever the archive holds."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import THREADS

#: What a worker's log line about its device starts with; JSON follows.
REPORT = "servemark-worker "


class Network(Protocol):
    """What a handler needs.

    `provider` is what the runtime says it computes with, `device` is "cpu" or "gpu:N", and `reason` says why it is not
    the GPU that was asked for; empty when it is, or when the runtime did not tell.
    """

    backend: str
    provider: str
    device: str
    reason: str

    def run(self, data: Any) -> Any:
        """The network's result for the array `data`, both numpy."""
        ...


class OnnxNetwork:
    """A network run by ONNX Runtime."""

    backend = "onnx"

    def __init__(self, path: Path, gpu: int | None) -> None:
        import onnxruntime  # type: ignore[import-not-found, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        cpu, self.reason = "CPUExecutionProvider", ""
        if gpu is not None:
            cuda = ("CUDAExecutionProvider", {"device_id": gpu})
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()  # CUDA and cuDNN are packages beside this one, where no loader looks
            try:
                # Left to itself it goes on with the CPU, now or in the middle of a measurement.
                self._session = onnxruntime.InferenceSession(
                    str(path), options, providers=[cuda, cpu], enable_fallback=0
                )
            except (RuntimeError, ValueError) as error:
                gpu, self.reason = None, " ".join(str(error).split())
        if gpu is None:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[cpu])
        self.provider = self._session.get_providers()[0]
        self.device = "cpu" if gpu is None or self.provider == cpu else f"gpu:{gpu}"

    def run(self, data: Any) -> Any:
        """See :class:`Network`."""
        return self._session.run(None, {"data": data})[0]


class MxnetNetwork:
    """A network run by MXNet."""

    backend = "mxnet"

    def __init__(self, symbol: Path, weights: Path, gpu: int | None) -> None:
        import mxnet  # type: ignore[import-not-found, unused-ignore]

        self._mxnet = mxnet
        self._context = mxnet.cpu() if gpu is None else mxnet.gpu(gpu)
        self._block = mxnet.gluon.SymbolBlock.imports(str(symbol), ["data"], str(weights), ctx=self._context)
        self._block.hybridize(static_alloc=True)
        self.provider, self.reason = "MXNet " + self._context.device_type, ""
        self.device = "cpu" if gpu is None else f"gpu:{gpu}"

    def run(self, data: Any) -> Any:
        """See :class:`Network`."""
        result = self._block(self._mxnet.nd.array(data, ctx=self._context, dtype=np.float32))
        return result.asnumpy()


def load_network(context: Any) -> Network:
    """Load the network of the server's model folder on the worker's device, and say so in the worker's log."""
    folder = Path(context.system_properties["model_dir"])
    gpu = context.system_properties.get("gpu_id")
    network: Network
    if (folder / "model.onnx").exists():
        network = OnnxNetwork(folder / "model.onnx", gpu)
    else:
        network = MxnetNetwork(folder / "model-symbol.json", folder / "model-0000.params", gpu)
    report = {
        "model": context.model_name,
        "pid": os.getpid(),
        "backend": network.backend,
        "provider": network.provider,
        "device": network.device,
        "reason": network.reason,
        "gpu_id": gpu,
        "threads": THREADS,
    }
    # On stderr, because the server logs a worker's stderr at WARN, the lowest level that a measured server writes.
    sys.stderr.write(REPORT + json.dumps(report) + "\n")
    sys.stderr.flush()
    return network
