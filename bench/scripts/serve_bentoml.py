"""A service of BentoML with one model, y = x W."""

import bentoml
import numpy as np


@bentoml.service(workers=1, traffic={"timeout": 30})
class Linear:
    def __init__(self):
        self.weights = np.arange(12, dtype=np.float32).reshape(4, 3)

    @bentoml.api
    def linear(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32) @ self.weights
