"""Initialising a gluon network from a fixed seed and exporting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mxnet as mx  # type: ignore[import-not-found, unused-ignore]
import numpy as np


def export(network: Any, sample: Any, folder: Path, *, seed: int, weights: Any) -> None:
    """Initialise `network`, run it once on `sample` and write ``model-symbol.json`` and ``model-0000.params``.

    `weights` is the initialiser of what brings none of its own; biases are zero.
    """
    # Initialisers draw from both generators.
    mx.random.seed(seed)
    np.random.seed(seed)
    network.initialize(weights)
    network.hybridize()
    network(sample)
    network.export(str(folder / "model"))


def export_image_network(body: Any, output: Any, folder: Path, *, seed: int) -> None:
    """Export an image classifier: `body` then `output`, then probabilities, for 3x224x224 inputs named "data"."""
    network = mx.gluon.nn.HybridSequential()
    network.add(body, output, mx.gluon.nn.HybridLambda(lambda operators, x: operators.softmax(x, axis=1)))
    export(network, mx.nd.zeros((1, 3, 224, 224)), folder, seed=seed, weights=mx.init.MSRAPrelu(slope=0))
