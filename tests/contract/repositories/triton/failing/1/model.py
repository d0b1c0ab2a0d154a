"""A word, and an error instead of the others."""

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            sender.send(pb.InferenceResponse([pb.Tensor("text_output", np.array([b"word"], dtype=object))]))
            sender.send(pb.InferenceResponse(error=pb.TritonError("no more words")))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
