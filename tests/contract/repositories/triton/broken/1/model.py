"""Two words, and every second time an error instead of the rest: a stream has begun with 200 by then."""

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.count = 0

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for _ in range(2):
                sender.send(pb.InferenceResponse([pb.Tensor("text_output", np.array([b"word"], dtype=object))]))
            if self.count % 2:
                sender.send(pb.InferenceResponse(error=pb.TritonError("out of words")))
            self.count += 1
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
