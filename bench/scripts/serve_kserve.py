"""A KServe with one model, y = x W, at the port that is given."""

import sys

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

PORT = int(sys.argv.pop(1))


class Linear(Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True
        self.weights = np.arange(12, dtype=np.float32).reshape(4, 3)

    async def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            answer = payload.inputs[0].as_numpy() @ self.weights
            output = InferOutput("y", list(answer.shape), "FP32")
            output.set_data_from_numpy(answer, binary_data=False)
            return InferResponse(payload.id or "-", self.name, [output])
        return {"predictions": (np.array(payload["instances"], dtype=np.float32) @ self.weights).tolist()}


if __name__ == "__main__":
    server = ModelServer(
        http_port=PORT, grpc_port=PORT + 1, workers=1, access_log_format=None, enable_latency_logging=False
    )
    server.start([Linear("linear")])
