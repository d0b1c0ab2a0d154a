"""Ten words, one each 10 ms; or as many as a parameter says."""

import json
import time

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for number in range(json.loads(request.parameters()).get("max_tokens", 10)):
                time.sleep(0.01)
                word = np.array([f"tok{number} ".encode()], dtype=object)
                sender.send(pb.InferenceResponse([pb.Tensor("text_output", word)]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
