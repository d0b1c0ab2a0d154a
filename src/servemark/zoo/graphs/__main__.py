"""``python -m graphs MODEL BACKEND FOLDER`` writes a network, ``python -m graphs image FILE WIDTH HEIGHT`` an image."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Do what the command line says; any failure is a traceback on stderr."""
    if arguments[0] == "image":
        from .sample_image import write_sample_image

        write_sample_image(Path(arguments[1]), width=int(arguments[2]), height=int(arguments[3]))
        return
    model, backend, folder = arguments
    network = importlib.import_module(f".{model}", __package__)
    build = {"mxnet": network.write_mxnet, "onnx": network.write_onnx}[backend]
    build(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
