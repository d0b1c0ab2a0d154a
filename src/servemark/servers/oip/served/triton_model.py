"""A model of the zoo as Triton's Python backend has it: a graph on ONNX Runtime, or no model at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found, unused-ignore]


class TritonPythonModel:
    """What the backend makes an instance of, and calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph, with a thread of its own alone: instances are what works in parallel."""
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._output = json.loads(args["model_config"])["output"][0]["name"]
        self._session: Any = None
        if graph.exists():
            import onnxruntime  # type: ignore[import-not-found, unused-ignore]

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """An answer for each request; those of a batch are computed together where they have the same shape."""
        arrays = [pb.get_input_tensor_by_name(request, "data").as_numpy() for request in requests]
        if self._session is None:
            answers = [np.full(array.shape, b"OK", dtype=object) for array in arrays]
        elif len({array.shape[1:] for array in arrays}) == 1:
            ends = np.cumsum([len(array) for array in arrays])[:-1]
            answers = np.split(self._run(np.concatenate(arrays)), ends)
        else:
            answers = [self._run(array) for array in arrays]
        return [pb.InferenceResponse([pb.Tensor(self._output, answer)]) for answer in answers]

    def _run(self, array: Any) -> Any:
        return self._session.run(None, {"data": array})[0]
