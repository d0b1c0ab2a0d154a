"""A model of the zoo as MLServer has it: a graph on ONNX Runtime, or no model at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found, unused-ignore]
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found, unused-ignore]
from mlserver.types import InferenceResponse  # type: ignore[import-not-found, unused-ignore]


class ZooModel(MLModel):  # type: ignore[misc, unused-ignore]
    """What MLServer loads; its folder is the parameter ``uri``."""

    async def load(self) -> bool:
        """Load the graph, with a thread of its own alone."""
        graph = Path(self.settings.parameters.uri) / "model.onnx"
        self._session: Any = None
        if graph.exists():
            import onnxruntime  # type: ignore[import-not-found, unused-ignore]

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: Any) -> Any:
        """The answer to one request."""
        (tensor,) = payload.inputs
        if self._session is None:
            output = StringCodec.encode_output("result", ["OK"] * int(np.prod(tensor.shape)))
            output.shape = list(tensor.shape)
        else:
            array = NumpyCodec.decode_input(tensor)
            output = NumpyCodec.encode_output("result", self._session.run(None, {"data": array})[0])
        return InferenceResponse(model_name=self.name, outputs=[output])
