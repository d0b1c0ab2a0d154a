"""The runtimes that the zoo's models can run on, by name. Standard library only."""

from __future__ import annotations

from typing import Literal

Backend = Literal["mxnet", "onnx"]
BACKENDS: tuple[Backend, ...] = ("mxnet", "onnx")
