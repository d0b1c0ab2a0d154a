"""y = x W without a description of it, and ten words as a stream."""

import asyncio

import numpy as np
from mlserver import MLModel
from mlserver.codecs import decode_args
from mlserver.types import InferenceResponse, ResponseOutput


class Linear(MLModel):
    async def load(self) -> bool:
        self.weights = np.arange(12, dtype=np.float32).reshape(4, 3)
        return True

    @decode_args
    async def predict(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32) @ self.weights


class Tokens(MLModel):
    async def load(self) -> bool:
        return True

    async def predict_stream(self, payloads):
        async for _ in payloads:
            for number in range(10):
                await asyncio.sleep(0.01)
                word = ResponseOutput(name="y", shape=[1], datatype="BYTES", data=[f"tok{number} "])
                yield InferenceResponse(model_name=self.name, outputs=[word])


class Broken(MLModel):
    """Two words, and every second time it fails then."""

    async def load(self) -> bool:
        self.count = 0
        return True

    async def predict_stream(self, payloads):
        async for _ in payloads:
            self.count += 1
            for _ in range(2):
                word = ResponseOutput(name="y", shape=[1], datatype="BYTES", data=["word "])
                yield InferenceResponse(model_name=self.name, outputs=[word])
            if self.count % 2 == 0:
                raise ValueError("out of words")
